package contents

import (
	"encoding/binary"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// entry is a tensor in a header.
type entry struct {
	DType   string   `json:"dtype"`
	Shape   []int    `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

// shard is a safetensors file of tensors that are so many bytes of zeros.
func shard(t *testing.T, tensors map[string]entry) string {
	t.Helper()
	at := int64(0)
	for _, name := range slices.Sorted(maps.Keys(tensors)) {
		e := tensors[name]
		e.Offsets = [2]int64{at, at + e.Offsets[1]}
		at, tensors[name] = e.Offsets[1], e
	}
	text, err := json.Marshal(tensors)
	if err != nil {
		t.Fatal(err)
	}
	return string(binary.LittleEndian.AppendUint64(nil, uint64(len(text)))) + string(text) + strings.Repeat("\x00", int(at))
}

// folder writes files and returns where they are.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const (
	dense  = `{"architectures": ["SomeForCausalLM"], "model_type": "some", "num_hidden_layers": 2, "max_position_embeddings": 4096, "vocab_size": 8}`
	seeing = `{"architectures": ["SomeForConditionalGeneration"], "text_config": {"num_hidden_layers": 2, "max_position_embeddings": 4096, "vocab_size": 8,
		"quantization_config": {"quant_method": "awq"}}}`
	index = `{"weight_map": {"layers.0.experts.0.up": "a.safetensors", "layers.0.experts.1.up": "a.safetensors", "layers.1.experts.0.up": "b.safetensors", "norm": "b.safetensors"}}`
)

func TestWhatAFolderHolds(t *testing.T) {
	first := shard(t, map[string]entry{"layers.0.experts.0.up": {"BF16", []int{2, 3}, [2]int64{0, 12}}, "layers.0.experts.1.up": {"F8_E4M3", []int{2, 3}, [2]int64{0, 6}}})
	second := shard(t, map[string]entry{"layers.1.experts.0.up": {"BF16", []int{2, 3}, [2]int64{0, 12}}, "norm": {"F32", []int{5}, [2]int64{0, 20}}})
	dir := folder(t, map[string]string{"config.json": dense, "model.safetensors.index.json": index, "a.safetensors": first, "b.safetensors": second,
		"tokenizer_config.json": `{"chat_template": "{{ x }}"}`})
	want := File{Architecture: "SomeForCausalLM", Name: "some", Parts: []string{filepath.Join(dir, "a.safetensors"), filepath.Join(dir, "b.safetensors")},
		Parameters: 23, Bytes: 50, Layers: 2, Context: 4096, Tokens: 8, Template: true, Refused: []string{},
		Roles: []Role{{"layers.N.experts.N.up", 3, []int{2, 3}, 18, 30, []string{"BF16 x 2", "F8_E4M3 x 1"}}, {"norm", 1, []int{5}, 5, 20, []string{"F32"}}}}
	if f, err := Read(dir); err != nil || !reflect.DeepEqual(f, want) {
		t.Errorf("%+v\nwant %+v; %v", f, want, err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if f, err := Read(link); err != nil || f.Parameters != 23 {
		t.Errorf("through a link: %+v, %v", f, err)
	}
}

// Words of codes are no parameters, wherever the codes are told of.
func TestFoldersInCodes(t *testing.T) {
	one := shard(t, map[string]entry{"x.qweight": {"I32", []int{2, 3}, [2]int64{0, 24}}})
	for config, want := range map[string]string{
		seeing: "awq", `{"quantization_config": {"quant_method": "fp8"}}`: "fp8", `{"quantization": {"group_size": 64, "bits": 4}}`: "mlx", `{}`: "",
		`{"quantization_config": null, "num_hidden_layers": "28", "architectures": "x", "vocab_size": 1e30}`: "", "\ufeff{}": "",
	} {
		f, err := Read(folder(t, map[string]string{"config.json": config, "model.safetensors": one}))
		if err != nil || f.Codes != want || (f.Parameters == 0) != (want != "") || f.Bytes != 24 || f.Template {
			t.Errorf("%s: %+v, %v; want %q", config, f, err, want)
		}
	}
	f, err := Read(folder(t, map[string]string{"config.json": "{}", "model.safetensors": one, "hf_quant_config.json": "{}"}))
	if err != nil || f.Codes != "hf_quant_config.json" {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestFoldersThatAreNotWhole(t *testing.T) {
	good := shard(t, map[string]entry{"layers.0.experts.0.up": {"U8", []int{3}, [2]int64{0, 3}}, "layers.0.experts.1.up": {"U8", []int{3}, [2]int64{0, 3}}})
	other := shard(t, map[string]entry{"norm": {"U8", []int{3}, [2]int64{0, 3}}})
	for want, files := range map[string]map[string]string{
		"there is no config.json":           {},
		"config.json: is broken":            {"config.json": "{"},
		"b.safetensors: there is no such":   {"config.json": dense, "model.safetensors.index.json": index, "a.safetensors": good},
		`"layers.1.experts.0.up" is in b.s`: {"config.json": dense, "model.safetensors.index.json": index, "a.safetensors": good, "b.safetensors": other},
		"is in a.safetensors as well":       {"config.json": dense, "model.safetensors.index.json": index, "a.safetensors": good, "b.safetensors": good},
		"is the download complete":          {"config.json": dense, "model.safetensors": good[:len(good)-1]},
		"which is no plain file name":       {"config.json": dense, "model.safetensors.index.json": `{"weight_map": {"x": "../x"}}`},
	} {
		if f, err := Read(folder(t, files)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v, %v; want %q", f, err, want)
		}
	}
	f, err := Read(folder(t, map[string]string{"config.json": dense, "pytorch_model.bin": ""}))
	if err != nil || len(f.Refused) != 1 || !strings.Contains(f.Refused[0], "only pytorch_model.bin, which is not read") || f.Layers != 2 {
		t.Errorf("%+v, %v", f, err)
	}
}
