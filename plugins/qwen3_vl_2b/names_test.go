package main

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// renamed is a source with its names changed, some tensors added and some left out.
type renamed struct {
	weights.Source
	from map[string]string // new name -> old
}

func rename(src weights.Source, f func(string) string) renamed {
	r := renamed{src, map[string]string{}}
	for _, name := range src.Names() {
		if to := f(name); to != "" {
			r.from[to] = name
		}
	}
	return r
}

func (r renamed) Names() []string { return slices.Sorted(maps.Keys(r.from)) }

func (r renamed) Get(name string, shape []int) (weights.View, bool) {
	return r.Source.Get(r.from[name], shape)
}

func bindTo(t *testing.T, src weights.Source) error {
	t.Helper()
	_, _, err := suite.Bind(read(t, tiny, "config.json"), 0, src)
	return err
}

func TestTensorsInAllSpellings(t *testing.T) {
	src := checkpoint(t, tiny)
	for what, f := range map[string]func(string) string{
		"published": func(n string) string { return n },
		"old": func(n string) string {
			return strings.Replace(strings.Replace(n, "model.language_model.", "language_model.model.", 1), "model.visual.", "visual.", 1)
		},
		"oldest": func(n string) string {
			return strings.Replace(strings.Replace(n, "model.language_model.", "model.", 1), "model.visual.", "visual.", 1)
		},
	} {
		if err := bindTo(t, rename(src, f)); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	stray := rename(src, func(n string) string { return n })
	stray.from["lm_head.weight"] = "model.language_model.embed_tokens.weight"
	if err := bindTo(t, stray); err != nil {
		t.Errorf("with a copy of the tied head: %v", err)
	}
}

func TestWhatDoesNotFitIsNamed(t *testing.T) {
	src := checkpoint(t, tiny)
	lacking := rename(src, func(n string) string {
		if strings.HasSuffix(n, "blocks.2.attn.qkv.bias") {
			return ""
		}
		return n
	})
	lacking.from["model.visual.blocks.9.norm1.weight"] = "model.visual.blocks.0.norm1.weight"
	lacking.from["visual.blocks.0.norm1.weight"] = "model.visual.blocks.0.norm1.weight" // there twice
	lacking.from["model.visual.patch_embed.proj.weight"] = "model.visual.pos_embed.weight"
	err := bindTo(t, lacking)
	for _, want := range []string{
		"it lacks model.visual.blocks.2.attn.qkv.bias (192)", "unknown to this model: model.visual.blocks.9.norm1.weight, visual.blocks.0.norm1.weight",
		"model.visual.patch_embed.proj.weight is (64, 64), not (64, 1536)",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
}

// Invented weights have no names and every shape that is asked for.
func TestInventedWeightsFit(t *testing.T) {
	if err := bindTo(t, weights.Dummy(1, cuda.BF16)); err != nil {
		t.Error(err)
	}
}
