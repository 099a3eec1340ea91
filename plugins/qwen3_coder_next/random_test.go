package main

import (
	"encoding/binary"
	"encoding/json"
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

// randomConfig is a legal config of a small model; in FP8 with blocks of any size.
func randomConfig(t *testing.T, rng *rand.Rand, fp8 bool) Config {
	t.Helper()
	pick := func(n ...int) int { return n[rng.IntN(len(n))] }
	upTo := func(n int) int { return 1 + rng.IntN(n) }
	kv, keyHeads, experts, layers := upTo(3), upTo(3), rng.IntN(7), upTo(4)
	config := map[string]any{
		"architectures": []string{architecture}, "vocab_size": 1 + upTo(200), "hidden_size": upTo(100), "intermediate_size": upTo(100),
		"num_hidden_layers": layers, "max_position_embeddings": 256, "rms_norm_eps": math.Pow(10, -float64(pick(3, 5, 6))),
		"rope_theta": pick(100, 10000, 5000000), "tie_word_embeddings": rng.IntN(2) == 0,
		"num_key_value_heads": kv, "num_attention_heads": kv * upTo(4), "head_dim": 8 * upTo(6), "partial_rotary_factor": 0.25 * float64(upTo(4)),
		"linear_num_key_heads": keyHeads, "linear_num_value_heads": keyHeads * upTo(4), "linear_key_head_dim": upTo(40),
		"linear_value_head_dim": upTo(150), "linear_conv_kernel_dim": upTo(5),
		"num_experts": experts, "num_experts_per_tok": upTo(max(experts, 1)), "moe_intermediate_size": upTo(40), "shared_expert_intermediate_size": upTo(40),
		"norm_topk_prob": rng.IntN(2) == 0, "decoder_sparse_step": upTo(2), "mlp_only_layers": []int{rng.IntN(8)},
	}
	kinds := make([]string, layers)
	for i := range kinds {
		kinds[i] = []string{linearAttention, linearAttention, fullAttention}[rng.IntN(3)]
	}
	if config["layer_types"] = kinds; rng.IntN(2) == 0 {
		delete(config, "layer_types")
		config["full_attention_interval"] = upTo(4)
	}
	if fp8 {
		config["quantization_config"] = map[string]any{"quant_method": "fp8", "weight_block_size": []int{pick(1, 16, 31, 128), pick(3, 24, 64, 128)}}
	}
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseConfig(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return c
}

// mixed has what an FP8 release quantizes in FP8 and the rest in bf16.
type mixed struct{ bf16, fp8 weights.Source }

func (mixed) Names() []string { return nil }

func (m mixed) Get(name string, shape []int) (weights.View, bool) {
	if inFP8(name, shape) {
		return m.fp8.Get(name, shape)
	}
	return m.bf16.Get(name, shape)
}

// randomLogits runs random configs with dummy weights in both spellings: a prompt of more than one chunk in two steps, and a few
// tokens after it.
func randomLogits(t *testing.T) []float32 {
	rng, out := rand.New(rand.NewPCG(3, 4)), []float32{}
	for i := range 24 {
		dtype := []cuda.DType{cuda.BF16, cuda.F16, cuda.F32, cuda.F8E4M3}[i%4]
		src := weights.Dummy(uint64(i), dtype)
		if dtype == cuda.F8E4M3 {
			src = mixed{weights.Dummy(uint64(i), cuda.BF16), src}
		}
		c := randomConfig(t, rng, dtype == cuda.F8E4M3)
		m := New(c, 0, Spelling{rng.IntN(2) == 0, rng.IntN(2) == 0})
		r, _ := drive(t, m, src, nntest.Limits{Rows: 96, Sequences: 1, Positions: 128})
		for _, n := range []int{64, 9, -1, -1} {
			chunk := nntest.Chunk{All: true}
			if n < 0 {
				n, chunk.Form = -n, nn.Decode
			}
			for range n {
				chunk.Tokens = append(chunk.Tokens, int32(rng.IntN(c.VocabSize)))
			}
			logits, err := r.Run(chunk)
			if err != nil {
				t.Fatalf("%+v: %v", c, err)
			}
			out = append(out, slices.Concat(logits...)...)
		}
	}
	return out
}

// envLogits names the file in which a test process of its own leaves its logits.
const envLogits = "QWEN3_NEXT_TEST_LOGITS"

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
	out := portable(t, "^TestEveryLayer|^TestGreedy|^TestUnusual|^TestCompany|^TestPromptsEnd")
	if n := strings.Count(out, "--- PASS: Test"); n < 5 {
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
