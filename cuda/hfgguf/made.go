// made.go has tensors whose rows are put together of others'.

package hfgguf

import (
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

// HeadsOf puts a matrix that has of each head its keys and then its values. keys is (heads, latent, key), values (heads, value, latent), as
// attention over latents multiplies with them; the matrix is (heads * (key + value), latent).
func (t *Table) HeadsOf(name string, keys, values weights.View) {
	k, wide, ok := plain(keys)
	v, latent, also := plain(values)
	if !ok || !also || len(keys.Shape) != 3 || len(values.Shape) != 3 || keys.Shape[0] != values.Shape[0] || keys.Shape[1] != latent {
		t.Refuse("%s: its halves are %s %v and %s %v", name, keys.Format, keys.Shape, values.Format, values.Shape)
		return
	}
	rows := headRows{k, v, wide, values.Shape[1], latent}
	t.Put(name, weights.View{Format: keys.Format + " and " + values.Format, DType: widest(keys, values), Known: true,
		Shape: []int{keys.Shape[0] * (wide + values.Shape[1]), latent}, Coded: rows})
}

type headRows struct {
	keys, values       weights.Coded
	key, value, latent int
}

func (h headRows) Widen(to []float32, row int) {
	var block []float32 // keys of the head last seen: latent x key
	seen := -1
	for ; len(to) >= h.latent && h.latent > 0; row, to = row+1, to[h.latent:] {
		head, r := row/(h.key+h.value), row%(h.key+h.value)
		if r >= h.key {
			h.values.Widen(to[:h.latent], head*h.value+r-h.key)
			continue
		}
		if seen != head {
			seen, block = head, make([]float32, h.latent*h.key)
			h.keys.Widen(block, head*h.latent)
		}
		for c := range h.latent {
			to[c] = block[c*h.key+r]
		}
	}
}

func (headRows) File(int, int) []byte { return nil }

// Slices puts a matrix whose rows are windows, of which each of the parts has one slice: parts are (out, channels, rows, columns), a row of
// the matrix is channels x parts x rows x columns.
func (t *Table) Slices(name string, parts ...weights.View) {
	s := sliceRows{}
	for _, v := range parts {
		p, cols, ok := plain(v)
		if !ok || len(v.Shape) != 4 || product(v.Shape) != product(parts[0].Shape) || v.Shape[1] != parts[0].Shape[1] || v.Shape[3] != cols {
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
