// made.go has tensors that are put together of others, or are parts of one.

package weights

import (
	"fmt"

	"github.com/inference-pio/inference-pio/cuda"
)

// Cut is some rows of a tensor, rows being along its last dimension, in a shape of their own. They must be there.
func Cut(v View, from, rows int, shape []int) View {
	all := product(v.Shape[:max(1, len(v.Shape)-1)]) // of a vector the rows are its numbers
	switch {
	case v.Coded != nil:
		some := someRows{v.Coded, from}
		switch c := v.Coded.(type) {
		case Whole:
			v.Coded = someWhole{some, c}
		case Blocks:
			v.Coded = someBlocks{some, c}
		default:
			v.Coded = some
		}
	case all > 0:
		each := len(v.Data) / all
		v.Data = v.Data[from*each : (from+rows)*each : (from+rows)*each]
	}
	v.Shape = shape
	return v
}

// someRows begins at another row.
type someRows struct {
	all  Coded
	from int
}

func (s someRows) Widen(to []float32, row int) { s.all.Widen(to, s.from+row) }
func (s someRows) File(from, to int) []byte    { return s.all.File(s.from+from, s.from+to) }

// someWhole is someRows of whole numbers.
type someWhole struct {
	someRows
	whole Whole
}

func (s someWhole) Range() (least, most int) { return s.whole.Range() }
func (s someWhole) Codes(to []int8, factors []float32, row int) {
	s.whole.Codes(to, factors, s.from+row)
}

// someBlocks is someRows of blocks.
type someBlocks struct {
	someRows
	blocks Blocks
}

func (s someBlocks) Type() string { return s.blocks.Type() }

func product(s []int) (n int) {
	n = 1
	for _, d := range s {
		n *= d
	}
	return n
}

// HeadsOf is a matrix that has of each head its keys and then its values. keys is (heads, latent, key), values (heads, value, latent), as
// attention over latents multiplies with them; the matrix is (heads * (key + value), latent).
func HeadsOf(keys, values View) (View, error) {
	k, ok := Numbers(keys)
	v, also := Numbers(values)
	if !ok || !also || len(keys.Shape) != 3 || len(values.Shape) != 3 || keys.Shape[0] != values.Shape[0] || keys.Shape[1] != values.Shape[2] {
		return View{}, fmt.Errorf("its halves are %s %v and %s %v", keys.Format, keys.Shape, values.Format, values.Shape)
	}
	key, value, latent, dtype := keys.Shape[2], values.Shape[1], values.Shape[2], cuda.F32
	if keys.DType == cuda.BF16 && values.DType == cuda.BF16 {
		dtype = cuda.BF16 // which holds the numbers of both
	}
	return View{Format: keys.Format + " and " + values.Format, DType: dtype, Known: true, Shape: []int{keys.Shape[0] * (key + value), latent},
		Coded: headRows{k, v, key, value, latent}}, nil
}

type headRows struct {
	keys, values       Coded
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
