// invented.go makes rows of invented tensors when they are asked for, for whoever needs each once: a tensor that is quantised is never there as a
// whole.

package weights

import (
	"math"
	"slices"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/weights/blocks"
)

// Piecewise is a Source without names that makes rows of a matrix when they are asked for.
type Piecewise interface {
	// Rows is the matrix that Get would give, as Coded; false if Get has to be asked.
	Rows(name string, shape []int) (View, bool)
}

// Rows implements Piecewise.
func (d dummy) Rows(name string, shape []int) (View, bool) {
	r := &inventedRows{stream: d.stream(name), cols: 1}
	if n := len(shape); n > 0 {
		r.cols, r.elements = shape[n-1], product(shape)
	}
	table := newTable(spreadOf(shape))
	v := View{DType: d.dtype, Known: true, Shape: slices.Clone(shape), Coded: r}
	switch d.dtype {
	case cuda.F32:
		v.Format = "F32"
		r.single = true
	case cuda.BF16:
		v.Format = "BF16"
		for i, x := range table {
			table[i] = math.Float32frombits(uint32(bfloat16(x)) << 16)
		}
	case cuda.F16:
		v.Format = "F16"
		for i, x := range table {
			h := float16(x)
			table[i] = blocks.Half([]byte{byte(h), byte(h >> 8)})
		}
	default:
		return View{}, false
	}
	r.table = table
	return v, true
}

// inventedRows are rows of a tensor.
type inventedRows struct {
	table          *table // as the type has it
	stream         splitmix
	elements, cols int
	single         bool // an element is a draw; else a word has four of them, and what is left in the end is single
}

// Widen implements Coded.
func (r *inventedRows) Widen(to []float32, row int) {
	at, whole := row*r.cols, r.elements/4
	if r.single {
		whole = 0
	}
	for len(to) > 0 && at < 4*whole {
		s := r.stream.from(at / 4)
		for i := at % 4; at < 4*whole && len(to) > 0; i = 0 {
			p := four(s.next())
			n := 0
			for ; i+n < 4 && n < len(to); n++ {
				to[n] = r.table[p[i+n]]
			}
			at, to = at+n, to[n:]
		}
	}
	s := r.stream.from(whole + at - 4*whole)
	for i := range to {
		to[i] = r.table[s.next()>>52]
	}
}

// File implements Coded.
func (*inventedRows) File(int, int) []byte { return nil }
