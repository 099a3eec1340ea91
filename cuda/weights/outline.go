// Weights that are only counted: every tensor has its shape and its type, and nobody reads its elements.

package weights

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/internal/safetensors"
)

// Outline is a source that has every tensor it is asked for, in one type, all of them views of the same memory, which takes
// none of the machine's: it holds zeros that nothing has written. It stands for Dummy where a model is only measured.
type Outline struct {
	format string
	size   int
	dtype  cuda.DType
	mapped [][]byte // each longer than the one before
}

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
	data, ok := o.bytes(int(n))
	return View{Format: o.format, DType: o.dtype, Known: true, Shape: slices.Clone(shape), Data: data}, ok
}

func (o *Outline) bytes(n int) ([]byte, bool) {
	if last := len(o.mapped) - 1; last >= 0 && n <= len(o.mapped[last]) {
		return o.mapped[last][:n:n], true
	}
	m, err := unix.Mmap(-1, 0, max(n, 1<<20), unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, false
	}
	o.mapped = append(o.mapped, m)
	return m[:n:n], true
}

// Close unmaps what the views lie in.
func (o *Outline) Close() (err error) {
	for _, m := range o.mapped {
		if e := unix.Munmap(m); err == nil {
			err = e
		}
	}
	o.mapped = nil
	return err
}
