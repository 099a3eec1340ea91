//go:build cuda && cgo

package driver

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/inference-pio/inference-pio/cuda/kernels/sim"
)

// What may be registered, and what may be done with it.

const page = 4096

// mapped is so many pages of a file that nobody may write to.
func mapped(t testing.TB, pages int) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "weights")
	data := make([]byte, pages*page)
	for i := range data {
		data[i] = byte(i / 7)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := unix.Mmap(int(f.Fd()), 0, len(data), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(b) })
	return b
}

// says is the driver's name of an error.
func says(err error) string {
	var e *Error
	if !errors.As(err, &e) {
		return ""
	}
	return e.Name
}

func TestPagesAreRegisteredOnce(t *testing.T) {
	d, b := simulated(t), mapped(t, 8)
	c := open(t, 0)
	before := d.Counts().Registered
	if err := c.Register(b[2*page:4*page], true); err != nil {
		t.Fatal(err)
	}
	if got := d.Counts().Registered - before; got != 2*page {
		t.Errorf("%d bytes are registered", got)
	}
	for _, x := range []struct {
		name     string
		memory   []byte
		readOnly bool
		want     string
	}{
		{"the same", b[2*page : 4*page], true, "CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED"},
		{"a page of them from before", b[page : 3*page], true, "CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED"},
		{"a page of them and those behind", b[3*page : 8*page], true, "CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED"},
		{"all around them", b, true, "CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED"},
		{"what is in their last page", b[4*page-8 : 4*page], true, "CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED"},
		{"what nobody may write to, as if one might", b[5*page : 6*page], false, "CUDA_ERROR_INVALID_VALUE"},
		{"no memory", unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(b))), 1<<40)[6*page:], true, "CUDA_ERROR_INVALID_VALUE"},
	} {
		if err := c.Register(x.memory, x.readOnly); says(err) != x.want {
			t.Errorf("%s: %v", x.name, err)
		}
	}
	if err := c.Unregister(b[3*page : 4*page]); says(err) != "CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED" {
		t.Errorf("a part is unregistered: %v", err)
	}
	d.Control("fail registered error=2")
	if err := c.Register(b[4*page:], true); !OutOfMemory(err) {
		t.Errorf("where that is to fail: %v", err)
	}
	if err := errors.Join(c.Register(b[4*page:], true), c.Unregister(b[4*page:]), c.Unregister(b[2*page:4*page])); err != nil {
		t.Error(err)
	}
	if got := d.Counts().Registered; got != before {
		t.Errorf("in the end %d bytes are registered, and were %d", got, before)
	}
}

// A copy lies in one piece that is registered or in none: of others the driver makes none.
func TestACopyDoesNotCrossAnEnd(t *testing.T) {
	d, b := simulated(t), mapped(t, 4)
	c := open(t, 0)
	s, x := stream(t, c), alloc(t, c, 4*page)
	for _, p := range [][]byte{b[page : 2*page], b[2*page : 3*page]} {
		if err := c.Register(p, true); err != nil {
			t.Fatal(err)
		}
		defer c.Unregister(p)
	}
	for _, ends := range [][3]int{{0, 1, 1}, {1, 2, 1}, {2, 3, 1}, {3, 4, 1}, {0, 2, 0}, {1, 3, 0}, {2, 4, 0}, {0, 4, 0}} {
		from := b[ends[0]*page : ends[1]*page]
		var l List
		l.CopyIn(x, unsafe.Pointer(&from[0]), int64(len(from)))
		before := d.Counts().BytesRegistered
		err := s.Run(&l)
		if ends[2] == 0 {
			if says(err) != "CUDA_ERROR_INVALID_VALUE" {
				t.Errorf("pages %d to %d: %v", ends[0], ends[1], err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		synchronize(t, s)
		want := uint64(0)
		if ends[0] == 1 || ends[0] == 2 {
			want = page
		}
		if got := d.Counts().BytesRegistered - before; got != want {
			t.Errorf("pages %d to %d: %d bytes were read where they are registered", ends[0], ends[1], got)
		}
	}
}

// A driver without that ability says so, and refuses.
func TestADriverThatRegistersNothingReadOnly(t *testing.T) {
	if !sim.Apart(t, "PIO_SIM_READ_ONLY=0") {
		return
	}
	simulated(t)
	c := open(t, 0)
	if c.Info().ReadOnly {
		t.Error("the device says that it does")
	}
	if err := c.Register(mapped(t, 1), true); says(err) != "CUDA_ERROR_NOT_SUPPORTED" {
		t.Error(err)
	}
}

// Memory is unregistered while a copy from there is under way: that is found.
func TestUnregisteringUnderACopyIsFound(t *testing.T) {
	for _, way := range []string{"time late", "time virtual"} {
		for _, wait := range []bool{true, false} {
			t.Run(strings.Fields(way)[1]+map[bool]string{true: " waited for"}[wait], func(t *testing.T) {
				if !sim.Apart(t) {
					return
				}
				d, b := simulated(t), mapped(t, 256)
				c := open(t, 0)
				s, x := stream(t, c), alloc(t, c, int64(len(b)))
				if err := c.Register(b, true); err != nil {
					t.Fatal(err)
				}
				d.Control(way)
				var l List
				l.CopyIn(x, unsafe.Pointer(&b[0]), int64(len(b)))
				run(t, s, &l)
				if wait {
					synchronize(t, s)
				}
				err := errors.Join(c.Unregister(b), s.Synchronize())
				if wait && err != nil {
					t.Error(err)
				}
				if !wait && !Lost(err) {
					t.Errorf("it is not found: %v", err)
				}
			})
		}
	}
}
