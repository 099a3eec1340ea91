package contents

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/internal/gguf/gguftest"
)

// zeros is a tensor of so many bytes.
func zeros(name string, kind uint32, bytes int, shape ...int) gguftest.Tensor {
	return gguftest.Tensor{Name: name, Type: kind, Shape: shape, Data: make([]byte, bytes)}
}

func TestWhatAFileHolds(t *testing.T) {
	f, err := Read(gguftest.File{
		Keys: map[string]any{"general.architecture": "some", "general.name": "A Model", "some.block_count": uint32(3), "some.nextn_predict_layers": uint32(1),
			"some.context_length": uint32(4096), "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "qwen2", "tokenizer.ggml.tokens": []string{"a", "b"},
			"tokenizer.chat_template": "{{ x }}"},
		Tensors: []gguftest.Tensor{zeros("token_embd.weight", 30, 2*64, 2, 32), zeros("blk.0.ffn_up_exps.weight", 8, 2*34, 2, 1, 32),
			zeros("blk.1.ffn_up_exps.weight", 12, 2*144, 2, 1, 256), zeros("blk.2.ffn_up_exps.weight", 8, 34, 1, 1, 32), zeros("blk.0.attn_q.weight", 16, 66, 1, 256)},
	}.Write(t, "m.gguf"))
	if err != nil {
		t.Fatal(err)
	}
	if f.Architecture != "some" || f.Name != "A Model" || f.Layers != 2 || f.Context != 4096 || f.Tokens != 2 || f.Splitter != "qwen2" || !f.Template ||
		f.Parameters != 64+64+512+32+256 || f.Bytes != 128+68+288+34+66 || len(f.Parts) != 1 {
		t.Errorf("%+v", f)
	}
	if len(f.Roles) != 3 || f.Roles[1].Name != "blk.N.ffn_up_exps.weight" || f.Roles[1].Tensors != 3 || !slices.Equal(f.Roles[1].Types, []string{"Q8_0 x 2", "Q4_K x 1"}) ||
		f.Roles[1].Parameters != 64+512+32 || !slices.Equal(f.Roles[1].Shape, []int{2, 1, 32}) {
		t.Errorf("%+v", f.Roles)
	}
	if len(f.Refused) != 1 || f.Refused[0] != "IQ2_XXS, the type of blk.0.attn_q.weight, is not read; take the model in another, such as Q8_0, Q4_K_M or BF16" {
		t.Errorf("%q", f.Refused)
	}
}

func TestWhatIsRefused(t *testing.T) {
	for want, keys := range map[string]map[string]any{
		"there is no tokenizer in it": {"general.architecture": "some"},
		`the tokenizer is "llama"`:    {"general.architecture": "some", "tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": []string{"a"}},
		"":                            {"general.architecture": "clip"},
	} {
		f, err := Read(gguftest.File{Keys: keys, Tensors: []gguftest.Tensor{zeros("a", 0, 4, 1)}}.Write(t, "m.gguf"))
		if err != nil || !strings.Contains(strings.Join(f.Refused, "; "), want) || want == "" && len(f.Refused) > 0 {
			t.Errorf("%q, %v; want %q", f.Refused, err, want)
		}
	}
}

// All parts of a model are counted, and one that is missing is told.
func TestParts(t *testing.T) {
	const folder = "../../../internal/gguf/testdata/"
	f, err := Read(folder + "parts-00002-of-00003.gguf")
	if err != nil || len(f.Parts) != 3 || f.Parameters != 5*6 {
		t.Errorf("%+v, %v", f, err)
	}
	if _, err := Read(t.TempDir() + "/none.gguf"); err == nil {
		t.Error("a file that is not there holds something")
	}
}

// However large its tensors say they are, sums do not begin anew.
func TestHugeTensors(t *testing.T) {
	var tensors []gguftest.Tensor
	for i := range 17 {
		tensors = append(tensors, gguftest.Tensor{Name: string(rune('a' + i)), Type: 999, Shape: []int{1 << 20, 1 << 20, 1 << 19}})
	}
	f, err := Read(gguftest.File{Tensors: tensors}.Write(t, "m.gguf"))
	if err != nil || f.Parameters != math.MaxInt64 || f.Roles[0].Parameters != 1<<59 {
		t.Errorf("%d parameters, %v", f.Parameters, err)
	}
}

// A part that another one has been put in the place of is told, as it is when a plugin reads it.
func TestPartsOfAnother(t *testing.T) {
	const folder = "../../../internal/gguf/testdata/"
	dir := t.TempDir()
	for to, from := range map[string]string{"1": "1", "2": "2", "3": "2"} {
		data, err := os.ReadFile(folder + "parts-0000" + from + "-of-00003.gguf")
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "parts-0000"+to+"-of-00003.gguf"), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Read(filepath.Join(dir, "parts-00001-of-00003.gguf")); err == nil || !strings.Contains(err.Error(), "parts-00003-of-00003.gguf: it is part 1 of 3 by its keys, not 2 of 3") {
		t.Error(err)
	}
}
