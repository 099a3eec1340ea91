package hfconfig

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/inference-pio/inference-pio/cuda/hfquant"
)

// quantizationKeys is where config.json says that weights are not plain numbers.
type quantizationKeys struct {
	Quantization map[string]json.RawMessage `json:"quantization_config"`
}

// fp8Keys are those of quant_method "fp8", as Qwen publishes it and transformers writes it. Which matrices it means is seen by their scales, so
// modules_to_not_convert, or ignored_layers, is not needed; activations are not quantised here, so their scheme matters only where it brings
// tensors of its own.
type fp8Keys struct {
	Method           string   `json:"quant_method"`
	Format           string   `json:"fmt"`
	ActivationScheme string   `json:"activation_scheme"`
	BlockSize        []int    `json:"weight_block_size"`
	NotConverted     []string `json:"modules_to_not_convert"`
	Ignored          []string `json:"ignored_layers"`     // the same
	Converted        []string `json:"modules_to_convert"` // beside the matrices: embeddings
	ScaleFormat      string   `json:"scale_fmt"`          // of the weights' scales
	ExpertType       string   `json:"expert_dtype"`
	Dequantize       bool     `json:"dequantize"` // how the reference is to compute, with the same weights
}

var fp8Known = []string{"quant_method", "fmt", "activation_scheme", "weight_block_size", "modules_to_not_convert", "ignored_layers", "modules_to_convert", "scale_fmt",
	"expert_dtype", "dequantize"}

// FP8 is the rows and columns of the blocks that FP8 weights are scaled by, {} if the config announces none. What cuda/hfquant reads is left
// to it; any other form of quantised weights is refused.
func (f *File) FP8() (block [2]int) {
	given, p := f.quantization.Quantization, f.Problems
	if given == nil {
		return block
	}
	var method string
	_ = json.Unmarshal(given["quant_method"], &method) // what is wrong with it is told below
	if method == "" && given["group_size"] != nil && given["bits"] != nil {
		return block // MLX
	}
	if instead := hfquant.Instead(method); method != "" && instead != "" {
		p.Refuse(true, "quantization_config: quant_method is %q, which is not built: %s", method, instead)
		return block
	}
	if method != "" && method != "fp8" {
		return block
	}
	q := fp8Keys{Format: "e4m3", ActivationScheme: "dynamic", ScaleFormat: "float", ExpertType: "fp8", BlockSize: []int{128, 128}}
	text, err := json.Marshal(given)
	if err == nil {
		err = decode(text, &q)
	}
	const at = "quantization_config"
	if err != nil {
		p.add(fmt.Errorf("config.json: %s: %w", at, err))
		return block
	}
	for _, k := range []struct{ key, value, built string }{
		{"quant_method", q.Method, "fp8"}, {"fmt", q.Format, "e4m3"},
		{"scale_fmt", q.ScaleFormat, "float"}, {"expert_dtype", q.ExpertType, "fp8"},
	} {
		p.Refuse(k.value != k.built, "%s: %s is %q, which is not built; only %s is", at, k.key, k.value, k.built)
	}
	p.Refuse(q.ActivationScheme != "dynamic" && q.ActivationScheme != "static", "%s: activation_scheme is %q, which is not built; only dynamic and static are", at, q.ActivationScheme)
	p.Refuse(len(q.Converted) > 0, "%s: modules_to_convert is %q, which is not built; only matrices are", at, q.Converted)
	for _, key := range slices.Sorted(maps.Keys(given)) {
		p.Refuse(!slices.Contains(fp8Known, key) && string(given[key]) != "null", "%s: %q is not known here", at, key)
	}
	b := q.BlockSize
	if b == nil { // a factor for each tensor, or each row
		return block
	}
	if len(b) != 2 || min(b[0], b[1]) < 1 || max(b[0], b[1]) > 1<<20 {
		p.Refuse(true, "%s: weight_block_size is %v; two numbers from 1 on are needed", at, b)
		return block
	}
	return [2]int(b)
}
