package kernels_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/kernels/kerneltest"
	. "github.com/inference-pio/inference-pio/cuda/optest"
	"github.com/inference-pio/inference-pio/cuda/spec"
)

// pagesOf spreads sequences over a cache at random.
func pagesOf(rng *rand.Rand, lengths []int, heads, size int) spec.Pages {
	g := spec.Pages{Heads: heads, Size: size}
	for _, n := range lengths {
		g.Width = max(g.Width, (n+size-1)/size)
	}
	g.Blocks = g.Width*len(lengths) + 2
	free := rng.Perm(g.Blocks)
	for q, n := range lengths {
		for b := range g.Width {
			g.Tables = append(g.Tables, -1)
			if b*size < n {
				g.Tables[len(g.Tables)-1], free = int32(free[0]), free[1:]
			}
		}
		for p := range n {
			g.Positions, g.Seqs = append(g.Positions, int32(p)), append(g.Seqs, int32(q))
		}
	}
	return g
}

// coded is a cache of numbers in each form, and what it then holds.
func cached(x []float32, d cuda.DType, heads, size, dim int) (cache cuda.Tensor, holds []float32) {
	switch d {
	case cuda.BF16:
		return BF16(spec.Round(x), heads, size, dim), spec.Widen(spec.Round(x))
	case cuda.Q8Row:
		c := Coded(x, heads, size, dim)
		return c, spec.ReadRows(c.Raw(), dim)
	}
	return F32(x, heads, size, dim), x
}

var cacheTypes = []cuda.DType{cuda.F32, cuda.BF16, cuda.Q8Row}

func TestCachesAreWrittenAndRead(t *testing.T) {
	eachMachine(t, func(t *testing.T, m *kerneltest.Machine) {
		rng := newRand(9)
		for _, c := range []struct {
			lengths          []int
			heads, size, dim int
		}{{[]int{1}, 1, 64, 8}, {[]int{70, 3}, 2, 64, 128}, {[]int{37, 20}, 3, 16, 13}, {[]int{130}, 1, 128, 576}, {[]int{100}, 2, 96, 64}} {
			g := pagesOf(rng, c.lengths, c.heads, c.size)
			x := Random(rng, len(g.Positions)*c.heads*c.dim)
			for i := 5; i < len(x); i += 97 {
				x[i] *= 1e-3
			}
			for i := range 64 {
				if i < len(x) {
					x[i] = 1e-37 * float32(i) // below what has codes
				}
			}
			for _, typ := range cacheTypes {
				what := fmt.Sprint(c, typ)
				before := Random(rng, g.Blocks*c.heads*c.size*c.dim)
				cache, holds := cached(before, typ, c.heads, c.size, c.dim)
				m.Run(t, cuda.NewOp(cuda.OpCacheWrite).Gives(cache).Takes(F32(x, c.heads, c.dim)).Takes(Pages(g)...))
				after := append([]float32(nil), holds...)
				spec.CacheWrite(after, x, g, c.dim)
				want, _ := cached(after, typ, c.heads, c.size, c.dim)
				if !bytes.Equal(cache.Raw(), want.Raw()) && (typ != cuda.Q8Row) {
					t.Fatalf("%s: the cache is not what the specification writes", what)
				}
				if typ == cuda.Q8Row {
					sameCodes(t, what, cache.Raw(), x, g, c.dim)
				}
				now := after
				if typ == cuda.Q8Row {
					now = spec.ReadRows(cache.Raw(), c.dim)
				} else if typ == cuda.BF16 {
					now = spec.Widen(spec.Round(after))
				}
				for q, n := range c.lengths {
					from := n / 3
					y, read := filled((n-from)*c.heads*c.dim), filled((n-from)*c.heads*c.dim)
					m.Run(t, cuda.NewOp(cuda.OpCacheRead).Gives(F32(y, c.heads, c.dim)).Takes(cache, I32(g.Tables, g.Width)).At(int32(q), int32(from)))
					spec.CacheRead(read, now, g, q, from, c.dim)
					SameBits(t, what+" read", y, read)
				}
			}
		}
	})
}

// sameCodes: rows are coded to the bit as the specification codes them.
func sameCodes(t *testing.T, what string, cache []byte, x []float32, g spec.Pages, dim int) {
	t.Helper()
	width := cuda.Q8Row.RowLen(dim)
	for r, p := range g.Positions {
		for h := range g.Heads {
			block := int(g.Tables[int(g.Seqs[r])*g.Width+int(p)/g.Size])
			at := ((block*g.Heads+h)*g.Size + int(p)%g.Size) * width
			want := spec.CodeRows(x[(r*g.Heads+h)*dim:][:dim], dim)
			if !bytes.Equal(cache[at:at+width], want) {
				t.Fatalf("%s: row %d, head %d is %v, not %v", what, r, h, cache[at:at+width], want)
			}
		}
	}
}

// TestCodesOfWhatIsNoNumber have a factor that is none.
func TestCodesOfWhatIsNoNumber(t *testing.T) {
	m := kerneltest.New(t, false, 1)
	for _, odd := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
		x := filled(100)
		x[3] = odd
		g := pagesOf(newRand(1), []int{1}, 1, 64)
		cache, _ := cached(filled(g.Blocks*64*100), cuda.Q8Row, 1, 64, 100)
		m.Run(t, cuda.NewOp(cuda.OpCacheWrite).Gives(cache).Takes(F32(x, 1, 100)).Takes(Pages(g)...))
		row := spec.ReadRows(cache.Raw(), 100)[int(g.Tables[0])*64*100:][:100]
		for i, v := range row {
			if i < 64 && !math.IsNaN(float64(v)) && !math.IsInf(float64(v), 0) && v != 0 || i >= 64 && v != 0 {
				t.Errorf("beside %g, number %d is %g", odd, i, v)
			}
		}
	}
}
