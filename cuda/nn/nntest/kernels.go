package nntest

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
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

// Random adds to an invention what its architecture has besides the keys of every decoder, or has otherwise.
type Random func(r *rand.Rand, x *Invention)

// Invention is a small model that no reference was run on. Its config is a legal one of a dense decoder, each fourth in FP8 with blocks
// of any size.
type Invention struct {
	Config map[string]any
	DType  cuda.DType
	Source weights.Source // of that type
	// Open is that of the suite where it is nil.
	Open func(config []byte, layers int, has func(string) bool) (Model, error)
}

// randomModels is how many configs RandomConfigs draws.
const randomModels = 24

// RandomConfigs draws legal configs and compares the logits of all tables of kernels: of a prompt of more than one block in two
// steps, and of two generated tokens.
func (s Suite) RandomConfigs(t *testing.T) {
	best := s.randomLogits(t)
	for _, table := range cpu.Tables() {
		if "cpu/"+table == cpu.Kernels() {
			continue
		}
		t.Run(table, func(t *testing.T) {
			name := cpu.Kernels()
			t.Setenv(cpu.EnvKernels, table)
			sameKernels(t, name, table, s.randomLogits(t), best)
		})
	}
}

// invent draws the i-th model.
func (s Suite) invent(r *rand.Rand, i int) *Invention {
	kv := 1 + r.IntN(4)
	x := &Invention{DType: []cuda.DType{cuda.BF16, cuda.F16, cuda.F32, cuda.F8E4M3}[i%4], Config: map[string]any{
		"architectures": s.Published.keys().Architectures,
		"vocab_size":    2 + r.IntN(200), "hidden_size": 1 + r.IntN(150), "intermediate_size": 1 + r.IntN(200), "num_hidden_layers": 1 + r.IntN(4),
		"num_key_value_heads": kv, "num_attention_heads": kv * (1 + r.IntN(5)), "head_dim": 2 * (1 + r.IntN(40)), "max_position_embeddings": 256,
		"rms_norm_eps": Pick(r, 1e-3, 1e-5, 1e-6, 1e-8), "rope_theta": Pick(r, 100, 10000, 5000000), "tie_word_embeddings": Coin(r),
	}}
	if x.DType == cuda.F8E4M3 {
		x.Config["quantization_config"] = map[string]any{"quant_method": "fp8", "weight_block_size": []int{Pick(r, 1, 16, 31, 128), Pick(r, 3, 24, 64, 128)}}
	}
	x.Source = weights.Dummy(uint64(i), x.DType)
	s.Random(r, x)
	return x
}

// Pick draws one of some values.
func Pick[T any](r *rand.Rand, values ...T) T { return values[r.IntN(len(values))] }

// Coin is true half of the time.
func Coin(r *rand.Rand) bool { return r.IntN(2) == 0 }

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
func (s Suite) randomLogits(t testing.TB) [][]float32 {
	t.Helper()
	rng, all := rand.New(rand.NewPCG(3, 4+s.Seed)), make([][]float32, randomModels)
	for i := range all {
		x := s.invent(rng, i)
		config, err := json.Marshal(x.Config)
		if err != nil {
			t.Fatal(err)
		}
		one := s
		if x.Open != nil {
			one.Open = x.Open
		}
		r, _ := one.Load(t, config, x.Source, Limits{Rows: 96, Sequences: 1, Positions: 128})
		for _, c := range []Chunk{{Tokens: make([]int32, 64)}, {Tokens: make([]int32, 9)}, {Tokens: make([]int32, 1), Form: nn.Decode}, {Tokens: make([]int32, 1), Form: nn.Decode}} {
			for j := range c.Tokens {
				c.Tokens[j] = int32(rng.IntN(x.Config["vocab_size"].(int)))
			}
			c.All = true
			logits, err := r.Run(c)
			if err != nil {
				t.Fatalf("%s: %v", config, err)
			}
			all[i] = append(all[i], slices.Concat(logits...)...)
		}
	}
	return all
}
