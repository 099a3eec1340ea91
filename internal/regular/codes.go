package regular

import (
	"encoding/json"
	"os"
	"path/filepath"
)

// SettingsOfCodes are the files beside config.json in which packages told of quantised weights before they did so there.
var SettingsOfCodes = []string{"hf_quant_config.json", "quantize_config.json", "quant_config.json"}

// InCodes says whether a checkpoint's weights are codes that are made into other forms when they are loaded, so that they are in memory and no longer in
// the file: those of a GGUF file, and of a folder that announces them. FP8 in blocks is computed with as the file has it. What cannot be
// read announces nothing: who opens it tells why.
func InCodes(path string) bool {
	if IsGGUF(path) {
		return true
	}
	var config struct {
		Quantization *announced `json:"quantization_config"`
		MLX          *struct{}  `json:"quantization"`
		Text         struct {
			Quantization *announced `json:"quantization_config"`
		} `json:"text_config"`
	}
	text, err := Read(filepath.Join(path, "config.json"), 4<<20)
	if err != nil || json.Unmarshal(text, &config) != nil {
		return false
	}
	for _, q := range []*announced{config.Quantization, config.Text.Quantization} {
		if q != nil {
			return q.made()
		}
	}
	if config.MLX != nil {
		return true
	}
	for _, name := range SettingsOfCodes {
		if _, err := os.Lstat(filepath.Join(path, name)); err == nil {
			return true
		}
	}
	return false
}

// announced is what a config says of quantised weights.
type announced struct {
	Method string          `json:"quant_method"`
	Block  json.RawMessage `json:"weight_block_size"` // of FP8: nil is the usual one, null none
	Groups map[string]struct {
		Weights struct {
			Strategy string `json:"strategy"`
		} `json:"weights"`
	} `json:"config_groups"`
}

func (q announced) made() bool {
	if q.Method == "fp8" {
		return string(q.Block) == "null"
	}
	for _, g := range q.Groups {
		if g.Weights.Strategy != "block" {
			return true
		}
	}
	return len(q.Groups) == 0
}
