// config.go reads config.json in both of its spellings: the published one and that of transformers 5. Every key of this
// architecture is honoured or, where it asks for something that is not built, refused by name. Keys the architecture does
// not have are ignored, as the reference does.

package main

import (
	"errors"
	"math"
	"slices"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/hfconfig"
)

const architecture = "Qwen3VLForConditionalGeneration"

// Config is what config.json says, in its own words. tie_word_embeddings of the checkpoint decides; text_config has another,
// which nobody reads.
type Config struct {
	hfconfig.Checkpoint
	ImageTokenID int          `json:"image_token_id"`
	VideoTokenID int          `json:"video_token_id"`
	Text         TextConfig   `json:"text_config"`
	Vision       VisionConfig `json:"vision_config"`
}

// TextConfig is the decoder's part.
type TextConfig struct {
	hfconfig.Decoder
	ModelType        string `json:"model_type"`
	HeadDim          int    `json:"head_dim"` // explicit: not hidden/heads
	IntermediateSize int    `json:"intermediate_size"`
	AttentionBias    bool   `json:"attention_bias"` // of q, k, v and o

	MRopeSection [3]int `json:"-"` // frequencies that turn by time, row and column
}

// VisionConfig is the tower's part.
type VisionConfig struct {
	ModelType              string `json:"model_type"`
	Depth                  int    `json:"depth"`
	HiddenSize             int    `json:"hidden_size"`
	IntermediateSize       int    `json:"intermediate_size"`
	NumHeads               int    `json:"num_heads"`
	OutHiddenSize          int    `json:"out_hidden_size"` // the decoder's hidden size
	PatchSize              int    `json:"patch_size"`
	TemporalPatchSize      int    `json:"temporal_patch_size"`
	SpatialMergeSize       int    `json:"spatial_merge_size"`
	NumPositionEmbeddings  int    `json:"num_position_embeddings"`  // rows of a square table
	DeepStackVisualIndexes []int  `json:"deepstack_visual_indexes"` // merger k reads what block [k] gives
	HiddenAct              string `json:"hidden_act"`               // of the blocks; mergers always have exact GELU
	InChannels             int    `json:"in_channels"`              // 3

	RopeTheta float64 `json:"-"`
}

// ParseConfig reads config.json and checks it. All that is wrong is in one error.
func ParseConfig(text []byte) (Config, error) {
	c := Config{
		ImageTokenID: 151655, VideoTokenID: 151656,
		Text: TextConfig{Decoder: hfconfig.Decoder{HiddenAct: "silu", RMSNormEps: 1e-6, RopeTheta: 500000}, HeadDim: 128},
		Vision: VisionConfig{
			HiddenAct: "gelu_pytorch_tanh", InChannels: 3, PatchSize: 16, TemporalPatchSize: 2, SpatialMergeSize: 2, NumPositionEmbeddings: 2304,
		},
	}
	var ropes struct {
		Text   hfconfig.RopeKeys `json:"text_config"`
		Vision hfconfig.RopeKeys `json:"vision_config"`
	}
	f, err := hfconfig.Read(text, &c, &ropes)
	if err != nil {
		return c, err
	}
	inText, inVision := hfconfig.In("text_config"), hfconfig.In("vision_config")
	c.check(f.Problems)
	c.Text.check(inText)
	c.Vision.check(inVision)
	c.Text.readRope(ropes.Text.Read(inText))
	c.Vision.readRope(ropes.Vision.Read(inVision))
	c.FP8Block = f.FP8()
	return c, errors.Join(f.Err(), inText.Err(), inVision.Err())
}

func (c *TextConfig) readRope(r *hfconfig.Rope) {
	r.Whole()
	r.Flag("mrope_interleaved", true) // the reference interleaves in either case
	section := hfconfig.Lookup(r, "mrope_section", "a list of three numbers", []int{24, 20, 20})
	if len(section) != 3 || slices.Min(section) < 0 || slices.Max(section) > 1<<12 {
		r.Refuse(true, "mrope_section is %v; three numbers from 0 to %d are needed", section, 1<<12)
	} else {
		c.MRopeSection = [3]int(section)
	}
	c.ReadRope(r, "mrope") // what default was called once
	r.Done()
}

func (c *VisionConfig) readRope(r *hfconfig.Rope) {
	c.RopeTheta = r.Theta(10000)
	r.Kind("axial")
	r.Done()
}

// axes says by which of a row's three positions (time, row, column) each of a head's frequencies turns: they take turns, as
// long as the sections of row and column last. The reference interleaves them whatever mrope_interleaved says.
func (c TextConfig) axes() []int32 {
	axes := make([]int32, c.HeadDim/2)
	for i := range axes {
		if axis := i % 3; i < 3*c.MRopeSection[axis] {
			axes[i] = int32(axis)
		}
	}
	return axes
}

// headDim is the width of one of the tower's heads.
func (c VisionConfig) headDim() int { return c.HiddenSize / c.NumHeads }

// side is the number of rows and of columns of the square table of position embeddings.
func (c VisionConfig) side() int { return int(math.Sqrt(float64(c.NumPositionEmbeddings))) }

// group is the number of patches that become one token.
func (c VisionConfig) group() int { return c.SpatialMergeSize * c.SpatialMergeSize }

// patchValues is the length of a patch.
func (c VisionConfig) patchValues() int {
	return c.InChannels * c.TemporalPatchSize * c.PatchSize * c.PatchSize
}

// gelus are the activations of the tower's blocks that are built.
var gelus = map[string]cuda.GELUForm{"gelu_pytorch_tanh": cuda.GELUTanh, "gelu_new": cuda.GELUTanh, "gelu": cuda.GELUErf}

// Published says whether these are the dimensions of Qwen3-VL-2B.
func (c Config) Published() bool {
	t, v := c.Text, c.Vision
	return t.VocabSize == 151936 && t.HiddenSize == 2048 && t.IntermediateSize == 6144 && t.NumHiddenLayers == 28 && t.NumAttentionHeads == 16 &&
		t.NumKeyValueHeads == 8 && t.HeadDim == 128 && t.RopeTheta == 5e6 && t.MRopeSection == [3]int{24, 20, 20} && c.TieWordEmbeddings &&
		v.Depth == 24 && v.HiddenSize == 1024 && v.IntermediateSize == 4096 && v.NumHeads == 16 && v.PatchSize == 16 && v.TemporalPatchSize == 2 &&
		v.SpatialMergeSize == 2 && v.NumPositionEmbeddings == 2304 && len(v.DeepStackVisualIndexes) == 3
}
