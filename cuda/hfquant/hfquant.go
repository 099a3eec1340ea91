// Package hfquant reads the quantised weights of Hugging Face checkpoints: those of compressed-tensors, AWQ, GPTQ, ModelOpt and MLX, and FP8 with one
// factor for a tensor or a row. What a module has is decided by the tensors that are there and by nothing else, because the lists in configs of what
// was left out miss some and name others; the config says what tensors cannot tell, such as how many bits a code has.
//
// [Open] gives a source in which each such module has one tensor, NAME.weight, as codes that are widened to numbers (see weights.Coded); a
// weight without companions is left as it is. Numbers are made in f32, where packages round to the type of the factors. What mlx-lm changes besides
// is undone (names.go).
package hfquant

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// Open reads what a config says of its weights. A source without names, and one whose config says nothing, is given back as it is. The error
// names the key of the config, or the tensor.
func Open(config []byte, src weights.Source) (weights.Source, error) {
	s, k, err := parse(config)
	if err != nil || src.Names() == nil {
		return src, err
	}
	if s.method != "" {
		if src, err = modules(s, src); err != nil {
			return nil, err
		}
	}
	return renamed(k, src)
}

// modules gives each quantised module one tensor.
func modules(s scheme, src weights.Source) (weights.Source, error) {
	r := &reader{scheme: s, src: src, views: map[string]weights.View{}, done: map[string]bool{}}
	for _, name := range src.Names() {
		if err := r.module(name); err != nil {
			return nil, err
		}
	}
	for _, name := range src.Names() {
		if r.done[name] || ofActivations(name) {
			continue
		}
		v, _ := src.Get(name, nil)
		if err := r.put(name, v); err != nil {
			return nil, err
		}
	}
	return tableOf(r.views), nil
}

// ofActivations says that a tensor is a factor of activations, or of keys or values that are kept in 8 bits, which nobody reads.
func ofActivations(name string) bool {
	return slices.ContainsFunc([]string{".k_scale", ".v_scale", ".q_scale", ".kv_scale", "_proj.output_scale", ".input_scale", ".activation_scale"}, func(end string) bool {
		return strings.HasSuffix(name, end)
	})
}

// reader puts the table of modules together.
type reader struct {
	scheme
	src   weights.Source
	views map[string]weights.View
	done  map[string]bool // tensors that are part of a module's weight
}

// get is a companion of a module's weight, which then is no tensor by itself.
func (r *reader) get(name string) (weights.View, bool) {
	v, ok := r.src.Get(name, nil)
	if ok {
		r.done[name] = true
	}
	return v, ok
}

func (r *reader) put(name string, v weights.View) error {
	if _, twice := r.views[name]; twice {
		return fmt.Errorf("tensor %q: is there twice, once as codes", name)
	}
	r.views[name] = v
	return nil
}

// module reads the module that a tensor is the codes of, if it is.
func (r *reader) module(name string) error {
	var v weights.View
	var err error
	base, read := "", false
	switch {
	case strings.HasSuffix(name, ".weight_packed") && r.method == compressed:
		base, read = strings.TrimSuffix(name, ".weight_packed"), true
		v, err = r.packed(base)
	case strings.HasSuffix(name, ".qweight") && (r.method == awq || r.method == gptq):
		base, read = strings.TrimSuffix(name, ".qweight"), true
		v, err = r.columns(base)
	case strings.HasSuffix(name, ".weight"):
		base = strings.TrimSuffix(name, ".weight")
		v, read, err = r.weight(base)
	}
	if err != nil || !read {
		return err
	}
	for _, rest := range []string{".input_scale", ".input_global_scale", ".input_zero_point", ".weight_shape"} {
		r.get(base + rest)
	}
	r.done[name] = true
	return r.put(base+".weight", v)
}

// weight reads a module whose codes are called as plain weights are; false if they are plain.
func (r *reader) weight(base string) (v weights.View, read bool, err error) {
	codes, _ := r.src.Get(base+".weight", nil)
	_, scaled := r.src.Get(base+".weight_scale", nil)
	_, scales := r.src.Get(base+".scales", nil)
	switch {
	case r.method == mlx && codes.Format == "U32" && scales:
		v, err = r.mlxModule(base, codes)
		return v, true, err
	case r.method == awq || r.method == gptq || r.method == mlx:
		return v, false, nil
	case !scaled && r.method == fp8 && codes.Format == "F8_E4M3":
		return r.oneFactor(base, codes)
	case !scaled:
		return v, false, nil
	case codes.Format == "U8":
		v, err = r.nvfp4(base, codes, base+".weight_scale_2", false)
	case codes.Format == "F8_E4M3" || codes.Format == "I8":
		return r.scaled(base, codes, base+".weight_scale")
	default:
		return v, false, fmt.Errorf("tensor %q: is %s with a weight_scale beside it, which is not read", base+".weight", codes.Format)
	}
	return v, true, err
}

// coded is a view of codes, to become bf16 where it is not packed.
func coded(format string, rows, cols int, c weights.Coded) weights.View {
	return weights.View{Format: format, DType: cuda.BF16, Known: true, Shape: []int{rows, cols}, Coded: c}
}

// matrix checks that a tensor has two dimensions and its bytes.
func matrix(name string, v weights.View, format string) (rows, cols int, err error) {
	if v.Format != format || len(v.Shape) != 2 {
		return 0, 0, fmt.Errorf("tensor %q: is %s %v; a matrix in %s is needed", name, v.Format, v.Shape, format)
	}
	return v.Shape[0], v.Shape[1], nil
}

type table struct {
	views map[string]weights.View
	names []string
}

func tableOf(views map[string]weights.View) table {
	return table{views, slices.Sorted(maps.Keys(views))}
}

func (t table) Names() []string { return t.names }

func (t table) Get(name string, _ []int) (weights.View, bool) {
	v, ok := t.views[name]
	return v, ok
}
