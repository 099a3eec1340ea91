// names.go undoes what mlx-lm and mlx-vlm change of a checkpoint besides quantising it.

package hfquant

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// renamed gives the tensors of a checkpoint that went through them as it was before: experts that were joined keep their names, which
// weights.SplitExperts knows.
//
//	*.embed_q, *.unembed_out        the halves of *.kv_b_proj
//	*.conv1d                        (channels, window, 1): (channels, 1, window)
//	norms of layers beside these    have one added
//	vision_tower.*                  visual.*, whose window is (out, time, rows, columns, colours): (out, colours, time, rows, columns)
func renamed(k keys, src weights.Source) (weights.Source, error) {
	found := signs(src)
	if !found.mlx {
		return src, nil
	}
	if !null(k.Vision) && !found.tower {
		return nil, fmt.Errorf("the checkpoint has no vision tower, which mlx-lm leaves out: take one that mlx-vlm made, the original, or a GGUF file with its mmproj file")
	}
	all := map[string]weights.View{}
	for _, name := range src.Names() {
		v, _ := src.Get(name, nil)
		var err error
		switch {
		case strings.HasSuffix(name, ".embed_q.weight"):
			base := strings.TrimSuffix(name, ".embed_q.weight")
			values, _ := src.Get(base+".unembed_out.weight", nil)
			if v, err = weights.HeadsOf(v, values); err != nil {
				return nil, fmt.Errorf("tensor %q: %w", name, err)
			}
			name = base + ".kv_b_proj.weight"
		case strings.HasSuffix(name, ".unembed_out.weight"):
			continue
		case window(name, v):
			v.Shape = []int{v.Shape[0], 1, v.Shape[1]}
		case found.added && shifted(name):
			v, err = lessOne(name, v)
		case strings.HasPrefix(name, "vision_tower."):
			name = "visual." + strings.TrimPrefix(name, "vision_tower.")
			v = patchOf(name, v)
		}
		if err != nil {
			return nil, err
		}
		all[name] = v
	}
	return tableOf(all), nil
}

// made says by what names a checkpoint was made.
type made struct{ mlx, added, tower bool }

// signs looks for what only these packages call so. Where a model has the delta rule, a convolution's window that was turned, or experts that were
// joined, say that norms have one added as well.
func signs(src weights.Source) (m made) {
	linear, moved := false, false
	for _, name := range src.Names() {
		v, _ := src.Get(name, nil)
		linear = linear || strings.Contains(name, ".linear_attn.")
		switch {
		case strings.Contains(name, ".switch_mlp."), window(name, v):
			m.mlx, moved = true, true
		case strings.HasSuffix(name, ".embed_q.weight"), strings.HasPrefix(name, "language_model.model."):
			m.mlx = true
		case strings.HasPrefix(name, "vision_tower."):
			m.mlx, m.tower = true, true
		}
		m.tower = m.tower || strings.HasPrefix(name, "visual.") || strings.HasPrefix(name, "model.visual.")
	}
	m.added = linear && moved
	return m
}

// window says that a tensor is a convolution's whose last two dimensions have changed places.
func window(name string, v weights.View) bool {
	return strings.HasSuffix(name, ".conv1d.weight") && len(v.Shape) == 3 && v.Shape[2] == 1 && v.Shape[1] > 1
}

// shifted says that a norm has one added: all have but that behind the delta rule.
func shifted(name string) bool {
	return name == "model.norm.weight" || slices.ContainsFunc([]string{".input_layernorm.weight", ".post_attention_layernorm.weight", ".q_norm.weight", ".k_norm.weight"},
		func(end string) bool { return strings.HasSuffix(name, end) })
}

// lessOne is a vector less one, in f32.
func lessOne(name string, v weights.View) (weights.View, error) {
	numbers, ok := weights.Numbers(v)
	if !ok || len(v.Shape) != 1 {
		return v, fmt.Errorf("tensor %q: is %s %v; a vector of numbers is needed", name, v.Format, v.Shape)
	}
	list, data := make([]float32, v.Shape[0]), make([]byte, 0, 4*v.Shape[0])
	numbers.Widen(list, 0)
	for _, x := range list {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(x-1))
	}
	return weights.View{Format: "F32", DType: cuda.F32, Known: true, Shape: v.Shape, Data: data}, nil
}

// patchOf is the window of a tower as it was: the colours of a point, which are last, are second.
func patchOf(name string, v weights.View) weights.View {
	const colours = 3
	if s := v.Shape; !strings.HasSuffix(name, ".patch_embed.proj.weight") || len(s) != 5 || s[4] != colours || s[1] == colours || v.Data == nil || !v.Known {
		return v
	}
	s, size := v.Shape, v.DType.Size()
	points := s[1] * s[2] * s[3]
	data := make([]byte, 0, len(v.Data))
	for window := v.Data; len(window) > 0; window = window[points*colours*size:] {
		for c := range colours {
			for p := range points {
				at := (p*colours + c) * size
				data = append(data, window[at:at+size]...)
			}
		}
	}
	v.Shape, v.Data = []int{s[0], colours, s[1], s[2], s[3]}, data
	return v
}
