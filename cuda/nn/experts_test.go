package nn

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/far"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// mixture is a model of nothing but mixtures.
type mixture struct {
	Embed  Embedding      `weight:"embed_tokens"`
	Layers []mixtureLayer `weight:"layers"`

	how cuda.RouteOptions
}

type mixtureLayer struct {
	Norm    RMSNorm `weight:"norm"`
	Router  Linear  `weight:"mlp.gate"`
	Experts Experts `weight:"mlp.experts"`
}

const mixtureVocab = 97

// newMixture has dummy weights in f32, so that a test can read them.
func newMixture(t testing.TB, layers, experts, k, hidden, inner int) (*mixture, *Bound) {
	t.Helper()
	m := &mixture{Embed: NewEmbedding(mixtureVocab, hidden), how: cuda.RouteOptions{TopK: k, Normalize: true}}
	for range layers {
		m.Layers = append(m.Layers, mixtureLayer{NewRMSNorm(hidden, 1e-6), NewLinear(experts, hidden), NewExperts(experts, hidden, inner)})
	}
	b, err := Bind(m, weights.Dummy(5, cuda.F32), BindOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return m, b
}

func (m *mixture) forward(s *cuda.Step, tokens []int32) (x cuda.Tensor) {
	x = m.Embed.Forward(s, s.Input(tokens))
	for i := range m.Layers {
		s.EnterLayer(i)
		l := &m.Layers[i]
		y := l.Norm.Forward(s, x)
		index, weights := s.Route(l.Router.Forward(s, y), nil, m.how)
		x = s.Add(x, l.Experts.Forward(s, y, index, weights))
	}
	return x
}

// formula is the same in float64, expert by expert and row by row.
func (m *mixture) formula(token int32) []float64 {
	at := func(w *cuda.Weight, row int) []float32 {
		all := w.File().Plane(0)
		return unsafe.Slice((*float32)(all.Pointer()), all.Bytes()/4)[row*w.File().Cols:][:w.File().Cols]
	}
	dot := func(w *cuda.Weight, row int, x []float64) (sum float64) {
		for i, v := range at(w, row) {
			sum += float64(v) * x[i]
		}
		return sum
	}
	x := make([]float64, m.Embed.W.Shape[1])
	for i, v := range at(m.Embed.W, int(token)) {
		x[i] = float64(v)
	}
	for _, l := range m.Layers {
		y, squares := make([]float64, len(x)), 0.0
		for _, v := range x {
			squares += v * v
		}
		for i, v := range x {
			y[i] = v / math.Sqrt(squares/float64(len(x))+1e-6) * float64(at(l.Norm.W, 0)[i])
		}
		logits, order := make([]float64, len(l.Experts.List)), make([]int, len(l.Experts.List))
		for e := range logits {
			logits[e], order[e] = dot(l.Router.W, e, y), e
		}
		slices.SortStableFunc(order, func(a, b int) int {
			if logits[a] > logits[b] {
				return -1
			}
			return 1
		})
		sum := 0.0
		for _, e := range order[:m.how.TopK] {
			sum += math.Exp(logits[e])
		}
		for _, e := range order[:m.how.TopK] {
			inner := make([]float64, l.Experts.List[e].Gate.W.Shape[0])
			for i := range inner {
				gate := dot(l.Experts.List[e].Gate.W, i, y)
				inner[i] = gate / (1 + math.Exp(-gate)) * dot(l.Experts.List[e].Up.W, i, y)
			}
			for i := range x {
				x[i] += math.Exp(logits[e]) / sum * dot(l.Experts.List[e].Down.W, i, inner)
			}
		}
	}
	return x
}

// mixtureRun is a mixture with a step over devices, reserved for a number of rows.
type mixtureRun struct {
	m    *mixture
	step *cuda.Step
}

func reserveMixture(t testing.TB, m *mixture, b *Bound, r cuda.Residency, rows int, devices ...cuda.Device) mixtureRun {
	t.Helper()
	s := cuda.NewStep(devices, b.Layers, r)
	sizes, err := s.Measure(func(s *cuda.Step) { m.forward(s, make([]int32, rows)) })
	if err != nil {
		t.Fatal(err)
	}
	for d := range devices {
		if err := s.Reserve(d, sizes); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Release(d) })
	}
	return mixtureRun{m, s}
}

func (r mixtureRun) run(t testing.TB, tokens []int32) []float32 {
	t.Helper()
	r.step.Begin()
	y := r.step.ToHost(r.m.forward(r.step, tokens))
	if err := r.step.End(); err != nil {
		t.Fatal(err)
	}
	return slices.Clone(y.F32())
}

func newCPU(t testing.TB, threads int) *cpu.Device {
	t.Helper()
	c := cpu.New(threads)
	t.Cleanup(func() { c.Close() })
	return c
}

func someTokens(n int) []int32 {
	rng, tokens := rand.New(rand.NewPCG(3, 9)), make([]int32, n)
	for i := range tokens {
		tokens[i] = rng.Int32N(mixtureVocab)
	}
	return tokens
}

// Few experts and more than a run takes; few rows and more than a run takes, so that runs are cut at both.
func TestExpertsAreTheFormula(t *testing.T) {
	for _, c := range []struct{ experts, k, rows int }{{1, 1, 3}, {8, 2, 60}, {150, 10, 40}, {4, 4, 400}, {3, 2, 1500}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			m, b := newMixture(t, 2, c.experts, c.k, 24, 17)
			tokens := someTokens(c.rows)
			got := reserveMixture(t, m, b, nil, c.rows, newCPU(t, 2)).run(t, tokens)
			known := map[int32][]float64{}
			for r, token := range tokens {
				if known[token] == nil {
					known[token] = m.formula(token)
				}
				for i, want := range known[token] {
					if d := math.Abs(float64(got[r*24+i]) - want); d > 2e-5 { // values are below 4; f32 through two layers
						t.Fatalf("row %d element %d: %v, the formula says %v", r, i, got[r*24+i], want)
					}
				}
			}
		})
	}
}

// A row's bits are the same alone, in company, in large batches that go in several runs, and on one thread.
func TestExpertsOfARowDoNotFeelOthers(t *testing.T) {
	m, b := newMixture(t, 2, 80, 4, 40, 24)
	tokens := someTokens(700)
	whole := reserveMixture(t, m, b, nil, len(tokens), newCPU(t, 3)).run(t, tokens)
	one := reserveMixture(t, m, b, nil, 64, newCPU(t, 1))
	for _, n := range []int{1, 2, 17, 64} {
		for from := 0; from < 192; from += n {
			got := one.run(t, tokens[from:min(from+n, 192)])
			if !slices.Equal(got, whole[from*40:from*40+len(got)]) {
				t.Fatalf("rows %d to %d alone differ", from, from+n)
			}
		}
	}
}

// elsewhere is a Residency that has put some modules on a second device.
type elsewhere struct {
	dev   map[*cuda.Module]int
	asked map[string]int
}

func (e *elsewhere) Enter(m *cuda.Module) (int, cuda.Event, error) {
	e.asked[m.ID]++
	return e.dev[m], nil, nil
}

// put copies a module's weights to a device, for good.
func (e *elsewhere) put(t testing.TB, d cuda.Device, m *cuda.Module) {
	t.Helper()
	q := d.NewQueue()
	for _, w := range m.Weights {
		f := w.File()
		mem, err := d.Alloc(f.Layout.DeviceBytes(f.Rows, f.Cols), cuda.ForWeights)
		if err != nil {
			t.Fatal(err)
		}
		there, err := f.Layout.Lay(d, mem, 0, f.Rows, f.Cols)
		if err != nil {
			t.Fatal(err)
		}
		q.Fill(there, f)
		w.Put(1, there)
	}
	if err := q.Sync(); err != nil {
		t.Fatal(err)
	}
	if e.dev[m] = 1; isExpertID(m.ID) {
		m.Settle(1) // experts are not asked for
	}
}

func isExpertID(id string) bool { return strings.Contains(id, ".experts.") }

// Experts, layers or all of both lie on a second device, in any mixture: no bit changes, what was measured is enough on either
// device, and each layer is asked for once, an expert never.
func TestExpertsMayLieAnywhere(t *testing.T) {
	const layers, experts = 3, 20
	tokens := someTokens(300)
	m, b := newMixture(t, layers, experts, 4, 40, 24)
	want := reserveMixture(t, m, b, nil, len(tokens), newCPU(t, 2)).run(t, tokens)
	rng := rand.New(rand.NewPCG(4, 9))
	for name, there := range map[string]func(m *cuda.Module) bool{
		"every other expert": func(m *cuda.Module) bool { return m.Layer >= 0 && len(m.ID) > 9 && m.ID[len(m.ID)-1]%2 == 0 },
		"all experts":        func(m *cuda.Module) bool { return m.Layer >= 0 && len(m.ID) > 9 },
		"all layers":         func(m *cuda.Module) bool { return m.Layer >= 0 && len(m.ID) < 9 },
		"everything":         func(*cuda.Module) bool { return true },
		"any":                func(*cuda.Module) bool { return rng.IntN(2) == 0 },
	} {
		for _, pace := range far.Paces() {
			t.Run(name+"/"+pace.String(), func(t *testing.T) {
				m, b := newMixture(t, layers, experts, 4, 40, 24)
				cpu := newCPU(t, 2)
				on := far.NewMachine(cpu, pace)
				second := on.Device("far", 0, 0, 0)
				e := &elsewhere{dev: map[*cuda.Module]int{}, asked: map[string]int{}}
				for _, mod := range b.Modules {
					if there(mod) {
						e.put(t, second, mod)
					}
				}
				r := reserveMixture(t, m, b, e, len(tokens), on.CPU(), second)
				for range 2 {
					clear(e.asked)
					if got := r.run(t, tokens); !slices.Equal(got, want) {
						t.Fatal("the bits differ")
					}
					for _, mod := range b.Modules {
						if want := map[bool]int{false: 1}[isExpertID(mod.ID)]; e.asked[mod.ID] != want {
							t.Errorf("%s was asked for %d times, not %d", mod.ID, e.asked[mod.ID], want)
						}
					}
				}
				for _, err := range on.Faults() {
					t.Error(err)
				}
			})
		}
	}
}

// What a part of the rows needs is used again by the next: a batch of many rows takes the room of some, not of all.
func TestExpertsTakeTheRoomOfOnePart(t *testing.T) {
	const hidden, inner, k = 16, 300, 8
	m, b := newMixture(t, 1, 64, k, hidden, inner)
	s := cuda.NewStep([]cuda.Device{newCPU(t, 1)}, b.Layers, nil)
	size := func(rows int) int64 {
		z, err := s.Measure(func(s *cuda.Step) { m.forward(s, make([]int32, rows)) })
		if err != nil {
			t.Fatal(err)
		}
		return z.Part
	}
	all := func(rows int) int64 { return 4 * int64(rows) * k * (hidden + 2*inner) }
	if got := size(64); got < all(64) {
		t.Errorf("64 rows take %d bytes, less than their %d", got, all(64))
	}
	if got := size(4096); got > all(4096)/4 {
		t.Errorf("4096 rows take %d bytes, of %d for all entries", got, all(4096))
	}
}

// A decode step makes no garbage, wherever the experts lie.
func TestDecodeOfExpertsAllocatesNothing(t *testing.T) {
	m, b := newMixture(t, 2, 16, 4, 40, 24)
	cpu := newCPU(t, 2)
	second := far.New("far", 0, 0, 0, cpu)
	e := &elsewhere{dev: map[*cuda.Module]int{}, asked: map[string]int{}}
	for i, mod := range b.Modules {
		mod.Settle(0)
		if i%3 == 0 {
			e.put(t, second, mod)
			mod.Settle(1)
		}
	}
	r := reserveMixture(t, m, b, e, 4, cpu, second)
	token := []int32{7}
	step := func() {
		r.step.Begin()
		r.step.ToHost(m.forward(r.step, token))
		if r.step.End() != nil {
			t.Fatal(r.step.Err())
		}
	}
	step()
	if n := testing.AllocsPerRun(50, step); n != 0 {
		t.Errorf("a decode step makes %v allocations", n)
	}
}
