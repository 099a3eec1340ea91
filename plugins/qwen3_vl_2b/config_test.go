package main

import (
	"context"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/hfconfig/configtest"
)

// published is config.json of Qwen3-VL-2B-Instruct.
const published = `{
	"architectures": ["Qwen3VLForConditionalGeneration"], "image_token_id": 151655, "model_type": "qwen3_vl",
	"text_config": {
		"attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 151643, "dtype": "bfloat16", "eos_token_id": 151645, "head_dim": 128,
		"hidden_act": "silu", "hidden_size": 2048, "initializer_range": 0.02, "intermediate_size": 6144, "max_position_embeddings": 262144,
		"model_type": "qwen3_vl_text", "num_attention_heads": 16, "num_hidden_layers": 28, "num_key_value_heads": 8, "rms_norm_eps": 1e-06,
		"rope_scaling": {"mrope_interleaved": true, "mrope_section": [24, 20, 20], "rope_type": "default"}, "rope_theta": 5000000,
		"tie_word_embeddings": true, "use_cache": true, "vocab_size": 151936
	},
	"tie_word_embeddings": true, "transformers_version": "4.57.0.dev0", "video_token_id": 151656,
	"vision_config": {
		"deepstack_visual_indexes": [5, 11, 17], "depth": 24, "hidden_act": "gelu_pytorch_tanh", "hidden_size": 1024, "in_channels": 3,
		"initializer_range": 0.02, "intermediate_size": 4096, "model_type": "qwen3_vl", "num_heads": 16, "num_position_embeddings": 2304,
		"out_hidden_size": 2048, "patch_size": 16, "spatial_merge_size": 2, "temporal_patch_size": 2
	},
	"vision_end_token_id": 151653, "vision_start_token_id": 151652
}`

var configs = configtest.Suite[Config]{
	Published: published, Part: "text_config", Parse: ParseConfig, WholeHeads: true,
	Spellings: map[string]func(c Config) bool{tiny: func(c Config) bool { return c.Text.RopeTheta == 5e6 && c.Text.MRopeSection == [3]int{6, 5, 5} }},
	Reads: map[string]func(c Config) bool{
		configtest.Without("image_token_id", "video_token_id", "tie_word_embeddings", "text_config.head_dim", "text_config.hidden_act", "text_config.rms_norm_eps",
			"text_config.rope_theta", "text_config.rope_scaling", "vision_config.hidden_act", "vision_config.in_channels", "vision_config.patch_size") +
			`, "vision_config.deepstack_visual_indexes": []`: func(c Config) bool {
			return c.ImageTokenID == 151655 && c.VideoTokenID == 151656 && !c.TieWordEmbeddings && c.Text.HeadDim == 128 && c.Text.RMSNormEps == 1e-6 && c.Text.RopeTheta == 500000 &&
				c.Text.MRopeSection == [3]int{24, 20, 20} && c.Vision.PatchSize == 16 && c.Vision.RopeTheta == 10000 && len(c.Vision.DeepStackVisualIndexes) == 0
		},
		`"text_config.rope_scaling": {"rope_type": "yarn", "mrope_section": [24, 20, 20], "mrope_interleaved": true, "factor": 3.0, "original_max_position_embeddings": 262144}`: func(c Config) bool {
			return c.Text.Yarn != nil && c.Text.Yarn.Factor == 3 && New(c, 1).Shape().Context == 3*262144
		},
	},
	Others: []string{`"text_config.num_hidden_layers": 27`, `"text_config.rope_theta": 1e6`, `"tie_word_embeddings": false`, `"vision_config.depth": 23`},
	Bounds: configtest.Bounds{
		"text_config.head_dim": {1, 1 << 12}, "text_config.intermediate_size": {1, 1 << 20},
		"vision_config.depth": {1, 1 << 12}, "vision_config.hidden_size": {1, 1 << 16}, "vision_config.intermediate_size": {1, 1 << 18},
		"vision_config.num_heads": {1, 1 << 12}, "vision_config.out_hidden_size": {1, 1 << 20}, "vision_config.patch_size": {1, 1 << 8},
		"vision_config.temporal_patch_size": {1, 1 << 4}, "vision_config.spatial_merge_size": {1, 1 << 4},
		"vision_config.num_position_embeddings": {1, 1 << 24},
	},
	Accepted: []string{
		`"image_token_id": 151935`, `"image_token_id": 0`, `"video_token_id": 151935`, `"video_token_id": 0`, `"vision_config.deepstack_visual_indexes": [0, 23]`,
		`"vision_config.depth": 2, "vision_config.deepstack_visual_indexes": [1, 0]`, `"vision_config.num_heads": 256`, `"text_config.rope_scaling": {"mrope_section": [0, 4096, 0]}`,
	},
	Refused: configtest.Refusals{
		{`"text_config": "-"`, `text_config: hidden_size is 0; a number from 1 to`},
		{`"vision_config": "-"`, `vision_config: depth is 0; a number from 1 to`},
		{`"text_config": []`, `text_config: an object was expected, found array`},
		{`"image_token_id": 151936`, `image_token_id is 151936 of a vocabulary of 151936`},
		{`"video_token_id": -1`, `video_token_id is -1`},
		{`"video_token_id": 151655`, `image_token_id and video_token_id are both 151655`},
		{`"text_config.model_type": "qwen3"`, `text_config: model_type is "qwen3"`},
		{`"text_config.attention_bias": 1`, `text_config.attention_bias: true or false was expected, found number`},
		{`"text_config.rope_scaling": {"mrope_section": [24, 20]}`, `mrope_section is [24 20]; three numbers from 0 to`},
		{`"text_config.rope_scaling": {"mrope_section": [24, 20, -1]}`, `mrope_section is [24 20 -1]`},
		{`"text_config.rope_scaling": {"mrope_section": "all"}`, `mrope_section is "all"; a list of three numbers is needed`},
		{`"text_config.rope_scaling": {"factor": 2}`, `the rope has "factor", which a rope of type "default" does not use`},
		{`"vision_config.model_type": "siglip"`, `vision_config: model_type is "siglip"`},
		{`"vision_config.out_hidden_size": 1024`, `vision_config: out_hidden_size is 1024, not text_config's hidden_size 2048`},
		{`"vision_config.num_heads": 15`, `vision_config: hidden_size is 1024, which num_heads 15 does not divide`},
		{`"vision_config.num_heads": 512`, `vision_config: hidden_size 1024 in num_heads 512 makes heads of 2; rotation by row and column needs a multiple of 4`},
		{`"vision_config.num_heads": 0`, `vision_config: num_heads is 0`},
		{`"text_config.intermediate_size": "-"`, `text_config: intermediate_size is 0; a number from 1 to`},
		{`"vision_config.hidden_size": 0`, `vision_config: hidden_size is 0; a number from 1 to`},
		{`"vision_config.intermediate_size": 0`, `vision_config: intermediate_size is 0; a number from 1 to`},
		{`"vision_config.out_hidden_size": 0`, `vision_config: out_hidden_size is 0; a number from 1 to`},
		{`"vision_config.temporal_patch_size": 0`, `vision_config: temporal_patch_size is 0; a number from 1 to`},
		{`"vision_config.spatial_merge_size": 0`, `vision_config: spatial_merge_size is 0; a number from 1 to`},
		{`"vision_config.rope_parameters": {"rope_type": "axial", "factor": 2}`, `vision_config: the rope has "factor", which a rope of type "axial" does not use`},
		{`"vision_config.patch_size": 0`, `vision_config: patch_size is 0`},
		{`"vision_config.num_position_embeddings": -4`, `vision_config: num_position_embeddings is -4`},
		{`"vision_config.in_channels": 4`, `vision_config: in_channels is 4, which is not built; only 3 is`},
		{`"vision_config.hidden_act": "quick_gelu"`, `vision_config: hidden_act is quick_gelu, which is not built; only gelu, gelu_new, gelu_pytorch_tanh is`},
		{`"vision_config.deepstack_visual_indexes": [5, 24]`, `vision_config: deepstack_visual_indexes[1] is 24 of 24 blocks`},
		{`"vision_config.depth": 2, "vision_config.deepstack_visual_indexes": [0, 1, 1]`, `vision_config: deepstack_visual_indexes has 3 entries for 2 blocks`},
		{`"vision_config.deepstack_visual_indexes": [5, 5]`, `vision_config: deepstack_visual_indexes has 5 twice`},
		{`"vision_config.rope_parameters": {"rope_type": "default"}`, `vision_config: rope_type is "default", which is not built; only axial is`},
		{`"vision_config.rope_parameters": {"rope_theta": 0}`, `vision_config: rope_theta is 0`},
		{`"video_token_id": 151936`, `video_token_id is 151936 of a vocabulary of 151936`},
		{`"image_token_id": -1`, `image_token_id is -1 of a vocabulary`},
		{`"vision_config.deepstack_visual_indexes": [-1]`, `deepstack_visual_indexes[0] is -1 of 24 blocks`},
		{`"text_config.rope_scaling": {"mrope_section": [0, 4097, 0]}`, `mrope_section is [0 4097 0]; three numbers from 0 to 4096 are needed`},
	},
}

var with = configs.With

func TestConfig(t *testing.T) { configs.Test(t) }

// A row of the published model is given four features of a picture.
func TestPublishedFeatures(t *testing.T) {
	if n := New(configs.Parsed(t, ""), 0).Features(); n != 4 {
		t.Errorf("%d features", n)
	}
}

// The published sections: row and column take turns with time up to frequency 59, the last four are time's.
func TestFrequenciesTakeTurns(t *testing.T) {
	c := configs.Parsed(t, "")
	axes := c.Text.axes()
	if got := [...]int32{axes[0], axes[1], axes[2], axes[57], axes[58], axes[59], axes[60], axes[61], axes[62], axes[63]}; got != [...]int32{0, 1, 2, 0, 1, 2, 0, 0, 0, 0} {
		t.Errorf("%v", axes)
	}
}

func TestPreprocessors(t *testing.T) {
	c := configs.Parsed(t, "")
	const rest = `"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]`
	for text, want := range map[string]string{
		`{"size": {"shortest_edge": 1024, "longest_edge": 262144}, ` + rest + `}`:                                   "",
		`{"min_pixels": 1024, "max_pixels": 262144, "size": null, ` + rest + `}`:                                    "",
		`{"min_pixels": 1024, "max_pixels": 262144, "size": {"shortest_edge": 1, "longest_edge": 2}, ` + rest + `}`: "",
		`{"size": {"shortest_edge": 1024, "longest_edge": 262144}}`:                                                 "image_mean is []; three numbers are needed",
		`{"patch_size": 14, ` + rest + `}`:                                                                          "patch_size is 14, and the tower's in config.json is 16",
		`{"merge_size": 1, ` + rest + `}`:                                                                           "merge_size is 1",
		`{"temporal_patch_size": 1, ` + rest + `}`:                                                                  "temporal_patch_size is 1",
		`{"do_resize": false, ` + rest + `}`:                                                                        "do_resize is false, which is not built",
		`{"do_normalize": false, ` + rest + `}`:                                                                     "do_normalize is false",
		`{"resample": 2, ` + rest + `}`:                                                                             "resample is 2, which is not built; only 3, bicubic, is",
		`{"size": {"shortest_edge": 9, "longest_edge": 4}, ` + rest + `}`:                                           "size is 9 to 4 pixels",
		`{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0, 0.5]}`:                                               "no std 0",
		`{"image_mean": 0.5}`:                                                                                       "image_mean",
		`{`:                                                                                                         "unexpected end",
		`{"rescale_factor": 0.00392156862745098, "resample": 3, "do_convert_rgb": true, "processor_class": "x", ` + rest + `}`: "",
	} {
		m := New(c, 1)
		before := m.look
		err := m.ReadPreprocessor([]byte(text))
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", text, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "preprocessor_config.json: ") || m.look != before):
			t.Errorf("%s: %v\nwant %s", text, err, want)
		case strings.Contains(text, "262144") && err == nil && (m.look.MinPixels != 1024 || m.look.MaxPixels != 262144):
			t.Errorf("%s: %+v", text, m.look)
		}
	}
}

// FuzzParseConfig: whatever is accepted can be built without a panic and describes a model of a sane size.
func FuzzParseConfig(f *testing.F) {
	configs.Fuzz(f, func(t *testing.T, c Config) {
		c.Vision.Depth = min(c.Vision.Depth, 2)
		m := New(c, 2)
		if s := m.Shape(); s.Context < 1 || s.Vocab < 1 || s.Hidden < 1 || len(m.Caches()) != s.Layers || len(c.Text.axes()) != c.Text.HeadDim/2 || c.Vision.side() < 1 {
			t.Fatalf("shape %+v of %+v", s, c)
		}
	},
		with(f, `"vision_config.deepstack_visual_indexes": [], "text_config.rope_scaling": {"type": "mrope", "mrope_section": [0, 0, 9]}`),
		[]byte(`{"vision_config": {"num_heads": 3}, "text_config": {"rope_parameters": {"mrope_section": 3}}, "architectures": [1]}`))
}

// FuzzPreprocessor: whatever is accepted makes a picture of a size that the tower takes.
func FuzzPreprocessor(f *testing.F) {
	f.Add(read(f, tiny, "preprocessor_config.json"))
	f.Add([]byte(`{"min_pixels": 1, "max_pixels": 9999, "image_mean": [1e308, 0, 0], "image_std": [1, 1, 1e-40]}`))
	c, err := ParseConfig(read(f, tiny, "config.json"))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m := New(c, 1)
		if m.ReadPreprocessor(text) != nil || m.look.MinPixels > 1<<20 {
			return
		}
		file := pngOf(t, 30, 20)
		if p, err := m.Look(context.Background(), file); err == nil && (p.Tokens() < 1 || p.Tokens()*4 != p.(*Picture).patches()) {
			t.Fatalf("%d tokens with %s", p.Tokens(), text)
		}
	})
}
