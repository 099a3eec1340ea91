package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
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
	"github.com/inference-pio/inference-pio/sdk"
)

// invented are weights for the published config: bf16, or with fp8 the matrices of the layers in FP8 as the FP8 release has them.
// With shared all layers have the bytes of the first, so that the whole depth can be run in the memory of one layer.
type invented struct {
	bf16, fp8 weights.Source
	shared    map[string]weights.View
}

func inventWeights(fp8 bool) invented {
	w := invented{bf16: weights.Dummy(1, cuda.BF16)}
	if fp8 {
		w.fp8 = weights.Dummy(1, cuda.F8E4M3)
	}
	return w
}

func (invented) Names() []string { return nil }

func (w invented) Get(name string, shape []int) (weights.View, bool) {
	src, key := w.bf16, name
	if layer, rest, in := strings.Cut(strings.TrimPrefix(name, "model.layers."), "."); in && strings.Trim(layer, "0123456789") == "" {
		key = rest
		if w.fp8 != nil {
			src, key = w.fp8, "fp8."+rest
		}
	}
	if v, ok := w.shared[key]; ok {
		return v, true
	}
	v, ok := src.Get(name, shape)
	if w.shared != nil {
		w.shared[key] = v
	}
	return v, ok
}

// The whole published depth and width, in bf16 and in FP8: parameters, modules, bytes, and it generates. The benchmark has every
// layer's own bytes, eight gigabytes of them.
func TestPublishedShapeHasItsParametersAndGenerates(t *testing.T) {
	shared := map[string]weights.View{}
	for _, quantized := range []bool{false, true} {
		t.Run(fmt.Sprintf("fp8=%v", quantized), func(t *testing.T) {
			src := inventWeights(quantized)
			src.shared = shared
			r, bound := load(t, []byte(published), src, nntest.Limits{Rows: 8, Sequences: 1, Positions: 64})
			if bound.Parameters != 4_022_468_096 {
				t.Errorf("%d parameters; the published model has 4,022,468,096", bound.Parameters)
			}
			if len(bound.Layers) != 36 || len(bound.Modules) != 38 { // embed_tokens, 36 layers, norm; the head is the embedding
				t.Errorf("%d layers in %d modules", len(bound.Layers), len(bound.Modules))
			}
			var bytes int64
			for _, m := range bound.Modules {
				bytes += m.WeightBytes()
			}
			if want := publishedBytes(quantized); bytes != want {
				t.Errorf("%d bytes of weights, not %d", bytes, want)
			}
			generates(t, r)
		})
	}
}

// publishedBytes counts by hand: bf16 is two bytes each; in FP8 a layer's seven matrices are one byte each and have a factor in f32
// for every 128 x 128 of them, which all their sizes are multiples of.
func publishedBytes(quantized bool) int64 {
	const parameters, layers = 4_022_468_096, 36
	if !quantized {
		return 2 * parameters
	}
	const matrices = 2*4096*2560 + 2*1024*2560 + 3*9728*2560 // q o, k v, gate up down
	return 2*(parameters-layers*matrices) + layers*(matrices+matrices/(128*128)*4)
}

// generates checks the size of what comes out, and that the token chosen can be fed back.
func generates(t *testing.T, r *nntest.Runner) {
	t.Helper()
	chunk := nntest.Chunk{Tokens: []int32{151643, 0, 151935, 1000, 100000}}
	for range 2 {
		logits, err := r.Run(chunk)
		if err != nil {
			t.Fatal(err)
		}
		variance := 0.0
		for _, x := range logits[0] {
			variance += float64(x) * float64(x) / float64(len(logits[0]))
		}
		// Dummy weights keep the size of what passes through, so logits have a variance near 1 (the last norm's weights spread it).
		if len(logits[0]) != 151936 || !(variance > 0.5 && variance < 2) {
			t.Errorf("%d logits with variance %v", len(logits[0]), variance)
		}
		chunk = nntest.Chunk{Tokens: []int32{nntest.Argmax(logits[0])}, Form: nn.Decode}
	}
}

// The layer table that a host plans with adds up, at the published shape and for both tiny checkpoints.
func TestLayerTableAddsUp(t *testing.T) {
	c := idle(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(published), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		req                         sdk.InspectRequest
		fit                         sdk.Fit
		parameters, bytes, position int64
		modules                     int
	}{
		{sdk.InspectRequest{Path: dir, Weights: "dummy"}, sdk.FitExact, 4_022_468_096, 2 * 4_022_468_096, 36 * 2 * 8 * 128 * 4, 38},
		{sdk.InspectRequest{Path: dir, Weights: "dummy", Layers: 3}, sdk.FitExact, 151936*2560 + 2560 + 3*100_930_816, 2 * (151936*2560 + 2560 + 3*100_930_816), 3 * 2 * 8 * 128 * 4, 5},
		{sdk.InspectRequest{Path: tiny}, sdk.FitFamily, 1_819_680, 2 * 1_819_680, 5 * 2 * 2 * 32 * 4, 7},
		{sdk.InspectRequest{Path: tinyFP8}, sdk.FitFamily, 1_819_680, tensorBytes(t, tinyFP8), 5 * 2 * 2 * 32 * 4, 7},
	} {
		in, err := c.Inspect(t.Context(), tt.req)
		if err != nil {
			t.Fatal(err)
		}
		var bytes, position int64
		for _, m := range in.Table.Modules {
			bytes, position = bytes+m.WeightBytes, position+m.StateBytesToken
		}
		if in.Fit != tt.fit || in.Table.Parameters != tt.parameters || bytes != tt.bytes || position != tt.position || len(in.Table.Modules) != tt.modules {
			t.Errorf("%+v: fit %v, %d parameters, %d bytes, %d a position, %d modules; want %+v", tt.req, in.Fit, in.Table.Parameters, bytes, position, len(in.Table.Modules), tt)
		}
	}
}

// tensorBytes is what the headers of a checkpoint say its tensors take.
func tensorBytes(t *testing.T, dir string) (n int64) {
	t.Helper()
	entries, err := weights.ReadHeaders(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		n += e.To - e.From
	}
	return n
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
		"model.layers.0.mlp.up_proj.weight":            bf16(160, 480),
		"model.layers.1.self_attn.q_norm.weight":       bf16(160),
		"model.layers.0.self_attn.q_proj.bias":         bf16(256),
		"model.layers.5.input_layernorm.weight":        bf16(160),
		"model.layers.2.mlp.gate_proj.weight":          {Format: "I8", Shape: []int{480, 160}, Data: make([]byte, 480*160)},
		"model.layers.2.self_attn.rotary_emb.inv_freq": bf16(16), // known, and not needed
	})
	var report *nn.BindError
	if !errors.As(err, &report) {
		t.Fatalf("error %v", err)
	}
	want := nn.BindError{
		Missing: []string{"model.layers.3.self_attn.q_proj.weight (256, 160)", "model.norm.weight (160)"},
		Shapes:  []string{"model.layers.0.mlp.up_proj.weight is (160, 480), not (480, 160)", "model.layers.1.self_attn.q_norm.weight is (160), not (32)"},
		Types:   []string{"model.layers.2.mlp.gate_proj.weight is I8"},
		Extra:   []string{"model.layers.0.self_attn.q_proj.bias", "model.layers.5.input_layernorm.weight"},
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
	if err == nil || !strings.Contains(err.Error(), "it lacks lm_head.weight (960, 160)") {
		t.Errorf("error %v", err)
	}
}

// randomConfig is a legal config of a small model; in FP8 with blocks of any size.
func randomConfig(rng *rand.Rand, fp8 bool) []byte {
	pick := func(n ...int) int { return n[rng.IntN(len(n))] }
	kv := 1 + rng.IntN(4)
	config := map[string]any{
		"architectures": []string{architecture}, "vocab_size": 2 + rng.IntN(200), "hidden_size": 1 + rng.IntN(150), "intermediate_size": 1 + rng.IntN(200),
		"num_hidden_layers": 1 + rng.IntN(4), "num_key_value_heads": kv, "num_attention_heads": kv * (1 + rng.IntN(5)), "head_dim": 2 * (1 + rng.IntN(40)),
		"max_position_embeddings": 256, "rms_norm_eps": math.Pow(10, -float64(pick(3, 5, 6, 8))), "rope_theta": pick(100, 10000, 5000000), "tie_word_embeddings": rng.IntN(2) == 0,
		"attention_bias": rng.IntN(3) == 0,
	}
	if fp8 {
		config["quantization_config"] = map[string]any{"quant_method": "fp8", "weight_block_size": []int{pick(1, 16, 31, 128), pick(3, 24, 64, 128)}}
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
		dtype := []cuda.DType{cuda.BF16, cuda.F16, cuda.F32, cuda.F8E4M3}[i%4]
		config := randomConfig(rng, dtype == cuda.F8E4M3)
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
	out := portable(t, "^TestEveryLayer|^TestGreedy|^TestPromptsAround|^TestSequences")
	if n := strings.Count(out, "\n--- PASS: Test"); n != 4 {
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
