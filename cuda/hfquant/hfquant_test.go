package hfquant

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

func configs(t testing.TB) (all map[string]json.RawMessage) {
	t.Helper()
	text, err := os.ReadFile("testdata/configs.json")
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// edited is a checkpoint with tensors changed, or left out where they are nil.
type edited struct {
	weights.Source
	changes map[string]*weights.View
}

func (e edited) Names() []string {
	var names []string
	for _, name := range e.Source.Names() {
		if v, changed := e.changes[name]; name != "expected" && (!changed || v != nil) {
			names = append(names, name)
		}
	}
	return names
}

func (e edited) Get(name string, shape []int) (weights.View, bool) {
	if v, changed := e.changes[name]; changed {
		if v == nil {
			return weights.View{}, false
		}
		return *v, true
	}
	return e.Source.Get(name, shape)
}

func checkpoint(t testing.TB, name string) *weights.Checkpoint {
	t.Helper()
	c, err := weights.OpenFile(filepath.Join("testdata", name+".safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// Each module is one weight whose numbers are those that its package makes of it, to the bit, wherever a row is begun with; nothing else
// of it is left.
func TestModulesAreWhatTheirPackagesMakeOfThem(t *testing.T) {
	all := configs(t)
	if len(all) < 20 {
		t.Fatalf("%d modules", len(all))
	}
	for name, config := range all {
		t.Run(name, func(t *testing.T) { isItsPackages(t, name, config) })
	}
}

func isItsPackages(t *testing.T, name string, config []byte) {
	c := checkpoint(t, name)
	src, err := Open(config, edited{c, nil})
	if err != nil {
		t.Fatal(err)
	}
	if names := src.Names(); !slices.Equal(names, []string{"m.weight"}) {
		t.Fatalf("the tensors are %q", names)
	}
	v, _ := src.Get("m.weight", nil)
	expected, _ := c.Get("expected", nil)
	if !slices.Equal(v.Shape, expected.Shape) || v.Coded == nil || v.DType != cuda.BF16 || !v.Known {
		t.Fatalf("%+v of %v", v, expected.Shape)
	}
	numbers, _ := weights.Numbers(expected)
	want, got := make([]float32, elements(v.Shape)), make([]float32, elements(v.Shape))
	numbers.Widen(want, 0)
	cols := v.Shape[1]
	v.Coded.Widen(got[:3*cols], 0)
	v.Coded.Widen(got[3*cols:], 3)
	for i := range want {
		if d := got[i] - want[i]; d != 0 && !(name == "ct_nvfp4" && d*d <= want[i]*want[i]/(1<<14)) { // which its package rounds to bf16, twice
			t.Fatalf("element %d of row %d is %v, not %v", i%cols, i/cols, got[i], want[i])
		}
	}
}

// What is missing or does not fit is told by its name, and nothing is read beyond what is there.
func TestModulesThatAreNotWhole(t *testing.T) {
	for name, config := range configs(t) {
		c := checkpoint(t, name)
		for _, tensor := range c.Names() {
			v, _ := c.Get(tensor, nil)
			if tensor == "expected" || len(v.Shape) == 0 || v.Shape[0] < 2 {
				continue
			}
			short := v
			short.Shape = append([]int{v.Shape[0] - 1}, v.Shape[1:]...)
			short.Data = v.Data[:len(v.Data)/v.Shape[0]*short.Shape[0]]
			src, err := Open(config, edited{c, map[string]*weights.View{tensor: &short}})
			if err != nil {
				if !strings.Contains(err.Error(), "m.") {
					t.Errorf("%s, %s: %v", name, tensor, err)
				}
				continue
			}
			if w, ok := src.Get("m.weight", nil); ok && w.Coded != nil { // as if the module were smaller
				w.Coded.Widen(make([]float32, elements(w.Shape)), 0)
				if w.Shape[0] == v.Shape[0] && strings.HasSuffix(tensor, "scale") {
					t.Errorf("%s: %s may be a row short", name, tensor)
				}
			}
		}
	}
	for name, missing := range map[string]string{"ct_int4": "m.weight_scale", "awq": "m.qzeros", "gptq": "m.scales", "mlx4": "m.biases", "ct_nvfp4": "m.weight_global_scale",
		"modelopt_nvfp4": "m.weight_scale_2", "ct_int8_packed": "m.weight_shape"} {
		_, err := Open(configs(t)[name], edited{checkpoint(t, name), map[string]*weights.View{missing: nil}})
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q is missing", missing)) {
			t.Errorf("%s without %s: %v", name, missing, err)
		}
	}
}

// Factors of nvfp4 are bytes that are read as something else: what has fewer of them is refused.
func TestFactorsThatAreNoBytes(t *testing.T) {
	codes := weights.View{Format: "U32", Shape: []int{4, 4}, Data: make([]byte, 64)} // 32 columns
	scales := weights.View{Format: "F4", Shape: []int{4, 2}, Data: make([]byte, 4)}
	const config = `{"quantization": {"group_size": 16, "bits": 4, "mode": "nvfp4"}}`
	_, err := Open([]byte(config), named{map[string]weights.View{"m.weight": codes, "m.scales": scales}})
	if err == nil || !strings.Contains(err.Error(), `"m.scales": is F4`) {
		t.Error(err)
	}
	scales.Format, scales.Data = "U8", make([]byte, 8)
	if _, err := Open([]byte(config), named{map[string]weights.View{"m.weight": codes, "m.scales": scales}}); err != nil {
		t.Error(err)
	}
}

// Factors for blocks of 128 x 128 are what models know by another name; plain weights, and factors of caches, are no codes.
func TestWhatIsLeftAsItIs(t *testing.T) {
	c := checkpoint(t, "ct_int4")
	f8 := weights.View{Format: "F8_E4M3", DType: cuda.F8E4M3, Known: true, Shape: []int{200, 130}, Data: make([]byte, 200*130)}
	scale := weights.View{Format: "F32", DType: cuda.F32, Known: true, Shape: []int{2, 2}, Data: make([]byte, 16)}
	one := weights.View{Format: "F32", DType: cuda.F32, Known: true, Shape: []int{1}, Data: make([]byte, 4)}
	src, err := Open(configs(t)["ct_int4"], named{map[string]weights.View{"a.weight": f8, "a.weight_scale": scale, "a.input_scale": one, "norm.weight": one,
		"attn.k_scale": one, "attn.v_scale": one}})
	if err != nil {
		t.Fatal(err)
	}
	if names := src.Names(); !slices.Equal(names, []string{"a.weight", "a.weight_scale_inv", "norm.weight"}) {
		t.Errorf("the tensors are %q", names)
	}
	for _, config := range []string{`{}`, `{"quantization_config": {"quant_method": "bitsandbytes"}}`, `no JSON`} {
		if src, err := Open([]byte(config), c); err != nil || src != weights.Source(c) {
			t.Errorf("%s: %v", config, err)
		}
	}
}

type named struct{ views map[string]weights.View }

func (n named) Names() []string { return table{n.views, nil}.sorted() }

func (n named) Get(name string, _ []int) (weights.View, bool) {
	v, ok := n.views[name]
	return v, ok
}

func (t table) sorted() (names []string) {
	for name := range t.views {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func TestFormsThatAreNotBuilt(t *testing.T) {
	c := checkpoint(t, "gptq")
	for want, config := range map[string]string{
		`checkpoint_format is "gptq_p"`: `{"quant_method": "gptq", "bits": 4, "checkpoint_format": "gptq_p"}`,
		`bits is 3`:                     `{"quant_method": "gptq", "bits": 3}`,
		`bits is 8, which is not built`: `{"quant_method": "awq", "bits": 8}`,
		`checkpoint_format is "gemv"`:   `{"quant_method": "awq", "checkpoint_format": "gemv"}`,
		`transform_config has`:          `{"quant_method": "compressed-tensors", "transform_config": {"config_groups": {}}}`,
		`sparsity_config: format is`:    `{"quant_method": "compressed-tensors", "sparsity_config": {"format": "sparse-24-bitmask"}}`,
		`format is "marlin-24"`:         `{"quant_method": "compressed-tensors", "format": "marlin-24"}`,
		`a: format is "mxfp6`:           `{"quant_method": "compressed-tensors", "format": "mixed-precision", "config_groups": {"a": {"format": "mxfp6-pack-quantized"}}}`,
		`quant_algo is "W4A16_AWQ"`:     `{"quant_method": "modelopt", "quant_algo": "W4A16_AWQ"}`,
		`bits is a string`:              `{"quant_method": "gptq", "bits": "four"}`,
		`all of it is a array`:          `[]`,
		`version is "gemv"`:             `{"quant_method": "awq", "bits": 4, "version": "gemv"}`,
		`mode is "mxfp6"`:               `{"group_size": 32, "bits": 4, "mode": "mxfp6"}`,
	} {
		if _, err := Open([]byte(fmt.Sprintf(`{"quantization_config": %s}`, config)), c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", config, err)
		}
	}
}
