package hfquant

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/weights"
)

// opened is a folder of a plugin's testdata/quantised.
func opened(t testing.TB, plugin, name string) weights.Source {
	t.Helper()
	dir := filepath.Join("../../plugins", plugin, "testdata/quantised", name)
	config, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	if config, err = WithSettings(config, func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(dir, name)) }); err != nil {
		t.Fatal(err)
	}
	c, err := weights.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	src, err := Open(config, c)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// Where 128 columns share a factor, codes are whole numbers, and those times their factors are the numbers, to the bit, wherever a row is begun with.
// What is asymmetric needs more than 4 bits for them.
func TestWholeNumbers(t *testing.T) {
	for _, tt := range []struct {
		folder, module string
		least, most    int // 0, 0: it is not so
	}{
		{"gptq", "q_proj", -8, 7}, {"gptq", "k_proj", 0, 0}, {"gptq", "o_proj", 0, 0}, {"gptq", "up_proj", -128, 127}, {"gptq", "down_proj", 0, 0},
		{"awq", "q_proj", -15, 15}, {"awq", "v_proj", 0, 0},
		{"compressed", "q_proj", -8, 7}, {"compressed", "k_proj", 0, 0}, {"compressed", "v_proj", -128, 127}, {"compressed", "o_proj", 0, 0}, {"compressed", "down_proj", -8, 7},
		{"compressed", "up_proj", 0, 0}, {"mlx", "q_proj", 0, 0}, {"mlx", "gate_proj", 0, 0},
	} {
		src := opened(t, "qwen3_0_6b", tt.folder)
		part := ".self_attn."
		if strings.Contains("gate_proj up_proj down_proj", tt.module) {
			part = ".mlp."
		}
		v, ok := src.Get("model.layers.0"+part+tt.module+".weight", nil)
		w, whole := v.Coded.(weights.Whole)
		if !ok || whole != (tt.most > 0) {
			t.Errorf("%s of %s: %+v", tt.module, tt.folder, v)
			continue
		}
		if !whole {
			continue
		}
		if least, most := w.Range(); least != tt.least || most != tt.most {
			t.Errorf("%s of %s: codes from %d to %d", tt.module, tt.folder, least, most)
		}
		sameNumbers(t, tt.folder+" "+tt.module, w, v.Shape[0], v.Shape[1])
		cut := weights.Cut(v, 16, 8, []int{8, v.Shape[1]})
		sameNumbers(t, tt.folder+" "+tt.module+" cut", cut.Coded.(weights.Whole), 8, v.Shape[1])
	}
}

func sameNumbers(t *testing.T, what string, w weights.Whole, rows, cols int) {
	t.Helper()
	blocks := (cols + blockCols - 1) / blockCols
	least, most := w.Range()
	for _, from := range []int{0, 5} {
		n := rows - from
		want, codes, factors := make([]float32, n*cols), make([]int8, n*cols), make([]float32, n*blocks)
		w.Widen(want, from)
		w.Codes(codes, factors, from)
		for i, c := range codes {
			if got := float32(c) * factors[i/cols*blocks+i%cols/blockCols]; math.Float32bits(got+0) != math.Float32bits(want[i]+0) || int(c) < least || int(c) > most {
				t.Errorf("%s: row %d, column %d is %d, and %v, not %v", what, from+i/cols, i%cols, c, got, want[i])
				return
			}
		}
	}
}

// Of a folder whose config.json says nothing of its weights another file does.
func TestSettingsBesideTheConfig(t *testing.T) {
	for file, tt := range map[string]struct{ text, method, bits string }{
		"hf_quant_config.json": {`{"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4", "exclude_modules": ["lm_head"]}}`, modelopt, "[0]"},
		"quantize_config.json": {`{"bits": 4, "group_size": 128, "sym": true, "desc_act": false}`, gptq, "[4]"},
		"quant_config.json":    {`{"zero_point": true, "q_group_size": 128, "w_bit": 4, "version": "GEMM"}`, awq, "[4]"},
	} {
		read := func(name string) ([]byte, error) {
			if name != file {
				return nil, fs.ErrNotExist
			}
			return []byte(tt.text), nil
		}
		config, err := WithSettings([]byte(`{"hidden_size": 4, "text_config": {"a": 1}}`), read)
		if s, _, wrong := parse(config); err != nil || wrong != nil || s.method != tt.method || !strings.Contains(string(config), `"hidden_size":4`) {
			t.Errorf("%s: %s, %v, %v", file, config, err, wrong)
		}
		for _, said := range []string{`{"quantization_config": {"quant_method": "fp8"}}`, `{"quantization": {"group_size": 64, "bits": 4}}`, `{"text_config": {"quantization_config": {}}}`} {
			if config, err := WithSettings([]byte(said), read); err != nil || string(config) != said {
				t.Errorf("%s beside %s: %s, %v", file, said, config, err)
			}
		}
		broken := errors.New("broken")
		if _, err := WithSettings([]byte(`{}`), func(string) ([]byte, error) { return nil, broken }); !errors.Is(err, broken) {
			t.Error(err)
		}
		for _, text := range []string{"no JSON", `[]`, "null", " null", ""} {
			tt.text = text
			if _, err := WithSettings([]byte(`{}`), read); err == nil || !strings.Contains(err.Error(), file) {
				t.Errorf("%s of %q: %v", file, text, err)
			}
		}
		tt.text = `{"quantization": {}, "bits": 4}`
		if _, err := WithSettings([]byte(`null`), read); err == nil || !strings.Contains(err.Error(), "config.json") {
			t.Errorf("a config that is null: %v", err)
		}
	}
}
