package cpu_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/spec"
)

// rowcodes_test.go is about caches in codes of 8 bits.

// coded is a cache of such rows.
func coded(x []float32, heads, size, dim int) cuda.Tensor {
	return view(spec.CodeRows(x, dim), cuda.Q8Row, []int{heads, size, cuda.Q8Row.RowLen(dim)})
}

var rowDims = []int{1, 7, 16, 63, 64, 65, 96, 127, 128, 130, 576}

// hardRows are numbers of every size, among them rows of zeros, of very small ones, and of a single large one.
func hardRows(rng *rand.Rand, rows, dim int) []float32 {
	x := random(rng, rows*dim)
	for r := range rows {
		row := x[r*dim : (r+1)*dim]
		scale := []float32{1, 0, 0x1p-149, 0x1p-125, 0x1p-121, 0x1p-119, 0x1p120, 1e-3}[r%8]
		for i := range row {
			row[i] *= scale
		}
		if r%16 == 7 {
			row[rng.IntN(dim)] = -4e4
		}
	}
	return x
}

// TestRowsAreCodedBitForBit: what is written is the specification's to the bit and nothing beside it, and what is read back is within half
// a code of what was written.
func TestRowsAreCodedBitForBit(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		for _, dim := range rowDims {
			const rows, heads, size, blocks = 40, 3, 16, 5
			rng := rand.New(rand.NewPCG(91, uint64(dim)))
			g := spec.Pages{Tables: []int32{3, 0, 4}, Width: 3, Blocks: blocks, Heads: heads, Size: size, Seqs: make([]int32, rows)}
			for p := range rows {
				g.Positions = append(g.Positions, int32(p))
			}
			width := cuda.Q8Row.RowLen(dim)
			cache := bytes.Repeat([]byte{0xa5}, blocks*heads*size*width)
			want := slices.Clone(cache)
			x := hardRows(rng, rows*heads, dim)
			lines := spec.CodeRows(x, dim)
			for r := range rows {
				for h := range heads {
					at := (int(g.Tables[r/size])*heads+h)*size + r%size
					copy(want[at*width:], lines[(r*heads+h)*width:][:width])
				}
			}
			d.run(t, cacheWrite(view(cache, cuda.Q8Row, []int{heads, size, width}), f32(x, heads, dim), g))
			for i := range want {
				if cache[i] != want[i] {
					t.Fatalf("rows of %d: byte %d of row %d is %#x, not %#x", dim, i%width, i/width, cache[i], want[i])
				}
			}
			back := make([]float32, len(x))
			op := cacheRead(back, nil, g, 0, 0, dim)
			op.In[0] = view(cache, cuda.Q8Row, []int{heads, size, width})
			d.run(t, op)
			sameBits(t, fmt.Sprint("rows of ", dim, " read back"), back, spec.ReadRows(lines, dim))
			halfACode(t, back, x, dim)
		}
	})
}

// halfACode: a number comes back within half of a 127th of the largest of its group, and what rounding adds; below 2^-120 as nothing.
func halfACode(t *testing.T, got, x []float32, dim int) {
	t.Helper()
	for r := 0; r < len(x); r += dim {
		for at := r; at < r+dim; at += 64 {
			group, most := x[at:min(at+64, r+dim)], 0.0
			for _, v := range group {
				most = max(most, math.Abs(float64(v)))
			}
			for i, v := range group {
				if off := math.Abs(float64(got[at+i]) - float64(v)); off > most/254*(1+1e-4) && most >= 0x1p-120 || off > most {
					t.Fatalf("rows of %d: %g comes back as %g, the largest of its group being %g", dim, v, got[at+i], most)
				}
			}
		}
	}
}

// TestWhatIsNoNumberIsNoCode: one that is infinite or no number takes those that share its factor along, and no other.
func TestWhatIsNoNumberIsNoCode(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		const dim = 150
		g := spec.Pages{Positions: []int32{0, 1}, Seqs: []int32{0, 0}, Tables: []int32{0}, Width: 1, Blocks: 1, Heads: 1, Size: 2}
		for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
			for _, at := range []int{0, 63, 64, 149} {
				x := random(rand.New(rand.NewPCG(92, 1)), 2*dim)
				x[at] = bad
				cache, back := coded(make([]float32, 2*dim), 1, 2, dim), make([]float32, 2*dim)
				d.run(t, cacheWrite(cache, f32(x, 1, dim), g))
				op := cacheRead(back, nil, g, 0, 0, dim)
				op.In[0] = cache
				d.run(t, op)
				for i, v := range back {
					if none := i < dim && i/64 == at/64; none != (v != v) {
						t.Fatalf("with %g at %d, %d is %g", bad, at, i, v)
					}
				}
			}
		}
	})
}

// wideScenes have heads of several groups, and ends of groups everywhere in a vector.
var wideScenes = append(slices.Clip(scenes), []sceneOf{
	{"heads of 128", []int{70, 200}, 2, 4, 128, 128, 64},
	{"groups that end within vectors", []int{90}, 2, 1, 135, 77, 64},
	{"a latent and a key", []int{130, 65}, 1, 20, 72, 64, 64},
}...)

// TestAttentionOverCodes is attention over what they stand for, to the bit: all rows at once and few at a time, on one thread and more. And
// so it is the specification's within the bound of attention.
func TestAttentionOverCodes(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		one := newDevice(t, 1, lastName(t))
		for _, c := range wideScenes {
			s := newScene(rand.New(rand.NewPCG(93, 1)), c.lengths, c.kvHeads, c.group, c.dim, c.vdim, c.size)
			keys, values := coded(s.k, c.kvHeads, c.size, c.dim), coded(s.v, c.kvHeads, c.size, c.vdim)
			s.k, s.v = spec.ReadRows(keys.Raw(), c.dim), spec.ReadRows(values.Raw(), c.vdim)
			n, width := len(s.g.Positions), s.heads*s.vdim
			want := s.rows(t, d, upTo(n))
			exact := make([]float32, n*width)
			spec.Attention(exact, s.q, s.k, s.v, s.g, s.heads, s.dim, s.vdim, s.scale)
			within(t, c.name, want, exact, s.attentionBound)
			s.keys, s.values = keys, values
			sameBits(t, c.name, s.rows(t, d, upTo(n)), want)
			sameBits(t, c.name+" on one thread", s.rows(t, one, upTo(n)), want)
			for _, batch := range []int{1, 2, 7, 64} {
				for r := 0; r < n; r += batch {
					to := min(r+batch, n)
					sameBits(t, c.name+" in chunks of "+shape(batch), s.rows(t, d, upTo(n)[r:to]), want[r*width:to*width])
				}
			}
		}
	})
}

// TestLatentsMayBeCodes, of which the first ones are the value.
func TestLatentsMayBeCodes(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		for _, c := range wideScenes {
			if c.kvHeads != 1 || c.vdim > c.dim {
				continue
			}
			s := newScene(rand.New(rand.NewPCG(94, 1)), c.lengths, 1, c.group, c.dim, c.vdim, c.size)
			latents := coded(s.k, 1, c.size, c.dim)
			s.k = spec.ReadRows(latents.Raw(), c.dim)
			want := s.latentRows(t, d, upTo(len(s.g.Positions)))
			s.keys = latents
			sameBits(t, c.name, s.latentRows(t, d, upTo(len(s.g.Positions))), want)
		}
	})
}
