package nntest

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/golden"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// kernels.go runs a model with each table of kernels that this machine has, from its best to the portable one.

// Portable runs the tests that compare with the reference, and those of cuts and company, with the other tables of kernels.
func (s Suite) Portable(t *testing.T) {
	for _, table := range cpu.Tables() {
		if "cpu/"+table == cpu.Kernels() {
			continue // the other tests have shown it
		}
		t.Run(table, func(t *testing.T) {
			t.Setenv(cpu.EnvKernels, table)
			if got := cpu.Kernels(); got != "cpu/"+table {
				t.Fatalf("the kernels are %s", got)
			}
			t.Run("EveryLayer", s.EveryLayer)
			t.Run("Greedy", s.Greedy)
			t.Run("Borders", s.Borders)
			t.Run("Company", s.Company)
		})
	}
}

// Invention is a small model that no reference was run on.
type Invention struct {
	Config []byte // with vocab_size
	Source weights.Source
	// Open is that of the suite where it is nil.
	Open func(config []byte, layers int, has func(string) bool) (Model, error)
}

// randomModels is how many configs RandomConfigs draws.
const randomModels = 24

// RandomConfigs draws legal configs and compares the logits of all tables of kernels: of a prompt of more than one block in two
// steps, and of two generated tokens. invent draws the i-th.
func (s Suite) RandomConfigs(t *testing.T, invent func(t testing.TB, rng *rand.Rand, i int) Invention) {
	best := s.randomLogits(t, invent)
	for _, table := range cpu.Tables() {
		if "cpu/"+table == cpu.Kernels() {
			continue
		}
		t.Run(table, func(t *testing.T) {
			name := cpu.Kernels()
			t.Setenv(cpu.EnvKernels, table)
			sameKernels(t, name, table, s.randomLogits(t, invent), best)
		})
	}
}

func sameKernels(t testing.TB, name, table string, got, best [][]float32) {
	t.Helper()
	d := golden.Compare(slices.Concat(got...), slices.Concat(best...))
	if !(d.Rel <= 2e-5) { // the order of sums differs; tiny eps and hidden sizes amplify it
		model, at := 0, d.At
		for model < len(best)-1 && at >= len(best[model]) {
			model, at = model+1, at-len(best[model])
		}
		t.Errorf("%s and %s are %.1e apart at logit %d of model %d", name, table, d.Rel, at, model)
	}
	t.Logf("%s and %s are %.1e apart", name, table, d.Rel)
}

// randomLogits gives the logits of each model drawn.
func (s Suite) randomLogits(t testing.TB, invent func(t testing.TB, rng *rand.Rand, i int) Invention) [][]float32 {
	t.Helper()
	rng, all := rand.New(rand.NewPCG(3, 4)), make([][]float32, randomModels)
	for i := range all {
		x := invent(t, rng, i)
		one := s
		if x.Open != nil {
			one.Open = x.Open
		}
		var keys struct {
			Vocab int `json:"vocab_size"`
		}
		if err := json.Unmarshal(x.Config, &keys); err != nil || keys.Vocab < 1 {
			t.Fatalf("%s: vocab_size %d, %v", x.Config, keys.Vocab, err)
		}
		r, _ := one.Load(t, x.Config, x.Source, Limits{Rows: 96, Sequences: 1, Positions: 128})
		for _, c := range []Chunk{{Tokens: make([]int32, 64)}, {Tokens: make([]int32, 9)}, {Tokens: make([]int32, 1), Form: nn.Decode}, {Tokens: make([]int32, 1), Form: nn.Decode}} {
			for j := range c.Tokens {
				c.Tokens[j] = int32(rng.IntN(keys.Vocab))
			}
			c.All = true
			logits, err := r.Run(c)
			if err != nil {
				t.Fatalf("%s: %v", x.Config, err)
			}
			all[i] = append(all[i], slices.Concat(logits...)...)
		}
	}
	return all
}
