package main

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
	"github.com/inference-pio/inference-pio/cuda/serve/servetest"
	"github.com/inference-pio/inference-pio/cuda/weights"
	"github.com/inference-pio/inference-pio/sdk"
)

// inFP8 says what an FP8 release quantizes: matrices but embeddings, head, routers, gates and b a; and their scales.
func inFP8(name string, shape []int) bool {
	for _, plain := range []string{"embed_tokens.", "lm_head.", "mlp.gate.", "shared_expert_gate.", "in_proj_ba.", "in_proj_a.", "in_proj_b."} {
		if strings.Contains(name, plain) {
			return false
		}
	}
	return len(shape) == 2
}

const (
	publishedParameters = 79_674_391_296
	expertParameters    = 3 * 512 * 2048
	sharedByAll         = 512*2048 + expertParameters + 2048 + 2*2048                             // router, shared expert and its gate, two norms
	deltaParameters     = 12288*2048 + 64*2048 + 8192*4 + 32 + 32 + 128 + 2048*4096 + sharedByAll // without experts
	gatedParameters     = 8192*2048 + 2*512*2048 + 2048*4096 + 2*256 + sharedByAll                // without experts
	deltaState          = (3*8192 + 32*128*128) * 4                                               // bytes of a sequence
	fourLayers          = 2*151936*2048 + 2048 + 3*deltaParameters + gatedParameters + 4*512*expertParameters
	gatedState          = 2 * 2 * 256 * 4 // bytes of a position
)

// The layer table that a host plans with adds up, at the published shape and for the tiny checkpoint.
func TestLayerTableAddsUp(t *testing.T) {
	bytes := nntest.TensorBytes(t, tiny) // all in bf16
	plugin.LayerTables(t, published, []servetest.Table{
		{Fit: sdk.FitExact, Parameters: publishedParameters, Bytes: 2 * publishedParameters, Position: 12 * gatedState, Sequence: 36 * deltaState, Modules: 3 + 48 + 48*512, Experts: 48 * 512},
		{Layers: 4, Fit: sdk.FitExact, Parameters: fourLayers, Bytes: 2 * fourLayers, Position: gatedState, Sequence: 3 * deltaState, Modules: 3 + 4 + 4*512, Experts: 4 * 512},
		{Dir: tiny, Fit: sdk.FitFamily, Parameters: bytes / 2, Bytes: bytes, Position: 2 * 64 * 4, Sequence: 3 * (3*256 + 4*32*32) * 4, Modules: 3 + 4 + 4*8, Experts: 4 * 8},
	})
}

// Four layers of the published width, one pattern, in bf16 and in FP8: parameters, bytes, and it generates. In FP8 what inFP8 names is
// one byte each and has a factor in f32 for every 128 x 128 of it.
func TestPublishedShapeGenerates(t *testing.T) {
	const matrices = 3*(12288*2048+2048*4096) + 8192*2048 + 2*512*2048 + 2048*4096 + 4*513*expertParameters
	suite.Generates(t, []byte(published), 4, nntest.Unnumbered, nntest.Published{
		Parameters: fourLayers, Bytes: 2 * fourLayers, FP8: inFP8, FP8Bytes: 2*(fourLayers-matrices) + matrices + matrices/(128*128)*4,
		Layers: 4, Modules: 3 + 4 + 4*512, Vocab: 151936,
		Variance: 4, // the last norm doubles: it multiplies by 1 + w with w near 1
	})
}

func TestMissingExtraAndMisshapenTensorsAreOneError(t *testing.T) {
	suite.Misfit(t, map[string]*weights.View{
		"model.layers.3.self_attn.q_proj.weight":         nil,
		"model.layers.1.linear_attn.A_log":               nil,
		"model.layers.0.linear_attn.conv1d.weight":       nntest.Zeros(256, 4),
		"model.layers.2.linear_attn.in_proj_qkvz.weight": nntest.Zeros(320, 128),
		"model.layers.1.mlp.experts.7.down_proj.weight":  nntest.Zeros(64, 128),
		"model.layers.0.linear_attn.in_proj_qkvz.bias":   nntest.Zeros(384),
		"model.layers.2.mlp.experts.8.down_proj.weight":  nntest.Zeros(128, 64),
		"model.layers.2.mlp.shared_expert_gate.weight":   nntest.OfBytes(1, 128),
		"mtp.fc.weight": nntest.Zeros(128, 256), // known, and not needed
		"model.layers.3.self_attn.rotary_emb.inv_freq": nntest.Zeros(8),
	}, nn.BindError{
		Missing: []string{"model.layers.1.linear_attn.A_log (4)", "model.layers.3.self_attn.q_proj.weight (512, 128)"},
		Shapes: []string{"model.layers.0.linear_attn.conv1d.weight is (256, 4), not (256, 1, 4)",
			"model.layers.1.mlp.experts.7.down_proj.weight is (64, 128), not (128, 64)",
			"model.layers.2.linear_attn.in_proj_qkvz.weight is (320, 128), not (384, 128)"},
		Types: []string{"model.layers.2.mlp.shared_expert_gate.weight is I8"},
		Extra: []string{"model.layers.0.linear_attn.in_proj_qkvz.bias", "model.layers.2.mlp.experts.8.down_proj.weight"},
	})
}

func TestTheHeadIsTheEmbeddingOnlyWhereTied(t *testing.T) { suite.Heads(t) }

// The spelling is seen in the first layer that has a delta rule, for each of the two matrices.
func TestSpellingIsSeenInTheFirstDeltaLayer(t *testing.T) {
	c, err := ParseConfig(with(t, `"num_hidden_layers": 3, "layer_types": ["full_attention", "linear_attention", "linear_attention"]`))
	if err != nil {
		t.Fatal(err)
	}
	const first = "model.layers.1.linear_attn."
	for want, names := range map[Spelling][]string{
		{}:                               {first + "in_proj_qkvz.weight", first + "in_proj_ba.weight", "model.layers.0.linear_attn.in_proj_qkv.weight"},
		{SplitQKVZ: true}:                {first + "in_proj_qkv.weight", first + "in_proj_ba.weight"},
		{SplitBA: true}:                  {first + "in_proj_qkvz.weight", first + "in_proj_b.weight"},
		{SplitQKVZ: true, SplitBA: true}: {first + "in_proj_qkv.weight", first + "in_proj_b.weight"},
	} {
		if got := spelling(c, func(name string) bool { return slices.Contains(names, name) }); got != want {
			t.Errorf("%v: %+v", names, got)
		}
	}
	if got := spelling(c, nil); got != (Spelling{}) {
		t.Errorf("without a checkpoint %+v", got)
	}
	if got := slices.Sorted(maps.Keys(weightNames(t, c, Spelling{SplitQKVZ: true, SplitBA: true}))); !slices.Contains(got, "in_proj_z") || slices.Contains(got, "in_proj_qkvz") {
		t.Errorf("the split model asks for %v", got)
	}
}

// weightNames is the projections that a model asks a checkpoint for.
func weightNames(t *testing.T, c Config, sp Spelling) map[string]bool {
	t.Helper()
	asked, src := map[string]bool{}, weights.Dummy(1, cuda.BF16)
	c.HiddenSize, c.VocabSize, c.NumExperts = 8, 8, 0
	m := New(c, 0, sp)
	if _, err := nn.Bind(m, nntest.Source{Find: func(name string, shape []int) (weights.View, bool) {
		if _, rest, ok := strings.Cut(name, "linear_attn."); ok {
			asked[strings.TrimSuffix(rest, ".weight")] = true
		}
		return src.Get(name, shape)
	}}, nn.BindOptions{Prefix: "model."}); err != nil {
		t.Fatal(err)
	}
	return asked
}
