package cuda_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/far"
)

// model_test.go holds a small dense model: what the tests of Step run.

const (
	vocab, hidden, heads, kvHeads, dim, inner = 50, 24, 4, 2, 8, 40
	blocks, blockSize                         = 6, 16
)

type layer struct {
	norm, q, k, v, o, gate, up, down *cuda.Weight
	keys, values                     *cuda.State
}

type model struct {
	embed, norm *cuda.Weight // embed is the head as well
	layers      []layer
	modules     []*cuda.Module // of the layers
	outside     []*cuda.Module
	cpu         *cpu.Device
}

func newModel(t testing.TB, layers int) *model {
	rng := rand.New(rand.NewPCG(1, 2))
	m := &model{cpu: cpu.New(2)}
	t.Cleanup(func() { m.cpu.Close() })
	weight := func(mod *cuda.Module, name string, shape ...int) *cuda.Weight {
		n := 1
		for _, d := range shape {
			n *= d
		}
		data := make([]byte, 2*n)
		for i := range n {
			bits := math.Float32bits(float32(rng.NormFloat64()) / float32(math.Sqrt(float64(shape[len(shape)-1]))))
			data[2*i], data[2*i+1] = byte(bits>>16), byte(bits>>24)
		}
		host, err := cuda.HostTensor(data, cuda.BF16, shape...)
		must(t, err)
		return bind(t, mod.ID+"."+name, mod, host)
	}
	state := func(mod *cuda.Module, name string) *cuda.State {
		data, err := cuda.FromF32(make([]float32, blocks*kvHeads*blockSize*dim), blocks, kvHeads, blockSize, dim)
		must(t, err)
		return cuda.NewState(mod.ID+"."+name, mod, data)
	}
	table, final := &cuda.Module{ID: "embed_tokens", Layer: -1}, &cuda.Module{ID: "norm", Layer: -1}
	m.outside = []*cuda.Module{table, final}
	m.embed, m.norm = weight(table, "weight", vocab, hidden), weight(final, "weight", hidden)
	for i := range layers {
		mod := &cuda.Module{ID: fmt.Sprintf("layers.%d", i), Layer: i}
		m.modules = append(m.modules, mod)
		m.layers = append(m.layers, layer{
			norm: weight(mod, "norm", hidden), q: weight(mod, "q", heads*dim, hidden), k: weight(mod, "k", kvHeads*dim, hidden),
			v: weight(mod, "v", kvHeads*dim, hidden), o: weight(mod, "o", hidden, heads*dim), gate: weight(mod, "gate", inner, hidden),
			up: weight(mod, "up", inner, hidden), down: weight(mod, "down", hidden, inner),
			keys: state(mod, "keys"), values: state(mod, "values"),
		})
	}
	return m
}

var freqs = []float32{1, 0.1, 0.01, 0.001}

// rows is a batch of one sequence: tokens at consecutive positions.
type rows struct {
	tokens []int32
	start  int32
}

// forward gives the logits of the last row.
func (m *model) forward(s *cuda.Step, b rows) cuda.Tensor {
	n := len(b.tokens)
	positions, seqs := make([]int32, 64)[:n], make([]int32, 64)[:n]
	for i := range positions {
		positions[i] = b.start + int32(i)
	}
	tokens, last := s.Input(b.tokens), s.Input([]int32{int32(n) - 1})
	pages := s.Pages(positions, seqs, []int32{3, 0, 5}, 3, blocks, blockSize)
	angles := s.Angles(pages.Positions, freqs, 1) // (rows, dim/2, 2)
	x := s.Embed(tokens, m.embed)                 // (rows, hidden)
	s.Observe("embeddings", 0, x)
	for i := range m.layers {
		s.EnterLayer(i)
		l := &m.layers[i]
		a := s.RMSNorm(x, l.norm, 1e-6, 0)
		q, k, v := s.MatMul(a, l.q).Heads(dim), s.MatMul(a, l.k).Heads(dim), s.MatMul(a, l.v).Heads(dim)
		s.CacheWrite(l.keys, s.Rotate(k, angles, cuda.Half), pages)
		s.CacheWrite(l.values, v, pages)
		y := s.Attention(s.Rotate(q, angles, cuda.Half), l.keys, l.values, pages, 0.35)
		x = s.Add(x, s.MatMul(y.Flat(), l.o))
		x = s.Add(x, s.MatMul(s.SwiGLU(s.MatMul(x, l.gate), s.MatMul(x, l.up)), l.down))
		s.Observe("layer", i, x)
	}
	return s.MatMul(s.RMSNorm(s.Gather(x, last), m.norm, 1e-6, 0), m.embed)
}

// run makes a pass and gives a copy of its logits.
func (m *model) run(t testing.TB, s *cuda.Step, b rows) []float32 {
	t.Helper()
	s.Begin()
	out := s.ToHost(m.forward(s, b))
	must(t, s.End())
	return append([]float32(nil), out.F32()...)
}

// reserve measures with 40 rows and takes that much on every device.
func (m *model) reserve(t testing.TB, s *cuda.Step, devices int) cuda.Sizes {
	t.Helper()
	sizes, err := s.Measure(func(s *cuda.Step) { m.forward(s, rows{tokens: make([]int32, 40)}) })
	must(t, err)
	for d := range devices {
		must(t, s.Reserve(d, sizes))
	}
	return sizes
}

// prompt and then single tokens: prefill and decode.
var passes = func() []rows {
	all := []rows{{tokens: make([]int32, 30)}}
	for i := range all[0].tokens {
		all[0].tokens[i] = int32(i * 7 % vocab)
	}
	for i := range int32(5) {
		all = append(all, rows{tokens: []int32{(i*13 + 4) % vocab}, start: 30 + i})
	}
	return all
}()

// place is a Residency that keeps modules where a test puts them.
type place struct {
	devices []cuda.Device
	dev     map[*cuda.Module]int
	asked   []string
	refuse  error
	memory  map[*cuda.Module][]cuda.Memory
}

func (p *place) Enter(m *cuda.Module) (int, cuda.Event, error) {
	p.asked = append(p.asked, m.ID)
	return p.dev[m], nil, p.refuse
}

// move brings a module's weights and states to a device, as cuda/serve does.
func (p *place) move(t testing.TB, m *cuda.Module, to int) {
	t.Helper()
	from := p.dev[m]
	if from == to {
		return
	}
	out, in := p.devices[from].NewQueue(), p.devices[to].NewQueue()
	alloc := func(bytes int64, purpose cuda.Purpose) cuda.Memory {
		mem, err := p.devices[to].Alloc(bytes, purpose)
		must(t, err)
		return mem
	}
	var memory []cuda.Memory
	for _, s := range m.States {
		src := s.Tensor()
		mem := alloc(src.Bytes(), cuda.ForState)
		dst, err := cuda.DeviceTensor(p.devices[to], mem, 0, src.DType(), shapeOf(src)...)
		must(t, err)
		if from == 0 {
			in.CopyIn(dst, src)
		} else {
			out.CopyOut(dst, src)
		}
		s.Move(dst)
		memory = append(memory, mem)
	}
	for _, w := range m.Weights {
		if w.Drop(from); to != 0 {
			f := w.File()
			mem := alloc(f.Layout.DeviceBytes(f.Rows, f.Cols), cuda.ForWeights)
			dst, err := f.Layout.Lay(p.devices[to], mem, 0, f.Rows, f.Cols)
			must(t, err)
			in.Fill(dst, f)
			w.Put(to, dst)
			memory = append(memory, mem)
		}
	}
	must(t, out.Sync())
	must(t, in.Sync())
	for _, mem := range p.memory[m] {
		p.devices[from].Free(mem)
	}
	p.memory[m], p.dev[m] = memory, to
}

func shapeOf(x cuda.Tensor) []int {
	shape := make([]int, x.NDim())
	for i := range shape {
		shape[i] = x.Dim(i)
	}
	return shape
}

// bind makes a weight of a tensor's elements.
func bind(t testing.TB, name string, m *cuda.Module, host cuda.Tensor) *cuda.Weight {
	t.Helper()
	file, err := cuda.MatrixOf(host)
	must(t, err)
	w := cuda.NewWeight(shapeOf(host)...)
	w.Bind(name, m, file)
	return w
}

func newPlace(devices ...cuda.Device) *place {
	return &place{devices: devices, dev: map[*cuda.Module]int{}, memory: map[*cuda.Module][]cuda.Memory{}}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// atEveryPace runs a test with far devices that run at once, as late as can be, at random and in their own time.
func atEveryPace(t *testing.T, f func(t *testing.T, pace far.Pace)) {
	t.Helper()
	for _, p := range far.Paces() {
		t.Run(p.String(), func(t *testing.T) { f(t, p) })
	}
}

// machineAt is where such devices come from. In the end nothing may be accused.
func machineAt(t testing.TB, pace far.Pace, c *cpu.Device) *far.Machine {
	m := far.NewMachine(c, pace)
	t.Cleanup(func() {
		for _, err := range m.Faults() {
			t.Error(err)
		}
	})
	return m
}
