package hfconfig

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// QuantizationKeys is where config.json says that weights are not plain numbers.
type QuantizationKeys struct {
	Quantization map[string]json.RawMessage `json:"quantization_config"`
}

// fp8Keys are those of quant_method "fp8", as Qwen publishes it. Which matrices it means is seen by their scales, so
// modules_to_not_convert is not needed; activations are not quantised here, so their scheme matters only where it brings
// tensors of its own.
type fp8Keys struct {
	Method           string   `json:"quant_method"`
	Format           string   `json:"fmt"`
	ActivationScheme string   `json:"activation_scheme"`
	BlockSize        []int    `json:"weight_block_size"`
	NotConverted     []string `json:"modules_to_not_convert"`
	Dequantize       bool     `json:"dequantize"` // how the reference is to compute, with the same weights
}

var fp8Known = []string{"quant_method", "fmt", "activation_scheme", "weight_block_size", "modules_to_not_convert", "dequantize"}

// FP8 is the rows and columns of the blocks that FP8 weights are scaled by, {} if the config announces none. Any other form
// is added to p.
func (k QuantizationKeys) FP8(p *Problems) (block [2]int) {
	if k.Quantization == nil {
		return block
	}
	q := fp8Keys{Format: "e4m3", ActivationScheme: "dynamic", BlockSize: []int{128, 128}}
	text, err := json.Marshal(k.Quantization)
	if err == nil {
		err = decode(text, &q)
	}
	const at = "quantization_config"
	if err != nil {
		p.Add(fmt.Errorf("config.json: %s: %w", at, err))
		return block
	}
	p.NotBuilt(q.Method != "fp8", at+": quant_method", q.Method, "fp8")
	p.NotBuilt(q.Format != "e4m3", at+": fmt", q.Format, "e4m3")
	p.NotBuilt(q.ActivationScheme != "dynamic", at+": activation_scheme", q.ActivationScheme, "dynamic")
	for _, key := range slices.Sorted(maps.Keys(k.Quantization)) {
		p.Refuse(!slices.Contains(fp8Known, key) && string(k.Quantization[key]) != "null", "%s: %q is not known here", at, key)
	}
	b := q.BlockSize
	if len(b) != 2 || min(b[0], b[1]) < 1 || max(b[0], b[1]) > 1<<20 {
		p.Refuse(true, "%s: weight_block_size is %v; two numbers from 1 on are needed", at, b)
		return block
	}
	return [2]int(b)
}
