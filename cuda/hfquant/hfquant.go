// Package hfquant reads the quantised weights of Hugging Face checkpoints: those of compressed-tensors, AWQ, GPTQ, ModelOpt and MLX. What a module
// has is decided by the tensors that are there and by nothing else, because the lists in configs of what was left out miss some and name others; the
// config says what tensors cannot tell, such as how many bits a code has.
//
// [Open] gives a source in which each such module has one tensor, NAME.weight, as codes that are widened to numbers (see weights.Coded); a
// weight without companions is left as it is. Numbers are made in f32, where packages round to the type of the factors.
package hfquant

import (
	"encoding/json"
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
	s, err := parse(config)
	if err != nil || s.method == "" || src.Names() == nil {
		return src, err
	}
	r := &reader{scheme: s, src: src, views: map[string]weights.View{}, done: map[string]bool{}}
	for _, name := range src.Names() {
		if err := r.module(name); err != nil {
			return nil, err
		}
	}
	for _, name := range src.Names() {
		if r.done[name] || scaleOfCache(name) || strings.HasSuffix(name, ".input_scale") {
			continue
		}
		v, _ := src.Get(name, nil)
		if err := r.put(name, v); err != nil {
			return nil, err
		}
	}
	return table{r.views, slices.Sorted(maps.Keys(r.views))}, nil
}

// scaleOfCache says that a tensor is the factor of keys or values that are kept in 8 bits, which nobody reads.
func scaleOfCache(name string) bool {
	return strings.HasSuffix(name, ".k_scale") || strings.HasSuffix(name, ".v_scale") || strings.HasSuffix(name, ".kv_scale") || strings.HasSuffix(name, "_proj.output_scale")
}

// scheme is what a config says.
type scheme struct {
	method string // "": the weights are not of this package
	bits   []int  // that codes may have
	v2     bool   // zeros of GPTQ are as they are written, not one less
}

const (
	compressed = "compressed-tensors"
	awq        = "awq"
	gptq       = "gptq"
	modelopt   = "modelopt"
	fp8        = "fp8"
	mlx        = "mlx"
)

// Instead says for a method that is not built what to use in its place; "" for one that is, and for FP8 in blocks.
func Instead(method string) string {
	switch method {
	case compressed, awq, gptq, modelopt, fp8, mlx:
		return ""
	case "bitsandbytes":
		return "take the original checkpoint with quantize = \"q4\" or \"q8\", which makes as small weights of it"
	}
	return "take the checkpoint in bf16, in FP8, or of compressed-tensors, AWQ, GPTQ, ModelOpt or MLX, or a GGUF file"
}

type keys struct {
	Quantization *quantization `json:"quantization_config"`
	MLX          *quantization `json:"quantization"`
	Text         struct {
		Quantization *quantization `json:"quantization_config"`
	} `json:"text_config"`
}

type quantization struct {
	Method  string `json:"quant_method"`
	Bits    int    `json:"bits"`
	Group   int    `json:"group_size"`
	Mode    string `json:"mode"`              // MLX
	Version string `json:"version"`           // AWQ
	Format  string `json:"checkpoint_format"` // GPTQ
	Groups  map[string]struct {
		Weights struct {
			Bits int `json:"num_bits"`
		} `json:"weights"`
	} `json:"config_groups"`
}

func parse(config []byte) (s scheme, err error) {
	var k keys
	if err := json.Unmarshal(config, &k); err != nil {
		return s, nil // what is wrong with it is told by who reads it whole
	}
	q := k.Quantization
	if q == nil {
		q = k.Text.Quantization
	}
	if q == nil {
		q = k.MLX
	}
	if q == nil {
		return s, nil
	}
	if s.method = q.Method; s.method == "" && q.Group > 0 {
		s.method = mlx
	}
	s.bits = []int{q.Bits}
	const at = "config.json: quantization_config: "
	switch s.method {
	case compressed:
		s.bits = nil
		for _, g := range q.Groups {
			if b := g.Weights.Bits; b > 0 && !slices.Contains(s.bits, b) {
				s.bits = append(s.bits, b)
			}
		}
		slices.Sort(s.bits)
	case awq:
		if v := strings.ToLower(q.Version); v != "" && v != "gemm" {
			return s, fmt.Errorf(at+"version is %q, which lays codes out otherwise and is not built; only \"gemm\" is", q.Version)
		}
		if q.Bits != 0 && q.Bits != 4 {
			return s, fmt.Errorf(at+"bits is %d, which is not built for awq; only 4 is", q.Bits)
		}
		s.bits = []int{4}
	case gptq:
		if q.Format != "" && q.Format != "gptq" && q.Format != "gptq_v2" {
			return s, fmt.Errorf(at+"checkpoint_format is %q, which is not built; only \"gptq\" and \"gptq_v2\" are", q.Format)
		}
		if q.Bits != 2 && q.Bits != 4 && q.Bits != 8 {
			return s, fmt.Errorf(at+"bits is %d, which is not built for gptq; only 2, 4 and 8 are", q.Bits)
		}
		s.v2 = q.Format == "gptq_v2"
	case mlx:
		if q.Mode != "" && q.Mode != "affine" {
			return s, fmt.Errorf("config.json: quantization: mode is %q, which is not built; only \"affine\" is", q.Mode)
		}
	case modelopt, fp8:
	default:
		return scheme{}, nil // refused, or known, where the config is read whole
	}
	return s, nil
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
		v, err = r.affine(base, codes)
	case !scaled || r.method == awq || r.method == gptq || r.method == mlx:
		return v, false, nil
	case codes.Format == "U8":
		v, err = r.nvfp4(base, codes, base+".weight_scale_2", false)
	case codes.Format == "F8_E4M3" || codes.Format == "I8":
		return r.scaled(base, codes)
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

func (t table) Names() []string { return t.names }

func (t table) Get(name string, _ []int) (weights.View, bool) {
	v, ok := t.views[name]
	return v, ok
}
