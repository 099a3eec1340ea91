package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/golden"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

func TestPublishedShapeHasItsParametersAndGenerates(t *testing.T) {
	r, bound := load(t, []byte(published), weights.Dummy(1, cuda.BF16), nntest.Limits{Rows: 32, Sequences: 1, Positions: 64})
	if bound.Parameters != 596_049_920 {
		t.Errorf("%d parameters; the published model has 596,049,920", bound.Parameters)
	}
	if len(bound.Layers) != 28 || len(bound.Modules) != 30 { // embed_tokens, 28 layers, norm; the head is the embedding
		t.Errorf("%d layers in %d modules", len(bound.Layers), len(bound.Modules))
	}
	prompt := []int32{151643, 0, 151935, 1000, 100000}
	logits, err := r.Run(nntest.Chunk{Tokens: prompt})
	if err != nil {
		t.Fatal(err)
	}
	spread := 0.0
	for _, x := range logits[0] {
		spread += float64(x) * float64(x) / float64(len(logits[0]))
	}
	// Dummy weights keep the size of what passes through, so logits have a variance near 1 (the last norm's weights spread it).
	if len(logits[0]) != 151936 || !(spread > 0.5 && spread < 2) {
		t.Errorf("%d logits with variance %v", len(logits[0]), spread)
	}
	first := nntest.Argmax(logits[0])
	tokens, err := r.Generate(0, prompt, 2, 4)
	if err != nil || tokens[0] != first {
		t.Errorf("generates %v after %d, %v", tokens, first, err)
	}
	t.Log("generates", tokens)
}

// edited opens the tiny checkpoint with tensors added, replaced or (with a nil entry) removed.
type edited struct {
	weights.Source
	changes map[string]*weights.View
}

func (e edited) Get(name string, shape []int) (weights.View, bool) {
	if v, ok := e.changes[name]; ok {
		if v == nil {
			return weights.View{}, false
		}
		return *v, true
	}
	return e.Source.Get(name, shape)
}

func (e edited) Names() []string {
	var names []string
	for _, n := range e.Source.Names() {
		if _, changed := e.changes[n]; !changed {
			names = append(names, n)
		}
	}
	for n, v := range e.changes {
		if v != nil {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names
}

func bf16(shape ...int) *weights.View {
	n := 2
	for _, d := range shape {
		n *= d
	}
	return &weights.View{Format: "BF16", DType: cuda.BF16, Known: true, Shape: shape, Data: make([]byte, n)}
}

func bindTiny(t *testing.T, changes map[string]*weights.View) (*Model, error) {
	t.Helper()
	c, err := ParseConfig(read(t, tiny, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	m := New(c, 0)
	_, err = nn.Bind(m, edited{checkpoint(t, tiny), changes}, nn.BindOptions{Prefix: "model.", Ignore: m.IgnoreTensor})
	return m, err
}

func TestMissingExtraAndMisshapenTensorsAreOneError(t *testing.T) {
	_, err := bindTiny(t, map[string]*weights.View{
		"model.layers.3.self_attn.q_proj.weight":       nil,
		"model.norm.weight":                            nil,
		"model.layers.0.mlp.up_proj.weight":            bf16(128, 384),
		"model.layers.1.self_attn.q_norm.weight":       bf16(128),
		"model.layers.0.self_attn.q_proj.bias":         bf16(256),
		"model.layers.4.input_layernorm.weight":        bf16(128),
		"model.layers.2.mlp.gate_proj.weight":          {Format: "I8", Shape: []int{384, 128}, Data: make([]byte, 384*128)},
		"model.layers.2.self_attn.rotary_emb.inv_freq": bf16(32), // known, and not needed
	})
	var report *nn.BindError
	if !errors.As(err, &report) {
		t.Fatalf("error %v", err)
	}
	want := nn.BindError{
		Missing: []string{"model.layers.3.self_attn.q_proj.weight (256, 128)", "model.norm.weight (128)"},
		Shapes:  []string{"model.layers.0.mlp.up_proj.weight is (128, 384), not (384, 128)", "model.layers.1.self_attn.q_norm.weight is (128), not (64)"},
		Types:   []string{"model.layers.2.mlp.gate_proj.weight is I8"},
		Extra:   []string{"model.layers.0.self_attn.q_proj.bias", "model.layers.4.input_layernorm.weight"},
	}
	if err.Error() != want.Error() {
		t.Errorf("error %s\nwant  %s", err, want.Error())
	}
}

func TestStrayHeadIsAcceptedAndNotRead(t *testing.T) {
	m, err := bindTiny(t, map[string]*weights.View{"lm_head.weight": bf16(7, 7)}) // not even of the right shape
	if err != nil {
		t.Fatal(err)
	}
	if m.Head.W != m.Embed.W {
		t.Error("the head is not the embedding")
	}
}

func TestUntiedHeadMustBeThere(t *testing.T) {
	config := strings.Replace(string(read(t, tiny, "config.json")), `"tie_word_embeddings": true`, `"tie_word_embeddings": false`, 1)
	c, err := ParseConfig([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	m := New(c, 0)
	_, err = nn.Bind(m, checkpoint(t, tiny), nn.BindOptions{Prefix: "model.", Ignore: m.IgnoreTensor})
	if err == nil || !strings.Contains(err.Error(), "it lacks lm_head.weight (1024, 128)") {
		t.Errorf("error %v", err)
	}
}

// randomConfig is a legal config of a small model.
func randomConfig(rng *rand.Rand) []byte {
	pick := func(n ...int) int { return n[rng.IntN(len(n))] }
	kv := 1 + rng.IntN(4)
	config := map[string]any{
		"architectures": []string{architecture}, "vocab_size": 2 + rng.IntN(200), "hidden_size": 1 + rng.IntN(150), "intermediate_size": 1 + rng.IntN(200),
		"num_hidden_layers": 1 + rng.IntN(4), "num_key_value_heads": kv, "num_attention_heads": kv * (1 + rng.IntN(5)), "head_dim": 2 * (1 + rng.IntN(40)),
		"max_position_embeddings": 256, "rms_norm_eps": math.Pow(10, -float64(pick(3, 5, 6, 8))), "rope_theta": pick(100, 10000, 5000000), "tie_word_embeddings": rng.IntN(2) == 0,
	}
	text, err := json.Marshal(config)
	if err != nil {
		panic(err) // strings and numbers can be encoded
	}
	return text
}

// envLogits names the file in which a test process of its own leaves its logits.
const envLogits = "QWEN3_TEST_LOGITS"

// randomLogits runs random configs with dummy weights, a prompt of more than one block in two chunks and a few decodes.
func randomLogits(t *testing.T) []float32 {
	rng, out := rand.New(rand.NewPCG(3, 4)), []float32{}
	for i := range 24 {
		config := randomConfig(rng)
		dtype := []cuda.DType{cuda.BF16, cuda.F16, cuda.F32}[i%3]
		r, _ := load(t, config, weights.Dummy(uint64(i), dtype), nntest.Limits{Rows: 96, Sequences: 1, Positions: 128})
		c, err := ParseConfig(config)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{64, 9, 1, 1} {
			tokens := make([]int32, n)
			for j := range tokens {
				tokens[j] = int32(rng.IntN(c.VocabSize))
			}
			logits, err := r.Run(nntest.Chunk{Tokens: tokens, All: true})
			if err != nil {
				t.Fatalf("%s: %v", config, err)
			}
			out = append(out, slices.Concat(logits...)...)
		}
	}
	return out
}

// The kernels of this machine and the portable ones are chosen once for a process, so the portable ones run in another.
func TestKernelsAgreeOnRandomConfigs(t *testing.T) {
	got := randomLogits(t)
	if path := os.Getenv(envLogits); path != "" {
		var raw []byte
		for _, x := range got {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
		}
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	path := filepath.Join(t.TempDir(), "logits")
	portable(t, "^TestKernelsAgreeOnRandomConfigs$", envLogits+"="+path)
	raw, err := os.ReadFile(path)
	if err != nil || len(raw) != 4*len(got) {
		t.Fatalf("%d bytes for %d logits, %v", len(raw), len(got), err)
	}
	want := make([]float32, len(got))
	for i := range want {
		want[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	if d := golden.Compare(got, want); d.Rel > 2e-5 { // the order of sums differs; tiny eps and hidden sizes amplify it
		t.Errorf("%s and portable are %.1e apart at logit %d", cuda.CPUKernels(), d.Rel, d.At)
	} else {
		t.Logf("%s and portable are %.1e apart over %d logits", cuda.CPUKernels(), d.Rel, len(got))
	}
}

func TestPortableKernelsComputeTheReferenceToo(t *testing.T) {
	if cuda.CPUKernels() == "cpu/portable" {
		t.Log("these are the portable kernels; the other tests have shown it")
		return
	}
	out := portable(t, "References$|^TestChunked|^TestSequences")
	if n := strings.Count(out, "--- PASS: Test"); n < 6 {
		t.Errorf("only %d tests ran:\n%s", n, out)
	}
}

// portable runs tests in a process with the portable kernels.
func portable(t *testing.T, tests string, env ...string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.v", "-test.run", tests)
	cmd.Env = append(os.Environ(), append(env, "PIO_CPU=portable")...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("with portable kernels: %v\n%s", err, out)
	}
	return string(out)
}
