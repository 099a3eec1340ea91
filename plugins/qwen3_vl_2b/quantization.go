// quantization.go reads quantization_config: FP8 with block scales, as Qwen publishes it, is the one form that is built.

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// quantizationKeys is where config.json says that weights are not plain numbers.
type quantizationKeys struct {
	Quantization map[string]json.RawMessage `json:"quantization_config"`
}

// fp8Keys are those of quant_method "fp8". Which matrices it means is seen by their scales, so modules_to_not_convert is not
// needed; activations are not quantized here, so their scheme matters only where it brings tensors of its own.
type fp8Keys struct {
	Method           string   `json:"quant_method"`
	Format           string   `json:"fmt"`
	ActivationScheme string   `json:"activation_scheme"`
	BlockSize        []int    `json:"weight_block_size"`
	NotConverted     []string `json:"modules_to_not_convert"`
	Dequantize       bool     `json:"dequantize"` // how the reference is to compute, with the same weights
}

// apply puts the form of the weights into c.
func (k quantizationKeys) apply(c *Config) error {
	if k.Quantization == nil {
		return nil
	}
	q := fp8Keys{Format: "e4m3", ActivationScheme: "dynamic", BlockSize: []int{128, 128}}
	text, err := json.Marshal(k.Quantization)
	if err == nil {
		err = decode(text, &q)
	}
	if err != nil {
		return fmt.Errorf("config.json: quantization_config: %w", err)
	}
	var errs []error
	refuse := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf("config.json: quantization_config: "+format, args...))
		}
	}
	refuse(q.Method != "fp8", "quant_method is %q, which is not built; only fp8 is", q.Method)
	refuse(q.Format != "e4m3", "fmt is %q, which is not built; only e4m3 is", q.Format)
	refuse(q.ActivationScheme != "dynamic", "activation_scheme is %q, which is not built; only dynamic is", q.ActivationScheme)
	known := []string{"quant_method", "fmt", "activation_scheme", "weight_block_size", "modules_to_not_convert", "dequantize"}
	for _, key := range slices.Sorted(maps.Keys(k.Quantization)) {
		refuse(!slices.Contains(known, key) && string(k.Quantization[key]) != "null", "%q is not known here", key)
	}
	if b := q.BlockSize; len(b) != 2 || min(b[0], b[1]) < 1 || max(b[0], b[1]) > 1<<20 {
		refuse(true, "weight_block_size is %v; two numbers from 1 on are needed", b)
	} else {
		c.FP8Block = [2]int{b[0], b[1]}
	}
	return errors.Join(errs...)
}
