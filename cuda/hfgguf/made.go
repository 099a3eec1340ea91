// made.go has tensors whose rows are put together of others'.

package hfgguf

import (
	"slices"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// plain makes the numbers of a view that has dimensions. ok is false for a type that is not read.
func plain(v weights.View) (rows weights.Coded, cols int, ok bool) {
	if rows, ok = weights.Numbers(v); !ok || len(v.Shape) == 0 {
		return nil, 0, false
	}
	return rows, v.Shape[len(v.Shape)-1], true
}

// widest is the type that holds the numbers of both as they are; codes become bf16.
func widest(a, b weights.View) cuda.DType {
	if a.DType == cuda.BF16 && b.DType == cuda.BF16 {
		return cuda.BF16
	}
	return cuda.F32
}

// HeadsOf puts a matrix that has of each head its keys and then its values: see weights.HeadsOf.
func (t *Table) HeadsOf(name string, keys, values weights.View) {
	v, err := weights.HeadsOf(keys, values)
	if err != nil {
		t.Refuse("%s: %v", name, err)
		return
	}
	t.Put(name, v)
}

// Slices puts a matrix whose rows are windows, of which each of the parts has one slice: parts are (out, channels, rows, columns), a row of
// the matrix is channels x parts x rows x columns.
func (t *Table) Slices(name string, parts ...weights.View) {
	s := sliceRows{}
	for _, v := range parts {
		p, cols, ok := plain(v)
		if !ok || len(v.Shape) != 4 || !slices.Equal(v.Shape, parts[0].Shape) {
			t.Refuse("%s: one of its slices is %s %v", name, v.Format, v.Shape)
			return
		}
		s.parts, s.channels, s.lines, s.cols = append(s.parts, p), v.Shape[1], v.Shape[2], cols
	}
	dtype := cuda.F32
	if len(parts) == 2 {
		dtype = widest(parts[0], parts[1])
	}
	t.Put(name, weights.View{Format: parts[0].Format, DType: dtype, Known: true, Shape: []int{parts[0].Shape[0], s.width()}, Coded: s})
}

type sliceRows struct {
	parts                 []weights.Coded
	channels, lines, cols int
}

func (s sliceRows) width() int { return s.channels * len(s.parts) * s.lines * s.cols }

func (s sliceRows) Widen(to []float32, row int) {
	for ; len(to) >= s.width() && s.width() > 0; row, to = row+1, to[s.width():] {
		n := s.lines * s.cols
		for i := range s.channels * len(s.parts) {
			s.parts[i%len(s.parts)].Widen(to[i*n:(i+1)*n], (row*s.channels+i/len(s.parts))*s.lines)
		}
	}
}

func (sliceRows) File(int, int) []byte { return nil }
