package hfconfig

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/hfconfig/configtest"
	"github.com/inference-pio/inference-pio/cuda/nn"
)

// config is a model's that has all there is here, and a key of its own.
type config struct {
	Checkpoint
	Decoder
	Experts
	HeadDim int `json:"head_dim"`

	turned int // elements of a head
}

func (config) Published() bool { return false }

func parse(text []byte) (config, error) {
	c := config{
		Decoder: Decoder{HiddenAct: "silu", RMSNormEps: 1e-6, RopeTheta: 10000},
		Experts: Experts{DecoderSparseStep: 1},
		HeadDim: 64,
	}
	f, err := Read(text, &c)
	if err != nil {
		return c, err
	}
	c.CheckClass(f.Problems, "AnyForCausalLM", "any")
	c.CheckDecoder(f.Problems, "full_attention")
	c.CheckHeads(f.Problems, c.HeadDim)
	c.CheckExperts(f.Problems, c.NumHiddenLayers)
	r := f.Rope()
	c.turned = r.Turned(c.HeadDim, 1)
	c.ReadRope(r)
	r.Done()
	c.FP8Block = f.FP8()
	return c, f.Err()
}

var suite = configtest.Suite[config]{Parse: parse, Published: `{
	"architectures": ["AnyForCausalLM"], "model_type": "any", "vocab_size": 99, "hidden_size": 512, "intermediate_size": 300, "num_hidden_layers": 8,
	"num_attention_heads": 8, "num_key_value_heads": 2, "max_position_embeddings": 32768
}`}

func TestWhatEveryDecoderRefuses(t *testing.T) { suite.Decoder(t) }

func TestBothSpellingsOfARopeAreOne(t *testing.T) {
	for _, change := range []string{
		`"rope_theta": 1e6, "partial_rotary_factor": 0.5, "rope_scaling": {"type": "yarn", "factor": 4, "original_max_position_embeddings": 4096, "attention_factor": 1.5, "beta_fast": 16}`,
		`"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e6, "partial_rotary_factor": 0.5, "factor": 4.0, "original_max_position_embeddings": 4096, "attention_factor": 1.5, "beta_fast": 16}`,
		`"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e6, "partial_rotary_factor": 0.5, "factor": 4}, "rope_theta": 3, "rope_scaling": {"factor": 9, "original_max_position_embeddings": 4096, "attention_factor": 1.5, "beta_fast": 16, "beta_slow": null}`,
	} {
		c := suite.Parsed(t, change)
		want := nn.Yarn{Factor: 4, Original: 4096, BetaFast: 16, BetaSlow: 1, AttentionFactor: 1.5, Truncate: true}
		if c.RopeTheta != 1e6 || c.turned != 32 || c.Yarn == nil || *c.Yarn != want {
			t.Errorf("%s: theta %v, %d turned, %+v", change, c.RopeTheta, c.turned, c.Yarn)
		}
	}
	if _, err := parse(append([]byte("\ufeff"), suite.Published...)); err != nil {
		t.Errorf("behind a byte order mark: %v", err)
	}
}

// Yarn's numbers by its formulas, and the context it gives.
func TestYarnRopes(t *testing.T) {
	tests := []struct {
		rope                              string
		factor, original, attention, fast float64
		truncate                          bool
		context                           int
	}{
		{`"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16384`, 4, 16384, 0.1*math.Log(4) + 1, 32, true, 65536},
		{`"type": "yarn", "factor": 2`, 2, 32768, 0.1*math.Log(2) + 1, 32, true, 65536},
		{`"type": "yarn", "factor": 2, "attention_factor": 1.5, "beta_fast": 16, "truncate": false`, 2, 32768, 1.5, 16, false, 65536},
		{`"type": "yarn", "factor": 2, "mscale": 2, "mscale_all_dim": 1`, 2, 32768, (0.2*math.Log(2) + 1) / (0.1*math.Log(2) + 1), 32, true, 65536},
		{`"type": "yarn", "factor": 1`, 1, 32768, 1, 32, true, 32768},
		{`"type": "yarn", "factor": 65536, "beta_fast": 1`, 65536, 32768, 0.1*math.Log(65536) + 1, 1, true, 1 << 28},
		{`"type": "yarn", "factor": 2, "original_max_position_embeddings": 4096`, 2, 4096, 0.1*math.Log(2) + 1, 32, true, 32768},
		{`"type": "yarn", "factor": null, "original_max_position_embeddings": 16384`, 2, 16384, 0.1*math.Log(2) + 1, 32, true, 32768},
	}
	for _, tt := range tests {
		c := suite.Parsed(t, `"rope_scaling": {`+tt.rope+`}`)
		y := c.Yarn
		if y == nil || y.Factor != tt.factor || y.Original != tt.original || math.Abs(y.AttentionFactor-tt.attention) > 1e-12 || y.BetaFast != tt.fast || y.BetaSlow != 1 ||
			y.Truncate != tt.truncate || c.Context() != tt.context {
			t.Errorf("with %s: %+v, context %d", tt.rope, y, c.Context())
		}
	}
}

// How many elements of a head turn: what is left of one falls away, as in the reference.
func TestPartsOfAHeadTurn(t *testing.T) {
	for change, want := range map[string]int{
		`"partial_rotary_factor": 0.5`:                    32,
		`"partial_rotary_factor": 0.34375`:                22,
		`"head_dim": 96, "partial_rotary_factor": 0.34`:   32, // 32.64
		`"rope_parameters": {"partial_rotary_factor": 1}`: 64,
	} {
		if c := suite.Parsed(t, change); c.turned != want {
			t.Errorf("with %s: %d, not %d", change, c.turned, want)
		}
	}
}

// A model whose rope turns whole heads reads it with one call, which leaves nothing unread.
func TestRopesThatTurnWholeHeads(t *testing.T) {
	for text, want := range map[string]string{
		`{"rope_theta": 1e6, "partial_rotary_factor": 1.0}`:  "",
		`{"partial_rotary_factor": 0.5}`:                     "config.json: partial_rotary_factor is 0.5, which is not built; only 1 is",
		`{"rope_parameters": {"partial_rotary_factor": 2}}`:  "config.json: partial_rotary_factor is 2, which is not built; only 1 is",
		`{"rope_scaling": {"type": "default", "factor": 2}}`: `config.json: the rope has "factor", which a rope of type "default" does not use`,
	} {
		d := Decoder{RopeTheta: 10000}
		f, err := Read([]byte(text), &d)
		if err != nil {
			t.Fatal(err)
		}
		d.ReadWholeRope(f.Rope())
		switch err := f.Err(); {
		case want == "" && (err != nil || d.RopeTheta != 1e6):
			t.Errorf("%s: theta %v, %v", text, d.RopeTheta, err)
		case want != "" && (err == nil || err.Error() != want):
			t.Errorf("%s: %v, not %s", text, err, want)
		}
	}
}

func TestAbsentKeysHaveTheReferencesMeaning(t *testing.T) {
	c := suite.Parsed(t, `"rope_scaling": null, "quantization_config": null, "model_type": "-", "layer_types": null`)
	if c.RopeTheta != 10000 || c.Yarn != nil || c.turned != 64 || c.FP8Block != [2]int{} || c.Context() != 32768 || c.TieWordEmbeddings {
		t.Errorf("%+v", c)
	}
}

// fp8ByTransformers is what FineGrainedFP8Config of transformers 5.24 writes.
const fp8ByTransformers = `{"activation_scheme": "dynamic", "dequantize": false, "expert_dtype": "fp8", "modules_to_convert": null, "modules_to_not_convert": ["lm_head"],
	"quant_method": "fp8", "scale_fmt": "float", "weight_block_size": [128, 128]}`

func TestFP8(t *testing.T) {
	for config, want := range map[string][2]int{
		`null`:                    {},
		`{"quant_method": "fp8"}`: {128, 128},
		`{"quant_method": "fp8", "weight_block_size": null}`: {}, // a factor for each tensor, or each row
		`{"quant_method": "awq", "bits": 4}`:                 {}, // which cuda/hfquant reads
		`{"group_size": 64, "bits": 4}`:                      {},
		`{"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [1, 64]}`: {1, 64},
		`{"quant_method": "fp8", "modules_to_not_convert": null}`:                                              {128, 128},
		`{"quant_method": "fp8", "modules_to_not_convert": ["lm_head"]}`:                                       {128, 128},
		fp8ByTransformers: {128, 128},
		`{"quant_method": "fp8", "ignored_layers": ["lm_head"], "modules_to_convert": []}`: {128, 128},
		`{"quant_method": "fp8", "dequantize": true, "something_new": null}`:               {128, 128},
	} {
		if c := suite.Parsed(t, `"quantization_config": `+config); c.FP8Block != want {
			t.Errorf("with %s: blocks %v, not %v", config, c.FP8Block, want)
		}
	}
}

func TestMistakesAreToldInWords(t *testing.T) {
	suite.Refuses(t, configtest.Refusals{
		{`"quantization_config": {}`, `quant_method is "", which is not built; only fp8 is`}, // an empty announcement is one
		{`"partial_rotary_factor": 0.3`, "it turns 19 of head_dim 64; an even number of them is needed"},
		{`"partial_rotary_factor": 1.5`, "it turns 96 of head_dim 64"},
		{`"partial_rotary_factor": true`, "partial_rotary_factor is true; a number is needed"},
		{`"rope_scaling": {"type": 7}`, `type is 7; a string is needed`},
		{`"rope_scaling": {"type": "yarn", "factor": 0}`, "factor is 0; a yarn rope needs a number from 1 on"},
		{`"rope_scaling": {"type": "yarn", "factor": 2, "beta_slow": 40}`, "beta_fast 32 and beta_slow 40"},
		{`"rope_scaling": {"type": "yarn", "factor": 2, "attention_factor": -1}`, "attention_factor is -1"},
		{`"rope_scaling": {"type": "yarn", "factor": 2, "truncate": 1}`, "truncate is 1; true or false is needed"},
		{`"rope_scaling": {"type": "yarn", "original_max_position_embeddings": 0}`, "original_max_position_embeddings is 0"},
		{`"quantization_config": {}`, `quantization_config: quant_method is "", which is not built; only fp8 is`},
		{`"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": true}`, `quant_method is "bitsandbytes", which is not built: take the original checkpoint with quantize = "q4"`},
		{`"quantization_config": {"quant_method": "quip"}`, `quant_method is "quip", which is not built: take the checkpoint in bf16`},
		{`"quantization_config": {"quant_method": "fp8", "fmt": "e5m2"}`, `quantization_config: fmt is "e5m2"`},
		{`"quantization_config": {"quant_method": "fp8", "activation_scheme": "none"}`, `quantization_config: activation_scheme is "none"`},
		{`"quantization_config": {"quant_method": "fp8", "scale_fmt": "ue8m0"}`, `quantization_config: scale_fmt is "ue8m0", which is not built; only float is`},
		{`"quantization_config": {"quant_method": "fp8", "expert_dtype": "fp4"}`, `quantization_config: expert_dtype is "fp4", which is not built; only fp8 is`},
		{`"quantization_config": {"quant_method": "fp8", "modules_to_convert": ["embed_tokens"]}`, `quantization_config: modules_to_convert is ["embed_tokens"], which is not built; only matrices are`},
		{`"quantization_config": {"quant_method": "fp8", "weight_block_size": []}`, "weight_block_size is []; two numbers from 1 on are needed"},
		{`"quantization_config": {"quant_method": "fp8", "weight_block_size": [0, 128]}`, "weight_block_size is [0 128]"},
		{`"quantization_config": {"quant_method": "fp8", "weight_block_size": "128 x 128"}`, "quantization_config: weight_block_size: a list was expected, found string"},
		{`"num_key_value_heads": 3`, "num_attention_heads is 8, which num_key_value_heads 3 does not divide"},
		{`"head_dim": 0`, "head_dim is 0; a number from 1 to 4096 is needed"},
		{`"layer_types": ["full_attention"]`, "layer_types has 1 entries for 8 layers"},
		{`"intermediate_size": "-"`, "intermediate_size is 0; a number from 1 to"},
		{`"num_experts": -1`, "num_experts is -1; a number from 0 to"},
		{`"num_experts": 20000`, "num_experts is 20000"},
		{`"num_experts": 4, "num_experts_per_tok": 5, "moe_intermediate_size": 9`, "num_experts_per_tok is 5 of 4 experts"},
		{`"num_experts": 4, "moe_intermediate_size": 9`, "num_experts_per_tok is 0; a number from 1 to"},
		{`"num_experts": 4, "num_experts_per_tok": 2`, "moe_intermediate_size is 0; a number from 1 to"},
		{`"decoder_sparse_step": 0`, "decoder_sparse_step is 0; a number from 1 to"},
		{`"mlp_only_layers": 3`, "mlp_only_layers: a list was expected, found number"},
		{`"norm_topk_prob": 1`, "norm_topk_prob: true or false was expected, found number"},
	})
}

func TestProblemsAreToldTogetherAndWhereTheyAre(t *testing.T) {
	p := In("text_config")
	p.Size("hidden_size", 0, 10)
	p.Size("num_hidden_layers", 11, 10)
	p.Size("head_dim", 10, 10)
	p.NotBuilt(true, "hidden_act", "relu", "silu")
	p.Even("head_dim", 3)
	p.Even("head_dim", 4)
	p.Divides("heads", 7, "groups", 2)
	p.Divides("heads", 7, "groups", 0) // whose absence is told by others
	p.ModelType("bert", "any", "some")
	p.ModelType("some", "any", "some")
	p.Layers("kinds", []string{"a", "x"}, 2, "a", "b", "c")
	p.Layers("kinds", nil, 2, "a")
	lines := []string{
		"hidden_size is 0; a number from 1 to 10 is needed",
		"num_hidden_layers is 11; a number from 1 to 10 is needed",
		"hidden_act is relu, which is not built; only silu is",
		"head_dim is 3; rotation needs an even number",
		"heads is 7, which groups 2 does not divide",
		`model_type is "bert"; this plugin runs any or some`,
		`kinds[1] is "x", which is not built; only a, b and c are`,
	}
	want := "config.json: text_config: " + strings.Join(lines, "\nconfig.json: text_config: ")
	if err := p.Err(); err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
	if err := new(Problems).Err(); err != nil {
		t.Errorf("nothing is wrong: %v", err)
	}
}

// A key of an embedded struct is named as it stands in the file.
func TestEmbeddedKeysAreNamedAsInTheFile(t *testing.T) {
	var c struct {
		Text config `json:"text_config"`
	}
	_, err := Read([]byte(`{"text_config": {"hidden_size": []}}`), &c)
	if want := "config.json: text_config.hidden_size: a whole number was expected, found array"; err == nil || err.Error() != want {
		t.Errorf("%v, not %s", err, want)
	}
}

// The layers with experts, of eight, for both keys and their absence.
func TestWhichLayersHaveExperts(t *testing.T) {
	for change, want := range map[string]string{
		`"decoder_sparse_step": 1`:                            "11111111",
		`"decoder_sparse_step": 2`:                            "01010101",
		`"decoder_sparse_step": 3`:                            "00100100",
		`"decoder_sparse_step": 9, "num_experts_per_tok": 0`:  "00000000", // no layer needs it
		`"mlp_only_layers": [0, 5, 99, -1]`:                   "01111011",
		`"mlp_only_layers": [1, 2], "decoder_sparse_step": 2`: "00010101",
		`"mlp_only_layers": null`:                             "11111111",
		`"num_experts": 0, "moe_intermediate_size": "-"`:      "00000000",
		`"intermediate_size": "-"`:                            "11111111",
	} {
		sized := `"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 9, `
		if strings.Contains(change, `"num_experts`) {
			sized = `"moe_intermediate_size": 9, "num_experts": 4, "num_experts_per_tok": 2, `
		}
		c := suite.Parsed(t, sized+change)
		got := ""
		for i := range 8 {
			got += map[bool]string{false: "0", true: "1"}[c.Sparse(i)]
		}
		if sparse, dense := c.Kinds(8); got != want || sparse != strings.Contains(want, "1") || dense != strings.Contains(want, "0") {
			t.Errorf("with %s: %s, not %s; sparse ones %v, dense ones %v", change, got, want, sparse, dense)
		}
	}
}

func TestTensorsThatNoModelReads(t *testing.T) {
	for name, want := range map[string][2]bool{ // with an own head, with a tied one
		"lm_head.weight": {false, true},
		"model.layers.0.self_attn.rotary_emb.inv_freq": {true, true},
		"model.visual.rotary_pos_emb.inv_freq":         {true, true},
		"model.norm.weight":                            {},
		"model.lm_head.weight":                         {},
	} {
		for i, tied := range []bool{false, true} {
			if got := (Checkpoint{TieWordEmbeddings: tied}).Superfluous(name); got != want[i] {
				t.Errorf("%s, tied %v: %v", name, tied, got)
			}
		}
	}
}

func TestFirstLayers(t *testing.T) {
	for n, want := range map[int]int{-1: 8, 0: 8, 1: 1, 8: 8, 9: 8} {
		if got := (Decoder{NumHiddenLayers: 8}).FirstLayers(n); got != want {
			t.Errorf("%d: %d, not %d", n, got, want)
		}
	}
}

// Whatever is in the file, there is an answer, and what is accepted is of a sane size.
func FuzzRead(f *testing.F) {
	suite.Fuzz(f, func(t *testing.T, c config) {
		if c.turned < 2 || c.turned > c.HeadDim || c.FP8Block[0] < 0 || c.Context() < 1 || c.HiddenSize < 1 || c.NumHiddenLayers < 1 || !(c.RopeTheta > 1) {
			t.Errorf("accepted: %+v", c)
		}
	},
		suite.With(f, `"rope_parameters": {"rope_type": "yarn", "factor": 4}, "quantization_config": {"quant_method": "fp8"}`),
		suite.With(f, `"rope_scaling": {"type": 3}, "rope_theta": null, "partial_rotary_factor": 1e308`),
		suite.With(f, `"quantization_config": {"quant_method": "fp8", "weight_block_size": [-1, 1e99]}, "mlp_only_layers": [-1]`),
	)
}

// A config of any other model is read as far as its class, and what is wrong with that is told in words.
func TestArchitectures(t *testing.T) {
	for text, want := range map[string]string{
		"\ufeff" + `{"architectures": ["A", "B"], "hidden_size": "wide"}`: "[A B] <nil>", `{}`: "[] <nil>", `{"architectures": null}`: "[] <nil>",
		`{"architectures": {}}`: "[] architectures: a list was expected, found object", `{"architectures": [7]}`: "[] architectures: a string was expected, found number",
		`[]`: "[] an object was expected, found array", `{`: "[] is broken JSON at byte 1: unexpected end of JSON input",
	} {
		classes, err := Architectures([]byte(text))
		if got := fmt.Sprint(classes, " ", err); err == nil && got != want || err != nil && !strings.HasSuffix(got, strings.TrimPrefix(want, "[]")) {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
