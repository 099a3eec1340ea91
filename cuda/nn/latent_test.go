package nn

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
)

// latentScene is a layer of latent attention and the rows of two sequences.
type latentScene struct {
	latents                          Latents
	heads, nope, shared, value, rank int
	query, latentWidth               int    // nope + shared, rank + shared
	total                            [2]int // positions
	q, rows                          [2][]float32
	up                               []float32 // of latents
	cpu                              *cpu.Device
	step                             *cuda.Step
	cache                            *Cache
}

func newLatentScene(t *testing.T, rows int, total [2]int) *latentScene {
	t.Helper()
	rng := rand.New(rand.NewPCG(71, 1))
	s := &latentScene{heads: 3, nope: 6, shared: 4, value: 5, rank: 12, query: 6 + 4, latentWidth: 12 + 4, total: total, cpu: cpu.New(2)}
	t.Cleanup(func() { s.cpu.Close() })
	w := cuda.NewWeight(s.heads*(s.nope+s.value), s.rank)
	s.up = normal(rng, w.Shape[0]*w.Shape[1])
	host, err := cuda.FromF32(s.up, w.Shape...)
	if err != nil {
		t.Fatal(err)
	}
	module := &cuda.Module{ID: "layers.0"}
	file, err := cuda.MatrixOf(host)
	if err != nil {
		t.Fatal(err)
	}
	w.Bind("kv_b_proj.weight", module, file)
	s.latents = Latents{Up: w, Heads: s.heads, Nope: s.nope, Scale: 0.2}
	for i := range s.total {
		s.q[i], s.rows[i] = normal(rng, s.total[i]*s.heads*s.query), normal(rng, s.total[i]*s.latentWidth)
	}
	spec, size := LatentCache(s.rank, s.shared), Size{Blocks: 12}
	mem, err := s.cpu.Alloc(spec.Bytes(size), cuda.ForState)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.cpu.Free(mem) })
	if s.cache, err = NewCache(module, spec, s.cpu, mem, size); err != nil {
		t.Fatal(err)
	}
	s.step = cuda.NewStep([]cuda.Device{s.cpu}, []*cuda.Module{module}, nil)
	sizes, err := s.step.Measure(func(st *cuda.Step) { s.forward(st, []Segment{{To: rows}}) })
	if err != nil {
		t.Fatal(err)
	}
	if err := s.step.Reserve(0, sizes); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.step.Release(0) })
	return s
}

// forward runs one step of some segments, whose rows come in their order.
func (s *latentScene) forward(st *cuda.Step, segments []Segment) cuda.Tensor {
	var q, latents []float32
	var positions, seqs []int32
	for _, g := range segments {
		for r := range g.To - g.From {
			p := (g.Start + r) % s.total[g.Seq]
			q = append(q, s.q[g.Seq][p*s.heads*s.query:(p+1)*s.heads*s.query]...)
			latents = append(latents, s.rows[g.Seq][p*s.latentWidth:(p+1)*s.latentWidth]...)
			positions, seqs = append(positions, int32(g.Start+r)), append(seqs, int32(g.Seq))
		}
	}
	b := &Batch{Pages: st.Pages(positions, seqs, []int32{11, 3, 7, 0, 5, 9, 2, 10, 1, 4, 8, 6}, 6, 12, BlockSize), Segments: segments}
	st.EnterLayer(0)
	x, _ := cuda.FromF32(q, len(positions), s.heads*s.query)
	c, _ := cuda.FromF32(latents, len(positions), s.latentWidth)
	return s.latents.Attend(st, x.Heads(s.query), c, b, s.cache)
}

// run gives what each row of the segments attends to.
func (s *latentScene) run(t *testing.T, segments ...Segment) []float32 {
	t.Helper()
	s.step.Begin()
	y := s.forward(s.step, segments)
	if err := s.step.End(); err != nil {
		t.Fatal(err)
	}
	return slices.Clone(y.F32())
}

// formula is latent attention in float64 as the paper writes it: keys and values of each head from each latent.
func (s *latentScene) formula(seq int) []float64 {
	n, w, each := s.total[seq], s.up, s.nope+s.value
	keys, values := make([]float32, n*s.heads*s.query), make([]float64, n*s.heads*s.value)
	for t := range n {
		latent := s.rows[seq][t*s.latentWidth:][:s.latentWidth]
		for h := range s.heads {
			for i := range each {
				sum := 0.0
				for k := range s.rank {
					sum += float64(w[(h*each+i)*s.rank+k]) * float64(latent[k])
				}
				if i < s.nope {
					keys[(t*s.heads+h)*s.query+i] = float32(sum)
				} else {
					values[(t*s.heads+h)*s.value+i-s.nope] = sum
				}
			}
			copy(keys[(t*s.heads+h)*s.query+s.nope:], latent[s.rank:])
		}
	}
	out := make([]float64, n*s.heads*s.value)
	for r := range n {
		for h := range s.heads {
			weights, sum := make([]float64, r+1), 0.0
			for t := range weights {
				score := 0.0
				for i := range s.query {
					score += float64(s.q[seq][(r*s.heads+h)*s.query+i]) * float64(keys[(t*s.heads+h)*s.query+i])
				}
				weights[t] = math.Exp(float64(s.latents.Scale) * score)
				sum += weights[t]
			}
			for t, weight := range weights {
				for i := range s.value {
					out[(r*s.heads+h)*s.value+i] += weight / sum * values[(t*s.heads+h)*s.value+i]
				}
			}
		}
	}
	return out
}

func furthest(got []float32, want []float64) float64 {
	worst := 0.0
	for i := range want {
		worst = max(worst, math.Abs(float64(got[i])-want[i]))
	}
	return worst
}

// Values are below 15 and scores below 10, both sums of some ten products, so that weights are known to 1e-5.
const latentBound = 5e-5

// A prompt (expanded), the same one generated token by token (absorbed), and the formula are one thing, within rounding.
func TestExpandedAndAbsorbedAreTheFormula(t *testing.T) {
	total := [2]int{260, 70}
	s := newLatentScene(t, total[0]+total[1], total)
	prompts := s.run(t, Segment{Seq: 0, To: total[0]}, Segment{Seq: 1, From: total[0], To: total[0] + total[1]})
	split := total[0] * s.heads * s.value
	for seq, got := range [][]float32{prompts[:split], prompts[split:]} {
		want := s.formula(seq)
		if d := furthest(got, want); d > latentBound {
			t.Errorf("sequence %d: the expanded form is %v away from the formula", seq, d)
		}
		generated := s.run(t, Segment{Seq: seq, To: total[seq], Form: Decode})
		if d := furthest(generated, want); d > latentBound {
			t.Errorf("sequence %d: the absorbed form is %v away from the formula", seq, d)
		}
	}
}

// Rows of both forms, of two sequences and in any order of segments share a step without a bit's difference to each alone.
func TestFormsShareAStep(t *testing.T) {
	total := [2]int{200, 140}
	s := newLatentScene(t, 340, total)
	width := s.heads * s.value
	chunks := []Segment{ // of sequence 0 a prompt of 192 and 8 generated, of 1 a prompt of 130 and 10 generated
		{Seq: 0, To: 64}, {Seq: 1, To: 128}, {Seq: 0, Start: 64, To: 128}, {Seq: 1, Start: 128, To: 2},
		{Seq: 1, Start: 130, To: 10, Form: Decode}, {Seq: 0, Start: 192, To: 8, Form: Decode},
	}
	var alone [][]float32
	for _, c := range chunks {
		alone = append(alone, s.run(t, c))
	}
	for _, order := range [][]int{{0, 1}, {2, 3}, {4, 5}, {0, 1, 2, 3, 4, 5}, {4, 0, 5, 1}, {5, 4, 3, 2, 1, 0}, {2, 4, 5, 3}} {
		var segments []Segment
		at := 0
		for _, i := range order {
			c := chunks[i]
			n := c.To
			c.From, c.To = at, at+n
			segments, at = append(segments, c), at+n
		}
		got := s.run(t, segments...)
		for j, i := range order {
			if g := segments[j]; !slices.Equal(got[g.From*width:g.To*width], alone[i]) {
				t.Errorf("order %v: segment %d differs from what it is alone", order, i)
			}
		}
	}
	whole := s.run(t, Segment{Seq: 0, To: 192})
	if !slices.Equal(whole, slices.Concat(alone[0], alone[2])) {
		t.Error("a whole prompt differs from its chunks")
	}
}

// After a few passes a step allocates nothing, in either form.
func TestLatentAttentionLeavesTheHeapAlone(t *testing.T) {
	s := newLatentScene(t, 100, [2]int{100, 1})
	for name, segments := range map[string][]Segment{"prompt": {{To: 64}}, "generated": {{Start: 64, To: 1, Form: Decode}}} {
		q, _ := cuda.FromF32(s.q[0][:segments[0].To*s.heads*s.query], segments[0].To, s.heads*s.query)
		c, _ := cuda.FromF32(s.rows[0][:segments[0].To*s.latentWidth], segments[0].To, s.latentWidth)
		positions, seqs := make([]int32, segments[0].To), make([]int32, segments[0].To)
		for i := range positions {
			positions[i] = int32(segments[0].Start + i)
		}
		b := &Batch{Segments: segments}
		tables := []int32{11, 3, 7, 0, 5, 9}
		if n := testing.AllocsPerRun(20, func() {
			s.step.Begin()
			b.Pages = s.step.Pages(positions, seqs, tables, 6, 12, BlockSize)
			s.step.EnterLayer(0)
			s.latents.Attend(s.step, q.Heads(s.query), c, b, s.cache)
		}); n > 0 || s.step.End() != nil {
			t.Errorf("%s: %v allocations, %v", name, n, s.step.End())
		}
	}
}
