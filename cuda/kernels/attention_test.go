package kernels_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/kernels/kerneltest"
	. "github.com/inference-pio/inference-pio/cuda/optest"
	"github.com/inference-pio/inference-pio/cuda/spec"
)

// scene is a filled cache and queries on it.
type scene struct {
	sceneOf
	g       spec.Pages
	heads   int
	q, k, v []float32 // keys and values as the caches hold them
	keys    cuda.Tensor
	values  cuda.Tensor
	scale   float32
	latent  bool
}

// sceneOf says what a scene is made of.
type sceneOf struct {
	name                            string
	lengths                         []int
	kvHeads, group, dim, vdim, size int
}

var scenes = []sceneOf{
	{"one position", []int{1}, 1, 1, 8, 8, 64},
	{"a sequence over three blocks", []int{150}, 2, 2, 64, 64, 64},
	{"three sequences", []int{65, 3, 130}, 2, 4, 16, 16, 64},
	{"odd sizes", []int{37, 20}, 3, 5, 13, 7, 16},
	{"blocks of 128", []int{200}, 1, 3, 24, 40, 128},
	{"heads of 128 and of 256", []int{90}, 1, 8, 128, 72, 64},
	{"wide heads", []int{70}, 1, 2, 256, 256, 64},
	{"more heads on a key than a block takes", []int{70}, 1, 30, 12, 12, 64},
	{"parts, to their borders and over them", []int{513, 1030}, 1, 1, 16, 24, 64},
	{"parts that begin within a block", []int{530}, 1, 1, 9, 5, 96},
}

// newScene puts what is no number into every slot behind a sequence's end and into blocks that nobody owns, where no row may look.
func newScene(rng *rand.Rand, c sceneOf, typ cuda.DType) *scene {
	s := &scene{sceneOf: c, g: pagesOf(rng, c.lengths, c.kvHeads, c.size), heads: c.kvHeads * c.group, scale: float32(1 / math.Sqrt(float64(c.dim)))}
	fill := func(dim int) (cuda.Tensor, []float32) {
		x := filled(s.g.Blocks * c.kvHeads * c.size * dim)
		for i := range x {
			x[i] = float32(math.NaN())
		}
		spec.CacheWrite(x, Random(rng, len(s.g.Positions)*c.kvHeads*dim), s.g, dim)
		return cached(x, typ, c.kvHeads, c.size, dim)
	}
	s.keys, s.k = fill(c.dim)
	s.values, s.v = fill(c.vdim)
	s.q = Random(rng, len(s.g.Positions)*s.heads*c.dim)
	return s
}

// rows computes some rows, in the order given.
func (s *scene) rows(t *testing.T, m *kerneltest.Machine, which []int) []float32 {
	t.Helper()
	g, q := s.g, []float32(nil)
	g.Positions, g.Seqs = nil, nil
	for _, r := range which {
		g.Positions, g.Seqs = append(g.Positions, s.g.Positions[r]), append(g.Seqs, s.g.Seqs[r])
		q = append(q, s.q[r*s.heads*s.dim:(r+1)*s.heads*s.dim]...)
	}
	y := filled(len(which) * s.heads * s.vdim)
	m.Run(t, s.op(F32(y, s.heads, s.vdim), F32(q, s.heads, s.dim), g))
	return y
}

func (s *scene) op(y, q cuda.Tensor, g spec.Pages) *cuda.Op {
	if s.latent {
		return cuda.NewOp(cuda.OpLatentAttention).Gives(y).Takes(q, s.keys).Takes(Pages(g)...).With(s.scale)
	}
	return cuda.NewOp(cuda.OpAttention).Gives(y).Takes(q, s.keys, s.values).Takes(Pages(g)...).With(s.scale)
}

// want is what the specification says of all rows.
func (s *scene) want() []float32 {
	y := filled(len(s.g.Positions) * s.heads * s.vdim)
	if s.latent {
		spec.LatentAttention(y, s.q, s.k, s.g, s.heads, s.dim, s.vdim, s.scale)
	} else {
		spec.Attention(y, s.q, s.k, s.v, s.g, s.heads, s.dim, s.vdim, s.scale)
	}
	return y
}

func all(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

// sameInAnyBatch: alone, in chunks, shuffled, a row has the bits that it has among all.
func (s *scene) sameInAnyBatch(t *testing.T, rng *rand.Rand, m *kerneltest.Machine, got []float32) {
	t.Helper()
	if m.Eager {
		return // once is enough
	}
	n, width := len(s.g.Positions), s.heads*s.vdim
	for _, batch := range []int{1, 7, 64} {
		step := 1 + n/batch/3 // some of them
		for r := 0; r < n; r += batch * step {
			to := min(r+batch, n)
			SameBits(t, fmt.Sprint(s.name, " in chunks of ", batch, " from ", r), s.rows(t, m, all(n)[r:to]), got[r*width:to*width])
		}
	}
	order := rng.Perm(n)[:min(n, 9)]
	mixed := s.rows(t, m, order)
	for i, r := range order {
		SameBits(t, s.name+" shuffled", mixed[i*width:(i+1)*width], got[r*width:(r+1)*width])
	}
}

// exactBound is how far an output may be from the specification: an average of |v| < 6 with weights that add to one. A score is a sum of dim
// rounded products, |scores| < 8 and their sums of |products| < 40; e^x turns its error into a relative one of the weight, and the sums over
// up to 1,090 keys add theirs.
func (s *scene) exactBound(int) float64 { return 6 * Eps * (2*40*(float64(s.dim)/2+4) + 400) }

func TestAttentionMatchesTheSpecification(t *testing.T) {
	before := map[string][]float32{}
	eachMachine(t, func(t *testing.T, m *kerneltest.Machine) {
		for i, c := range scenes {
			rng := newRand(uint64(10 + i))
			s := newScene(rng, c, cacheTypes[i%len(cacheTypes)])
			got := s.rows(t, m, all(len(s.g.Positions)))
			Within(t, c.name, got, s.want(), s.exactBound)
			s.sameInAnyBatch(t, rng, m, got)
			sameAsBefore(t, before, c.name, got)
		}
	})
}

// sameAsBefore: a device with one multiprocessor, whose blocks go through all parts, gives what one with many does, whose blocks share them.
func sameAsBefore(t *testing.T, before map[string][]float32, name string, got []float32) {
	t.Helper()
	if want := before[name]; want != nil {
		SameBits(t, name+" on another device", got, want)
	}
	before[name] = got
}

// nearFlash compares with attention of the same roundings. Powers of 2 and sums have other last bits, so that a weight here and there, of
// thousands, is rounded the other way: 2^-8 of a value below 6. The others are as near as those of exact numerics.
func nearFlash(t *testing.T, s *scene, part int, got []float32) {
	t.Helper()
	want := filled(len(got))
	values := s.v
	if s.latent {
		values = firstOf(s.k, s.dim, s.vdim)
	}
	spec.FlashAttention(want, s.q, s.k, values, s.g, spec.Flash{Heads: s.heads, Dim: s.dim, VDim: s.vdim, Part: part, Scale: s.scale})
	Within(t, s.name, got, want, func(int) float64 { return 6 * 0x1p-8 })
	far := 0
	for i := range got {
		if math.Abs(float64(got[i])-float64(want[i])) > s.exactBound(i) {
			far++
		}
	}
	if far > 1+len(got)/10 {
		t.Errorf("%s: %d of %d elements are further from the specification than their sums explain", s.name, far, len(got))
	}
}

// firstOf are the first numbers of rows.
func firstOf(x []float32, dim, n int) (first []float32) {
	for ; len(x) > 0; x = x[dim:] {
		first = append(first, x[:n]...)
	}
	return first
}

func TestFastAttentionIsNearTheSpecification(t *testing.T) {
	before := map[string][]float32{}
	eachFast(t, func(t *testing.T, m *kerneltest.Machine) {
		for i, c := range scenes {
			for _, typ := range []cuda.DType{cuda.BF16, []cuda.DType{cuda.F32, cuda.Q8Row}[i%2]} {
				if typ != cuda.BF16 && m.Eager {
					continue
				}
				rng := newRand(uint64(50 + i))
				s := newScene(rng, c, typ)
				s.name = fmt.Sprint(c.name, " in ", typ)
				got := s.rows(t, m, all(len(s.g.Positions)))
				nearFlash(t, s, 512, got)
				s.sameInAnyBatch(t, rng, m, got)
				sameAsBefore(t, before, s.name, got)
			}
		}
	})
}

// latentScenes have one key for all heads, whose first elements are the value.
var latentScenes = []sceneOf{
	{"one position", []int{1}, 1, 1, 8, 8, 64},
	{"odd sizes", []int{37, 20}, 1, 5, 13, 7, 16},
	{"as GLM's", []int{20}, 1, 20, 576, 512, 64},
	{"parts", []int{260, 128}, 1, 3, 70, 64, 64},
	{"a tile of two blocks", []int{130}, 1, 17, 24, 20, 32},
}

func TestLatentAttentionMatchesTheSpecification(t *testing.T) {
	before := map[string][]float32{}
	eachMachine(t, func(t *testing.T, m *kerneltest.Machine) {
		for i, c := range latentScenes {
			rng := newRand(uint64(30 + i))
			s := newScene(rng, c, cacheTypes[i%len(cacheTypes)])
			s.latent = true
			got := s.rows(t, m, all(len(s.g.Positions)))
			Within(t, c.name, got, s.want(), s.exactBound)
			s.sameInAnyBatch(t, rng, m, got)
			sameAsBefore(t, before, c.name, got)
		}
	})
}

func TestFastLatentAttentionIsNearTheSpecification(t *testing.T) {
	before := map[string][]float32{}
	eachFast(t, func(t *testing.T, m *kerneltest.Machine) {
		for i, c := range latentScenes {
			rng := newRand(uint64(70 + i))
			s := newScene(rng, c, cacheTypes[(i+1)%len(cacheTypes)])
			s.latent = true
			got := s.rows(t, m, all(len(s.g.Positions)))
			nearFlash(t, s, 128, got)
			s.sameInAnyBatch(t, rng, m, got)
			sameAsBefore(t, before, c.name, got)
		}
	})
}
