package main

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

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
