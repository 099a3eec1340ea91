// The spellings of tensor names. Published files say model.language_model.layers.0..., model.visual.blocks.0...; older and
// re-exported ones say language_model.model.layers.0... or model.layers.0..., and visual.blocks.0.... The tags of the model are
// the decoder's names as every text model has them, and model.visual for the tower.

package main

import (
	"slices"
	"strings"

	"github.com/inference-pio/inference-pio/cuda/weights"
)

// spellings are prefixes in files, and what the model calls them.
var spellings = []struct{ file, model string }{
	{"model.language_model.", "model."},
	{"language_model.model.", "model."},
	{"language_model.lm_head.", "lm_head."},
	{"visual.", "model.visual."},
}

func respelled(file string) string {
	for _, s := range spellings {
		if rest, ok := strings.CutPrefix(file, s.file); ok {
			return s.model + rest
		}
	}
	return file
}

// patchWeight is a convolution in files, whose window is a patch: a matrix.
const patchWeight = "model.visual.patch_embed.proj.weight"

// Respell gives the checkpoint under the model's names.
func (m *Model) Respell(src weights.Source) weights.Source {
	v := m.cfg.Vision
	r := &respeller{Source: src, file: map[string]string{}, patch: []int{v.HiddenSize, v.InChannels, v.TemporalPatchSize, v.PatchSize, v.PatchSize}}
	for _, file := range src.Names() {
		name := respelled(file)
		if _, twice := r.file[name]; twice {
			name = file // it will be listed as unknown
		}
		r.file[name] = file
		r.names = append(r.names, name)
	}
	slices.Sort(r.names)
	return r
}

type respeller struct {
	weights.Source
	file  map[string]string // by the model's names; empty if the source invents tensors
	names []string
	patch []int // shape of the convolution
}

// Names lists the tensors by the model's names.
func (r *respeller) Names() []string { return r.names }

// Get finds a tensor by the model's name.
func (r *respeller) Get(name string, shape []int) (weights.View, bool) {
	file, ok := r.file[name]
	if !ok {
		file = name
	}
	v, ok := r.Source.Get(file, shape)
	if ok && name == patchWeight && slices.Equal(v.Shape, r.patch) {
		v.Shape = shape
	}
	return v, ok
}
