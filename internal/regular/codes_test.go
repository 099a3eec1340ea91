package regular

import (
	"os"
	"path/filepath"
	"testing"
)

func TestInCodes(t *testing.T) {
	for config, want := range map[string]bool{
		`{}`: false, `{"quantization_config": null}`: false, `no JSON`: false,
		`{"quantization_config": {"quant_method": "awq", "bits": 4}}`:                                                                      true,
		`{"quantization_config": {"quant_method": "fp8"}}`:                                                                                 false,
		`{"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}`:                                                false,
		`{"quantization_config": {"quant_method": "fp8", "weight_block_size": null}}`:                                                      true,
		`{"text_config": {"quantization_config": {"quant_method": "gptq"}}}`:                                                               true,
		`{"quantization": {"group_size": 64, "bits": 4}, "quantization_config": null}`:                                                     true,
		`{"quantization_config": {"quant_method": "compressed-tensors", "config_groups": {"a": {"weights": {"strategy": "block"}}}}}`:      false,
		`{"quantization_config": {"quant_method": "compressed-tensors", "config_groups": {"a": {"weights": {"strategy": "channel"}}}}}`:    true,
		`{"quantization_config": {"quant_method": "compressed-tensors", "config_groups": {"a": {"weights": null}, "b": {"weights": {}}}}}`: true,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := InCodes(dir); got != want {
			t.Errorf("%s: %v", config, got)
		}
	}
	for _, name := range SettingsOfCodes {
		dir := t.TempDir()
		for file, text := range map[string]string{"config.json": "{}", name: "{}"} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if !InCodes(dir) {
			t.Errorf("%s tells of none", name)
		}
	}
	if !InCodes("not there.GGUF") || InCodes("not there") || InCodes("") {
		t.Error("a file that is not there is told by its end")
	}
}
