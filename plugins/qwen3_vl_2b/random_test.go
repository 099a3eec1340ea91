package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/golden"
	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
	"github.com/inference-pio/inference-pio/cuda/serve"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// randomConfig is a legal config of small and unusual dimensions.
func randomConfig(r *rand.Rand) []byte {
	upTo := func(n int) int { return 1 + r.IntN(n) }
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	kv, group, hidden, depth := upTo(3), upTo(3), upTo(70), upTo(3)
	heads := upTo(4)
	return must(json.Marshal(map[string]any{
		"architectures": []string{architecture}, "model_type": "qwen3_vl", "image_token_id": 5, "video_token_id": 6, "tie_word_embeddings": r.IntN(2) == 0,
		"text_config": map[string]any{
			"vocab_size": 7 + r.IntN(60), "hidden_size": hidden, "intermediate_size": upTo(90), "num_hidden_layers": upTo(3), "num_attention_heads": kv * group,
			"num_key_value_heads": kv, "head_dim": 2 * upTo(20), "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "rope_theta": 1e4, "attention_bias": r.IntN(2) == 0,
			"rope_scaling": map[string]any{"type": pick("default", "mrope"), "mrope_section": []int{r.IntN(9), r.IntN(9), r.IntN(9)}},
		},
		"vision_config": map[string]any{
			"depth": depth, "hidden_size": heads * 4 * upTo(9), "num_heads": heads, "intermediate_size": upTo(90), "out_hidden_size": hidden,
			"patch_size": upTo(9), "temporal_patch_size": upTo(3), "spatial_merge_size": upTo(3), "num_position_embeddings": upTo(60),
			"deepstack_visual_indexes": r.Perm(depth)[:r.IntN(depth+1)], "hidden_act": pick("gelu_pytorch_tanh", "gelu", "gelu_new"),
			"rope_parameters": map[string]any{"rope_type": "axial", "rope_theta": 100 + 1e4*r.Float64()},
		},
	}))
}

func must(text []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return text
}

// Whatever the dimensions: the tower is the naive one's, and a prompt with a picture has the same logits with the fast kernels
// as with the portable ones, to the rounding of sums.
func TestRandomConfigsAgreeWithPlainLoops(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 6))
			config := randomConfig(r)
			defer func() {
				if t.Failed() {
					t.Logf("%s", config)
				}
			}()
			rows, columns := 1+r.IntN(5), 1+r.IntN(5)
			m, _ := bind(t, config, 0, weights.Dummy(seed, cuda.F32))
			naive := naiveTower(m, painted(m, rows, columns))
			fast := logitsOf(t, config, seed, rows, columns, naive)
			t.Setenv(cpu.EnvKernels, "portable")
			portable := logitsOf(t, config, seed, rows, columns, naive)
			if d := golden.Compare(fast, portable); d.Rel > bound {
				t.Errorf("logits: %+v", d)
			}
		})
	}
}

// logitsOf are those of a prompt with a picture, whose features are held to the naive tower's.
func logitsOf(t *testing.T, config []byte, seed uint64, rows, columns int, naive [][]float64) (logits []float32) {
	t.Helper()
	m, b := bind(t, config, 0, weights.Dummy(seed, cuda.F32))
	sc := &scene{m: m, ids: []int32{1, 2, 3}}
	p := painted(m, rows, columns)
	sc.placed = []serve.Placed{{At: 3, Picture: p}}
	for i, f := range see(t, m, p) {
		near(t, fmt.Sprintf("feature %d", i), f, naive[i], bound)
		sc.features = append(sc.features, f)
	}
	for range p.Tokens() {
		sc.ids = append(sc.ids, m.PadToken())
	}
	sc.ids = append(sc.ids, 4, 0, 1)
	r := newRunner(t, m, b, nntest.Limits{Rows: 64, Sequences: 1, Positions: 64})
	for _, row := range sc.all(t, r, 0, 11) {
		logits = append(logits, row...)
	}
	return logits
}
