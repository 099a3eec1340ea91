package serve

// outputs_test.go has tokens chosen where the logits lie: what is chosen there, and how much travels.

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/far"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/engine"
)

// echo is a model whose logits are given, and lie where its head does. The final state of a row is its logits, too.
type echo struct {
	Model
	head  *cuda.Module
	rows  []float32
	vocab int
}

func (m *echo) Forward(s *cuda.Step, b *nn.Batch) cuda.Tensor {
	return s.Gather(s.InputF32(m.rows, len(m.rows)/m.vocab, m.vocab), b.Outputs)
}

func (m *echo) Unembed(s *cuda.Step, x cuda.Tensor) cuda.Tensor {
	if x.Rows() == 0 {
		return x
	}
	all := make([]int32, x.Rows())
	for i := range all {
		all[i] = int32(i)
	}
	s.EnterModule(m.head)
	x, index := s.Here(x), s.Here(s.Input(all))
	x = s.Gather(x, index)
	s.EnterModule(nil) // the last layer is on the CPU
	return x
}

// headOn is where echo's head is.
type headOn int

func (h headOn) Enter(*cuda.Module) (int, cuda.Event, error) { return int(h), nil, nil }

// desk is outputs of rows of a vocabulary on a CPU, with the head there or far.
type desk struct {
	t     testing.TB
	step  *cuda.Step
	there *far.Device
	model *echo
	out   outputs
}

func newDesk(t testing.TB, rows, vocab int, head headOn) *desk {
	t.Helper()
	c := cpu.New(2)
	d := &desk{t: t, there: far.New("far", 0, 0, 0, c), model: &echo{head: &cuda.Module{ID: "lm_head", Layer: -1}, vocab: vocab}}
	d.step = cuda.NewStep([]cuda.Device{c, d.there}, nil, head)
	d.model.rows = make([]float32, rows*vocab)
	d.ask(make([]engine.Row, rows))
	z, err := d.step.Measure(d.forward)
	for dev := range 2 {
		if err == nil {
			err = d.step.Reserve(dev, z)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.step.Release(0)
		d.step.Release(1)
		d.step.Close()
		c.Close()
	})
	return d
}

// ask makes every row an output.
func (d *desk) ask(list []engine.Row) {
	d.out.begin(d.model.vocab)
	for i := range list {
		list[i].Output = true
		d.out.ask(i, &list[i])
	}
}

func (d *desk) forward(s *cuda.Step) {
	d.out.look(s, d.model, d.model.Forward(s, &nn.Batch{Outputs: s.Input(d.out.list())}))
}

// run is a step, and how many bytes it brought from far.
func (d *desk) run(list []engine.Row, logits []float32) (rows [][]float32, bytes int64) {
	d.t.Helper()
	d.model.rows = logits
	before := d.there.Traffic().BytesOut
	d.ask(list)
	d.step.Begin()
	d.forward(d.step)
	err := d.step.End()
	if err == nil {
		rows, err = d.out.give(d.step)
	}
	if err != nil {
		d.t.Fatal(err)
	}
	return rows, d.there.Traffic().BytesOut - before
}

func randomRow(r *rand.Rand, row []float32) {
	levels := []int{1, 3, 50, 1 << 20, 1 << 20, 1 << 20}[r.IntN(6)] // few levels make ties
	for i := range row {
		row[i] = float32(r.IntN(levels))/float32(levels)*24 - 12
	}
	if r.IntN(4) == 0 {
		for range r.IntN(2 * len(row)) {
			row[r.IntN(len(row))] = float32(math.Inf(-1))
		}
	}
	for _, odd := range []float64{math.NaN(), math.Inf(1), math.Copysign(0, -1), math.MaxFloat32} {
		if r.IntN(12) == 0 {
			row[r.IntN(len(row))] = float32(odd)
		}
	}
}

func randomParams(r *rand.Rand) engine.Params {
	p := engine.Params{Seed: r.Uint64(), Temperature: []float64{0, 0.7, 1.2}[r.IntN(3)], TopK: []int{0, 1, 5, 20, 256, 300}[r.IntN(6)],
		TopP: []float64{0, 0.8}[r.IntN(2)], MinP: []float64{0, 0.05}[r.IntN(2)], Logprobs: r.IntN(8) == 0, TopLogprobs: 3}
	if r.IntN(3) == 0 {
		p.RepetitionPenalty, p.PresencePenalty = []float64{0, 1.1, 0.8}[r.IntN(3)], []float64{0, 2}[r.IntN(2)]
	}
	return p
}

// Wherever the head is, what is chosen there is what the whole row gives, to the bit: in company, with ties, and with logits that are none.
func TestChoicesWhereTheLogitsLie(t *testing.T) {
	for name, head := range map[string]headOn{"cpu": 0, "far": 1} {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, uint64(head)))
			chosen, asked := 0, 0
			for _, vocab := range []int{1, 40, 1000, 40_000} {
				const most = 6
				d := newDesk(t, most, vocab, head)
				for range 400_000/(vocab+1000) + 1 {
					n := 1 + r.IntN(most)
					logits, list := make([]float32, n*vocab), make([]engine.Row, n)
					samplers, want := make([]*engine.Sampler, n), make([]*engine.Choice, n)
					for i := range list {
						randomRow(r, logits[i*vocab:][:vocab])
						p, seen := randomParams(r), r.Int32N(int32(vocab))
						samplers[i] = engine.NewSampler(p, i)
						other := engine.NewSampler(p, i)
						samplers[i].Answer(seen)
						other.Answer(seen)
						want[i] = other.Ask(9)
						want[i].From(slices.Clone(logits[i*vocab:][:vocab]))
						switch r.IntN(8) {
						case 0:
							list[i].Final = true
						case 1: // all logits
						default:
							list[i].Choice = samplers[i].Ask(9)
						}
					}
					rows, _ := d.run(list, slices.Clone(logits))
					for i, row := range list {
						if row.Choice != nil {
							asked++
						}
						if row.Choice == nil || !row.Choice.Made() {
							if got, whole := rows[i], logits[i*vocab:][:vocab]; !sameBits(got, whole) {
								t.Fatalf("row %d of %d brought other logits", i, n)
							}
							if row.Choice == nil {
								continue
							}
							row.Choice.From(slices.Clone(rows[i]))
						} else if chosen++; rows[i] != nil {
							t.Fatalf("row %d is chosen and came too", i)
						}
						if got, want := answerOf(row.Choice), answerOf(want[i]); !reflect.DeepEqual(got, want) {
							t.Fatalf("row %d of %d of %d logits, %+v: %+v; all logits give %+v", i, n, vocab, *row.Choice.Params, got, want)
						}
					}
				}
			}
			if least := map[headOn]int{0: asked / 20, 1: asked / 5}[head]; chosen < least { // a third asks for what takes all logits
				t.Errorf("%d of %d choices were made where the logits lie", chosen, asked)
			}
		})
	}
}

type answered struct {
	ID      int32
	Logprob *sdk.TokenLogprob
	Err     error
}

func answerOf(c *engine.Choice) (a answered) {
	a.ID, a.Logprob, a.Err = c.Chosen()
	return a
}

func sameBits(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}

// Of a vocabulary of 151,936 a greedy row brings two numbers from where the head is, one with top_k a few hundred; whoever wants all logits
// gets theirs, and the others do not travel with them.
func TestOnlyWhatIsAskedForTravels(t *testing.T) {
	const vocab = 151_936
	d := newDesk(t, 8, vocab, 1)
	r := rand.New(rand.NewPCG(3, 3))
	logits := make([]float32, 8*vocab)
	for i := range logits {
		logits[i] = float32(r.NormFloat64())
	}
	rows := func(params ...engine.Params) (list []engine.Row) {
		for _, p := range params {
			list = append(list, engine.Row{Choice: engine.NewSampler(p, 0).Ask(1)})
		}
		return list
	}
	greedy, topK, more := engine.Params{}, engine.Params{Temperature: 0.7, TopK: 20, TopP: 0.8}, engine.Params{Temperature: 1, TopK: 40}
	candidates := int64(rows(topK)[0].Choice.Candidates(vocab))
	tied := slices.Clone(logits)
	for i := range 50 {
		tied[i*1000] = 9
	}
	for name, c := range map[string]struct {
		list   []engine.Row
		logits []float32
		want   int64
	}{
		"greedy":                 {rows(greedy), logits, 8},
		"eight greedy":           {rows(greedy, greedy, greedy, greedy, greedy, greedy, greedy, greedy), logits, 64},
		"top_k":                  {rows(topK), logits, 8 + 8*candidates},
		"top_k, of one more":     {rows(more, topK), logits, 2*8 + 2*8*(candidates+20)},
		"temperature alone":      {rows(engine.Params{Temperature: 1}), logits, 4 * vocab},
		"logprobs":               {rows(engine.Params{Logprobs: true}), logits, 4 * vocab},
		"one of three wants all": {append(rows(greedy, greedy), engine.Row{}), logits, 16 + 4*vocab},
		"a final state":          {[]engine.Row{{Final: true}}, logits, 0}, // which lies on the CPU
		"fifty equal the 20th":   {rows(topK), tied, 8 + 8*candidates + 4*vocab},
	} {
		t.Run(name, func(t *testing.T) {
			if _, bytes := d.run(c.list, c.logits[:len(c.list)*vocab]); bytes != c.want {
				t.Errorf("%d bytes came from where the head is; %d are needed", bytes, c.want)
			}
		})
	}
}
