// Weights that are only counted: every tensor has its shape and its type, and nobody reads its elements.

package weights

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/internal/safetensors"
)

// Outline is a source that has every tensor it is asked for, in one type, each at addresses of its own, which take none of the machine's memory: they
// hold zeros that nothing has written. It stands for Dummy where a model is only measured.
type Outline struct {
	format string
	size   int
	dtype  cuda.DType
	mapped [][]byte
	rest   []byte // of the last one
}

// outlined is how many addresses are taken at a time.
const outlined = 1 << 40

// NewOutline makes one of BF16, F16 or F32 tensors. Close it.
func NewOutline(dtype cuda.DType) *Outline {
	o := &Outline{dtype: dtype}
	for name, d := range dtypes {
		if d == dtype {
			o.format, o.size = name, d.Size()
		}
	}
	return o
}

// Names implements Source: it has whatever it is asked for.
func (*Outline) Names() []string { return nil }

// Get implements Source. A tensor larger than the address space is not there.
func (o *Outline) Get(_ string, shape []int) (View, bool) {
	n, ok := safetensors.Size(o.format, shape)
	if !ok || n > 1<<46 {
		return View{}, false
	}
	data := o.Memory(int64(n))
	return View{Format: o.format, DType: o.dtype, Known: true, Shape: slices.Clone(shape), Data: data}, data != nil
}

// Memory is so many bytes that nobody reads; nil if there are not so many addresses.
func (o *Outline) Memory(n int64) []byte {
	size := (max(n, 1) + 63) &^ 63
	if size > int64(len(o.rest)) && !o.take(max(size, outlined)) && !o.take(size) { // addresses may be limited
		return nil
	}
	b := o.rest[:n:n]
	o.rest = o.rest[size:]
	return b
}

// take has the rest be so many new bytes; false if there are not so many addresses.
func (o *Outline) take(bytes int64) bool {
	m, err := unix.Mmap(-1, 0, int(bytes), unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return false
	}
	o.mapped, o.rest = append(o.mapped, m), m
	return true
}

// Close unmaps what the views lie in.
func (o *Outline) Close() (err error) {
	for _, m := range o.mapped {
		if e := unix.Munmap(m); err == nil {
			err = e
		}
	}
	o.mapped, o.rest = nil, nil
	return err
}
