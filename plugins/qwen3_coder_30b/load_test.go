package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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

// invented are weights for the published config: bf16, or with fp8 the matrices of the layers but the router in FP8, as the FP8
// release has them. Tensors whose names differ only in what same matches have the same bytes: by default the numbers of layer and
// expert, so that all 61 GB fit in the memory of one expert and the embedding.
type invented struct {
	bf16, fp8 weights.Source
	same      *regexp.Regexp
	shared    map[string]weights.View
}

func inventWeights(fp8 bool, shared map[string]weights.View) invented {
	w := invented{bf16: weights.Dummy(1, cuda.BF16), same: regexp.MustCompile(`[0-9]+`), shared: shared}
	if fp8 {
		w.fp8 = weights.Dummy(1, cuda.F8E4M3)
	}
	return w
}

func (invented) Names() []string { return nil }

func (w invented) Get(name string, shape []int) (weights.View, bool) {
	key := strings.Replace(w.same.ReplaceAllString(name, "N"), "lm_head", "model.embed_tokens", 1) // of one shape
	src := w.bf16
	if w.fp8 != nil && strings.Contains(name, "_proj.") {
		src, key = w.fp8, "fp8."+key
	}
	if v, ok := w.shared[key]; ok {
		return v, true
	}
	v, ok := src.Get(key, shape)
	if ok {
		w.shared[key] = v
	}
	return v, ok
}

// The whole published depth, width and number of experts, in bf16 and in FP8: parameters, modules, bytes, and it generates.
func TestPublishedShapeHasItsParametersAndGenerates(t *testing.T) {
	shared := map[string]weights.View{}
	for _, quantized := range []bool{false, true} {
		t.Run(fmt.Sprintf("fp8=%v", quantized), func(t *testing.T) {
			r, bound := load(t, []byte(published), inventWeights(quantized, shared), nntest.Limits{Rows: 8, Sequences: 1, Positions: 64})
			if bound.Parameters != 30_532_122_624 {
				t.Errorf("%d parameters; the published model has 30,532,122,624", bound.Parameters)
			}
			if len(bound.Layers) != 48 || len(bound.Modules) != 3+48+48*128 { // embed_tokens, norm, lm_head, layers, experts
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

// publishedBytes counts by hand: bf16 is two bytes each, as the index of the release says; in FP8 the matrices of attention and
// experts are one byte each and have a factor in f32 for every 128 x 128 of them, which all their sizes are multiples of.
func publishedBytes(quantized bool) int64 {
	const parameters, layers = 30_532_122_624, 48
	if !quantized {
		return 61_064_245_248
	}
	const matrices = 2*4096*2048 + 2*512*2048 + 128*3*768*2048 // q o, k v, gate up down of each expert
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

// The layer table that a host plans with adds up, at the published shape and for the tiny checkpoint; each expert is a module.
func TestLayerTableAddsUp(t *testing.T) {
	c, stop, err := startPlugin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(published), 0o600); err != nil {
		t.Fatal(err)
	}
	const outside, layer = 2*151936*2048 + 2048, (30_532_122_624 - 2*151936*2048 - 2048) / 48
	for _, tt := range []struct {
		req                         sdk.InspectRequest
		fit                         sdk.Fit
		parameters, bytes, position int64
		modules                     int
	}{
		{sdk.InspectRequest{Path: dir, Weights: "dummy"}, sdk.FitExact, 30_532_122_624, 61_064_245_248, 48 * 2 * 4 * 128 * 4, 6195},
		{sdk.InspectRequest{Path: dir, Weights: "dummy", Layers: 2}, sdk.FitExact, outside + 2*layer, 2 * (outside + 2*layer), 2 * 2 * 4 * 128 * 4, 3 + 2*129},
		{sdk.InspectRequest{Path: tiny}, sdk.FitFamily, tensorBytes(t, tiny) / 2, tensorBytes(t, tiny), 4 * 2 * 32 * 4, 3 + 4*9},
	} {
		in, err := c.Inspect(t.Context(), tt.req)
		if err != nil {
			t.Fatal(err)
		}
		var bytes, position int64
		experts := 0
		for _, m := range in.Table.Modules {
			bytes, position = bytes+m.WeightBytes, position+m.StateBytesToken
			if strings.Contains(m.ID, ".mlp.experts.") {
				experts++
			}
		}
		if in.Fit != tt.fit || in.Table.Parameters != tt.parameters || bytes != tt.bytes || position != tt.position || len(in.Table.Modules) != tt.modules {
			t.Errorf("%+v: fit %v, %d parameters, %d bytes, %d a position, %d modules; want %+v", tt.req, in.Fit, in.Table.Parameters, bytes, position, len(in.Table.Modules), tt)
		}
		if experts == 0 {
			t.Error("no module is an expert")
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
	_, err = nn.Bind(m, m.Respell(edited{checkpoint(t, tiny), changes}), nn.BindOptions{Prefix: "model.", Ignore: m.IgnoreTensor})
	return m, err
}

func TestMissingExtraAndMisshapenTensorsAreOneError(t *testing.T) {
	_, err := bindTiny(t, map[string]*weights.View{
		"model.layers.3.mlp.experts.7.up_proj.weight":     nil,
		"model.norm.weight":                               nil,
		"model.layers.0.mlp.experts.2.down_proj.weight":   bf16(96, 128),
		"model.layers.1.mlp.gate.weight":                  bf16(9, 128),
		"model.layers.0.mlp.experts.8.up_proj.weight":     bf16(96, 128),
		"model.layers.2.mlp.shared_expert.up_proj.weight": bf16(96, 128),
		"model.layers.2.mlp.experts.0.gate_proj.weight":   {Format: "I8", Shape: []int{96, 128}, Data: make([]byte, 96*128)},
		"model.layers.2.self_attn.rotary_emb.inv_freq":    bf16(16), // known, and not needed
	})
	var report *nn.BindError
	if !errors.As(err, &report) {
		t.Fatalf("error %v", err)
	}
	want := nn.BindError{
		Missing: []string{"model.layers.3.mlp.experts.7.up_proj.weight (96, 128)", "model.norm.weight (128)"},
		Shapes:  []string{"model.layers.0.mlp.experts.2.down_proj.weight is (96, 128), not (128, 96)", "model.layers.1.mlp.gate.weight is (9, 128), not (8, 128)"},
		Types:   []string{"model.layers.2.mlp.experts.0.gate_proj.weight is I8"},
		Extra:   []string{"model.layers.0.mlp.experts.8.up_proj.weight", "model.layers.2.mlp.shared_expert.up_proj.weight"},
	}
	if err.Error() != want.Error() {
		t.Errorf("error %s\nwant  %s", err, want.Error())
	}
}

func TestTheHeadIsTheEmbeddingOnlyWhereTied(t *testing.T) {
	config := strings.Replace(string(read(t, tiny, "config.json")), `"tie_word_embeddings": false`, `"tie_word_embeddings": true`, 1)
	c, err := ParseConfig([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	m := New(c, 0)
	if _, err = nn.Bind(m, checkpoint(t, tiny), nn.BindOptions{Prefix: "model.", Ignore: m.IgnoreTensor}); err != nil { // with a stray lm_head
		t.Error(err)
	}
	if m.Head.W != m.Embed.W {
		t.Error("the head is not the embedding")
	}
	if _, err := bindTiny(t, map[string]*weights.View{"lm_head.weight": nil}); err == nil || !strings.Contains(err.Error(), "it lacks lm_head.weight (960, 128)") {
		t.Errorf("error %v", err)
	}
}

// randomConfig is a legal config of a small model; in FP8 with blocks of any size.
func randomConfig(rng *rand.Rand, fp8 bool) []byte {
	pick := func(n ...int) int { return n[rng.IntN(len(n))] }
	kv, experts := 1+rng.IntN(4), 1+rng.IntN(20)
	config := map[string]any{
		"architectures": []string{architecture}, "vocab_size": 2 + rng.IntN(200), "hidden_size": 1 + rng.IntN(150), "intermediate_size": 1 + rng.IntN(200),
		"num_hidden_layers": 1 + rng.IntN(4), "num_key_value_heads": kv, "num_attention_heads": kv * (1 + rng.IntN(5)), "head_dim": 2 * (1 + rng.IntN(40)),
		"max_position_embeddings": 256, "rms_norm_eps": math.Pow(10, -float64(pick(3, 5, 6, 8))), "rope_theta": pick(100, 10000, 5000000), "tie_word_embeddings": rng.IntN(2) == 0,
		"num_experts": experts, "num_experts_per_tok": 1 + rng.IntN(experts), "moe_intermediate_size": 1 + rng.IntN(60), "norm_topk_prob": rng.IntN(2) == 0,
		"decoder_sparse_step": 1 + rng.IntN(2), "mlp_only_layers": []int{rng.IntN(8)},
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
const envLogits = "QWEN3_MOE_TEST_LOGITS"

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
	out := portable(t, "^TestEveryLayer|^TestGreedy|^TestUnusual|^TestSequences")
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

// respelled gives the tensors of a source as another tool would have written them.
type respelled struct {
	names []string
	get   func(name string, shape []int) (weights.View, bool)
}

func (r respelled) Names() []string { return r.names }

func (r respelled) Get(name string, shape []int) (weights.View, bool) { return r.get(name, shape) }

// joined is the tiny checkpoint as transformers 5 saves it: the experts of a layer in one tensor, gate before up.
func joined(t *testing.T) weights.Source {
	t.Helper()
	src, tensors := checkpoint(t, tiny), map[string]weights.View{}
	get := func(name string) weights.View {
		v, ok := src.Get(name, nil)
		if !ok {
			t.Fatal("no", name)
		}
		return v
	}
	for _, name := range src.Names() {
		if !strings.Contains(name, ".experts.") {
			tensors[name] = get(name)
		}
	}
	for layer := range 4 {
		prefix := fmt.Sprintf("model.layers.%d.mlp.experts.", layer)
		var gateUp, down []byte
		for e := range 8 {
			expert := fmt.Sprint(prefix, e)
			gateUp = slices.Concat(gateUp, get(expert+".gate_proj.weight").Data, get(expert+".up_proj.weight").Data)
			down = append(down, get(expert+".down_proj.weight").Data...)
		}
		tensors[prefix+"gate_up_proj"] = weights.View{Format: "BF16", DType: cuda.BF16, Known: true, Shape: []int{8, 2 * 96, 128}, Data: gateUp}
		tensors[prefix+"down_proj"] = weights.View{Format: "BF16", DType: cuda.BF16, Known: true, Shape: []int{8, 128, 96}, Data: down}
	}
	return respelled{slices.Sorted(maps.Keys(tensors)), func(name string, _ []int) (weights.View, bool) {
		v, ok := tensors[name]
		return v, ok
	}}
}

func TestJoinedExpertsAreTheSameModel(t *testing.T) {
	prompt := longest(t)[:70]
	limits := nntest.Limits{Rows: 70, Sequences: 1, Positions: 128}
	one, _ := load(t, read(t, tiny, "config.json"), checkpoint(t, tiny), limits)
	two, _ := load(t, read(t, tiny, "config.v5.json"), joined(t), limits)
	sameBits(t, "joined", all(t, two, 0, prompt, 70), all(t, one, 0, prompt, 70))
}

// Experts in FP8 compute what the same numbers in f32 do, bit for bit: a block's factor times its element is rounded once.
func TestFP8ExpertsAreTheirNumbers(t *testing.T) {
	config := with(t, `"vocab_size": 90, "hidden_size": 70, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 10,
		"num_experts": 9, "num_experts_per_tok": 3, "moe_intermediate_size": 37, "max_position_embeddings": 128,
		"quantization_config": {"quant_method": "fp8", "weight_block_size": [16, 24]}`)
	limits := nntest.Limits{Rows: 40, Sequences: 1, Positions: 64}
	src, quantized := weights.Dummy(3, cuda.F8E4M3), 0
	fp8, _ := load(t, config, src, limits)
	wide, _ := load(t, config, respelled{nil, func(name string, shape []int) (weights.View, bool) {
		v, ok := src.Get(name, shape)
		if ok && v.DType == cuda.F8E4M3 {
			rows, cols := (shape[0]+15)/16, (shape[1]+23)/24
			scale, _ := src.Get(name+"_scale_inv", []int{rows, cols})
			v = widened(v, scale, 16, 24)
			quantized++
		}
		return v, ok
	}}, limits)
	if quantized < 2*9*3 {
		t.Fatalf("only %d matrices are in FP8", quantized)
	}
	prompt := make([]int32, 40)
	for i := range prompt {
		prompt[i] = int32(i * i % 90)
	}
	sameBits(t, "widened", all(t, wide, 0, prompt, 40), all(t, fp8, 0, prompt, 40))
}

// widened is a matrix of FP8 in f32: each element times the factor of its block of rows x cols.
func widened(v, scale weights.View, rows, cols int) weights.View {
	var data []byte
	for i, b := range v.Data {
		block := i/v.Shape[1]/rows*scale.Shape[1] + i%v.Shape[1]/cols
		factor := math.Float32frombits(binary.LittleEndian.Uint32(scale.Data[4*block:]))
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(e4m3(b)*factor))
	}
	return weights.View{Format: "F32", DType: cuda.F32, Known: true, Shape: v.Shape, Data: data}
}

// e4m3 is one sign, four bits of exponent (bias 7) and three of fraction; an exponent of 0 means no leading one.
func e4m3(b byte) float32 {
	exponent, fraction := int(b>>3&15), float64(b&7)/8
	if exponent == 0 {
		exponent = 1
	} else {
		fraction++
	}
	value := math.Ldexp(fraction, exponent-7)
	if b>>7 == 1 {
		value = -value
	}
	return float32(value)
}
