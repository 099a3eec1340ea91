package cpu_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/spec"
)

// scene is a filled cache and queries on it.
type scene struct {
	g                      spec.Pages
	heads, dim, vdim       int
	q, k, v                []float32
	scale                  float32
	sequences, blocksOfOne int

	keys, values cuda.Tensor // k and v in another form
}

// cached are the keys and values.
func (s *scene) cached() (keys, values cuda.Tensor) {
	if !s.keys.IsZero() {
		return s.keys, s.values
	}
	return s.cachedKeys(), f32(s.v, s.g.Heads, s.g.Size, s.vdim)
}

// cachedKeys are the keys, of which latents have nothing else.
func (s *scene) cachedKeys() cuda.Tensor {
	if !s.keys.IsZero() {
		return s.keys
	}
	return f32(s.k, s.g.Heads, s.g.Size, s.dim)
}

// newScene spreads the blocks of sequences over a cache at random and puts NaN into every block nobody owns and every slot
// behind a sequence's end, where no row may look.
func newScene(rng *rand.Rand, lengths []int, kvHeads, group, dim, vdim, size int) *scene {
	s := &scene{heads: kvHeads * group, dim: dim, vdim: vdim, scale: float32(1 / math.Sqrt(float64(dim))), sequences: len(lengths)}
	for _, n := range lengths {
		s.blocksOfOne = max(s.blocksOfOne, (n+size-1)/size)
	}
	s.g = spec.Pages{Width: s.blocksOfOne, Blocks: s.blocksOfOne*len(lengths) + 2, Heads: kvHeads, Size: size}
	free := rng.Perm(s.g.Blocks)
	nan := float32(math.NaN())
	s.k = slices.Repeat([]float32{nan}, s.g.Blocks*kvHeads*size*dim)
	s.v = slices.Repeat([]float32{nan}, s.g.Blocks*kvHeads*size*vdim)
	for q, n := range lengths {
		table := slices.Repeat([]int32{-1}, s.blocksOfOne)
		for b := range (n + size - 1) / size {
			table[b], free = int32(free[0]), free[1:]
		}
		s.g.Tables = append(s.g.Tables, table...)
		for pos := range n {
			w := spec.Pages{Positions: []int32{int32(pos)}, Seqs: []int32{0}, Tables: table, Width: s.blocksOfOne, Blocks: s.g.Blocks, Heads: kvHeads, Size: size}
			spec.CacheWrite(s.k, random(rng, kvHeads*dim), w, dim)
			spec.CacheWrite(s.v, random(rng, kvHeads*vdim), w, vdim)
			s.g.Positions, s.g.Seqs = append(s.g.Positions, int32(pos)), append(s.g.Seqs, int32(q))
		}
	}
	s.q = random(rng, len(s.g.Positions)*s.heads*dim)
	return s
}

// rows computes some rows of the scene, in the order given.
func (s *scene) rows(t *testing.T, d *device, which []int) []float32 {
	t.Helper()
	g, q := s.g, []float32(nil)
	g.Positions, g.Seqs = nil, nil
	for _, r := range which {
		g.Positions, g.Seqs = append(g.Positions, s.g.Positions[r]), append(g.Seqs, s.g.Seqs[r])
		q = append(q, s.q[r*s.heads*s.dim:(r+1)*s.heads*s.dim]...)
	}
	y := make([]float32, len(which)*s.heads*s.vdim)
	d.run(t, s.attention(y, q, g))
	return y
}

// attention is the op on queries of some rows.
func (s *scene) attention(y, q []float32, g spec.Pages) *cuda.Op {
	keys, values := s.cached()
	return cuda.NewOp(cuda.OpAttention).Gives(f32(y, s.heads, s.vdim)).Takes(f32(q, s.heads, s.dim), keys, values).Takes(pages(g)...).With(s.scale)
}

func upTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
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
	{"more heads on a key than one pass takes", []int{70}, 1, 30, 12, 12, 64},
	{"parts, to their borders and over them", []int{1090, 512, 513}, 1, 2, 16, 24, 64},
	{"parts that begin within a block", []int{530}, 2, 1, 9, 5, 96},
}

// attentionBound is how far an output may be from the specification: an average of |v| < 6 with weights that add to one. A score has the
// error of its dot product, |scores| < 8 here and their sums of |products| < 40; e^x turns that into a relative error of the weight, and
// the sums over up to 1,090 keys add theirs: within a block lane by lane, between blocks and parts once for each.
func (s *scene) attentionBound(int) float64 { return 6 * eps * (2*40*(float64(s.dim)/4+4) + 200) }

func TestAttentionMatchesTheSpecification(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		for _, c := range scenes {
			s := newScene(rand.New(rand.NewPCG(10, 1)), c.lengths, c.kvHeads, c.group, c.dim, c.vdim, c.size)
			want := make([]float32, len(s.g.Positions)*s.heads*s.vdim)
			spec.Attention(want, s.q, s.k, s.v, s.g, s.heads, s.dim, s.vdim, s.scale)
			within(t, c.name, s.rows(t, d, upTo(len(s.g.Positions))), want, s.attentionBound)
		}
	})
}

// TestAttentionRowIsTheSameInAnyBatch: alone, in chunks, backwards, shuffled, on one thread or several.
func TestAttentionRowIsTheSameInAnyBatch(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		one := newDevice(t, 1, lastName(t))
		for _, c := range scenes {
			rng := rand.New(rand.NewPCG(11, 1))
			s := newScene(rng, c.lengths, c.kvHeads, c.group, c.dim, c.vdim, c.size)
			n, width := len(s.g.Positions), s.heads*s.vdim
			all := s.rows(t, d, upTo(n))
			sameBits(t, c.name+" on one thread", s.rows(t, one, upTo(n)), all)
			for _, batch := range []int{1, 2, 7, 64} {
				for r := 0; r < n; r += batch {
					to := min(r+batch, n)
					sameBits(t, c.name+" in chunks of "+shape(batch), s.rows(t, d, upTo(n)[r:to]), all[r*width:to*width])
				}
			}
			order := rng.Perm(n)
			mixed := s.rows(t, d, order)
			for i, r := range order {
				sameBits(t, c.name+" shuffled", mixed[i*width:(i+1)*width], all[r*width:(r+1)*width])
			}
		}
	})
}

// TestAttentionIsTheSameOnAnyNumberOfThreads, which decides whether a row's parts are computed by one task or by many; with so many
// threads and so large values some rows' sums wait for others' turn.
func TestAttentionIsTheSameOnAnyNumberOfThreads(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		s := newScene(rand.New(rand.NewPCG(15, 1)), []int{1300}, 1, 24, 4, 300, 64)
		rows := upTo(1300)[1100:]
		want := s.rows(t, newDevice(t, 1, lastName(t)), rows)
		for _, threads := range []int{2, 16, 80} {
			sameBits(t, shape(threads)+" threads", s.rows(t, newDevice(t, threads, lastName(t)), rows), want)
		}
		exact := make([]float32, len(want)/len(rows))
		g := s.g
		g.Positions, g.Seqs = g.Positions[1299:], g.Seqs[1299:]
		spec.Attention(exact, s.q[1299*s.heads*s.dim:], s.k, s.v, g, s.heads, s.dim, s.vdim, s.scale)
		within(t, "the last row", want[199*len(exact):], exact, s.attentionBound)
	})
}

// TestAttentionOfHugeScoresStaysFinite: the running maximum keeps e^x in range, and keys that do not count weigh nothing.
func TestAttentionOfHugeScoresStaysFinite(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		s := newScene(rand.New(rand.NewPCG(12, 1)), []int{130}, 1, 1, 8, 8, 64)
		s.scale = 1e4
		want := make([]float32, 130*8)
		spec.Attention(want, s.q, s.k, s.v, s.g, 1, 8, 8, s.scale)
		got := s.rows(t, d, upTo(130))
		within(t, "huge scores", got, want, func(int) float64 { return 0.2 }) // a score of 1e4·8 is known to 5e-3
	})
}

// TestCachesMayBeBF16: attention over keys and values in bf16 is attention over the same ones in f32, to the bit if only one of them is; if
// both are, their elements are added in another order.
func TestCachesMayBeBF16(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		for _, c := range scenes {
			s := newScene(rand.New(rand.NewPCG(13, 1)), c.lengths, c.kvHeads, c.group, c.dim, c.vdim, c.size)
			k, v := spec.Round(s.k), spec.Round(s.v)
			s.k, s.v = spec.Widen(k), spec.Widen(v)
			n := len(s.g.Positions)
			want := s.rows(t, d, upTo(n))
			keys, values := bf16(k, c.kvHeads, c.size, c.dim), bf16(v, c.kvHeads, c.size, c.vdim)
			for what, in := range map[string][2]cuda.Tensor{
				"both": {keys, values}, "keys": {keys, f32(s.v, c.kvHeads, c.size, c.vdim)}, "values": {f32(s.k, c.kvHeads, c.size, c.dim), values},
			} {
				got := make([]float32, len(want))
				op := s.attention(got, s.q, s.g)
				op.In[1], op.In[2] = in[0], in[1]
				d.run(t, op)
				if what == "both" {
					within(t, c.name+": "+what, got, want, s.attentionBound)
				} else {
					sameBits(t, c.name+": "+what, got, want)
				}
			}
			if c.kvHeads == 1 && c.vdim <= c.dim {
				want, got := make([]float32, n*s.heads*c.vdim), make([]float32, n*s.heads*c.vdim)
				d.run(t, s.latentAttention(want, s.q, s.g))
				op := s.latentAttention(got, s.q, s.g)
				op.In[1] = keys
				d.run(t, op)
				within(t, c.name+": latents", got, want, s.attentionBound)
			}
			read, back := make([]float32, c.lengths[0]*c.kvHeads*c.dim), make([]float32, c.lengths[0]*c.kvHeads*c.dim)
			d.run(t, cacheRead(read, s.k, s.g, 0, 0, c.dim))
			op := cacheRead(back, s.k, s.g, 0, 0, c.dim)
			op.In[0] = keys
			d.run(t, op)
			sameBits(t, c.name+": read back", back, read)
		}
	})
}

// TestTilesMayBeBF16, as caches may.
func TestTilesMayBeBF16(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(14, 1))
		shape := spec.Tile{Heads: 6, KVHeads: 2, Keys: 130, Dim: 13, VDim: 7}
		k, v := spec.Round(random(rng, 2*130*13)), spec.Round(random(rng, 2*130*7))
		q, limits := random(rng, 5*6*13), []int32{129, 64, 0, -1, 200}
		start := make([]float32, 5*6*9)
		spec.AttendStart(start, 7)
		want := slices.Clone(start)
		d.run(t, attendTile(want, q, spec.Widen(k), spec.Widen(v), limits, shape, 0.3))
		for _, c := range [][2]bool{{true, true}, {true, false}, {false, true}} {
			got := slices.Clone(start)
			op := attendTile(got, q, spec.Widen(k), spec.Widen(v), limits, shape, 0.3)
			if c[0] {
				op.In[1] = bf16(k, 130, 13)
			}
			if c[1] {
				op.In[2] = bf16(v, 130, 7)
			}
			d.run(t, op)
			if c[0] && c[1] {
				averages, exact := make([]float32, 5*6*7), make([]float32, 5*6*7)
				d.run(t, attendDone(averages, got, 6, 7))
				spec.AttendDone(exact, want, 7)
				within(t, "both", averages, exact, (&scene{dim: 13}).attentionBound)
			} else {
				sameBits(t, fmt.Sprint("keys ", c[0], ", values ", c[1]), got, want)
			}
		}
	})
}
