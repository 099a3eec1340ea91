package picture

// #cgo CFLAGS: -O3 -std=c11 -Wall -Wextra
// #include "resize.h"
import "C"

import (
	"fmt"
	"os"
	"runtime"
	"sync"
)

// resize.go cuts a resize into bands of rows, one for each thread; resize.h has the passes.

// envKernels is the environment variable that forces a kernel table by its name, for tests.
const envKernels = "PIO_CPU"

// Image is a picture in 8-bit RGB: Pix has Height rows of Width pixels of 3 bytes.
type Image struct {
	Width, Height int
	Pix           []byte
}

// maxSide bounds what the 32-bit sums and indices of the kernels are asked to hold.
const maxSide = 1 << 20

func (m Image) check() error {
	switch {
	case m.Width < 1 || m.Height < 1 || m.Width > maxSide || m.Height > maxSide:
		return fmt.Errorf("a picture of %d x %d: both sides must be 1 to %d", m.Width, m.Height, maxSide)
	case len(m.Pix) != m.Width*m.Height*3:
		return fmt.Errorf("a picture of %d x %d has %d bytes, not %d", m.Width, m.Height, len(m.Pix), m.Width*m.Height*3)
	}
	return nil
}

// Resize makes a picture of width x height with Pillow's bicubic filter (antialiased where it shrinks), equal to the last
// bit. It works on that many threads; 0 is one for each core. A picture that has the size already is returned as it is.
func Resize(m Image, width, height, threads int) (Image, error) {
	t, _ := choose(os.Getenv(envKernels))
	return resize(m, width, height, threads, t)
}

func resize(m Image, width, height, threads int, t *C.pic_kernels) (Image, error) {
	if err := m.check(); err != nil {
		return Image{}, err
	}
	if width < 1 || height < 1 || width > maxSide || height > maxSide {
		return Image{}, fmt.Errorf("resize to %d x %d: both sides must be 1 to %d", width, height, maxSide)
	}
	if width == m.Width && height == m.Height {
		return m, nil
	}
	out := Image{width, height, make([]byte, width*height*3)}
	var pin runtime.Pinner
	defer pin.Unpin()
	job := C.pic_job{
		dst: (*C.uint8_t)(pinned(&pin, out.Pix)), src: (*C.uint8_t)(pinned(&pin, m.Pix)),
		wide: C.size_t(m.Width), high: C.size_t(m.Height), to_wide: C.size_t(width), to_high: C.size_t(height),
	}
	if width != m.Width {
		job.x = cAxis(&pin, newAxis(m.Width, width))
	}
	if height != m.Height {
		job.y = cAxis(&pin, newAxis(m.Height, height))
	}
	if downFirst(m.Width, m.Height, width, height) {
		job.down_first = 1
	}
	if !bands(t, &job, height, threads) {
		return Image{}, fmt.Errorf("resize %d x %d to %d x %d: no memory", m.Width, m.Height, width, height)
	}
	return out, nil
}

// downFirst: Pillow 13 makes the pass first that leaves less to do for the other (older ones always go across first). The order is visible, because
// the values between the passes are rounded to bytes.
func downFirst(w, h, toW, toH int) bool { return toH < h && h-toH > 2*(w-toW) }

// bands makes the rows on several threads and says whether all were made.
func bands(t *C.pic_kernels, job *C.pic_job, rows, threads int) bool {
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	threads = min(threads, (rows+7)/8)
	ok := make([]bool, threads)
	var all sync.WaitGroup
	for i := range threads {
		all.Go(func() {
			ok[i] = C.pic_resize(t, job, C.size_t(rows*i/threads), C.size_t(rows*(i+1)/threads)) == 0
		})
	}
	all.Wait()
	for _, made := range ok {
		if !made {
			return false
		}
	}
	return true
}

func pinned[T any](pin *runtime.Pinner, s []T) *T {
	pin.Pin(&s[0])
	return &s[0]
}

func cAxis(pin *runtime.Pinner, a axis) C.pic_axis {
	return C.pic_axis{
		start:   (*C.int32_t)(pinned(pin, a.start)),
		count:   (*C.int32_t)(pinned(pin, a.count)),
		weights: (*C.int16_t)(pinned(pin, halves(a.weights))),
		stride:  C.size_t(a.stride),
	}
}

// halves puts weights into the form of resize.h.
func halves(weights []int32) []int16 {
	out := make([]int16, 2*len(weights))
	for i, w := range weights {
		at := i/2*4 + i%2
		out[at], out[at+2] = int16(w>>C.PIC_LOW_BITS), int16(w&(1<<C.PIC_LOW_BITS-1))
	}
	return out
}

// tables are the names of the kernel tables this machine can run, best first.
func tables() []string {
	var names []string
	for i := C.int(0); C.pic_kernels_at(i) != nil; i++ {
		names = append(names, C.GoString(C.pic_kernels_at(i).name))
	}
	return names
}

// choose finds a table by name; without one, or with one that this machine has not, it gives the best.
func choose(name string) (*C.pic_kernels, error) {
	for i := C.int(0); ; i++ {
		switch t := C.pic_kernels_at(i); {
		case t == nil:
			return C.pic_kernels_at(0), fmt.Errorf("this machine has no kernel table %q, but %v", name, tables())
		case name == "" || C.GoString(t.name) == name:
			return t, nil
		}
	}
}
