package contents

import (
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/internal/gguf/gguftest"
)

// tensor is one of so many bytes of zeros.
func tensor(name string, kind uint32, bytes int, shape ...int) gguftest.Tensor {
	return gguftest.Tensor{Name: name, Type: kind, Shape: shape, Data: make([]byte, bytes)}
}

func TestWhatAFileHolds(t *testing.T) {
	f, err := Read(gguftest.File{
		Keys: map[string]any{"general.architecture": "some", "general.name": "A Model", "some.block_count": uint32(3), "some.nextn_predict_layers": uint32(1),
			"some.context_length": uint32(4096), "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "qwen2", "tokenizer.ggml.tokens": []string{"a", "b"},
			"tokenizer.chat_template": "{{ x }}"},
		Tensors: []gguftest.Tensor{tensor("token_embd.weight", 30, 2*64, 2, 32), tensor("blk.0.ffn_up_exps.weight", 8, 2*34, 2, 1, 32),
			tensor("blk.1.ffn_up_exps.weight", 12, 2*144, 2, 1, 256), tensor("blk.2.ffn_up_exps.weight", 8, 34, 1, 1, 32), tensor("blk.0.attn_q.weight", 16, 66, 1, 256)},
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
		f, err := Read(gguftest.File{Keys: keys, Tensors: []gguftest.Tensor{tensor("a", 0, 4, 1)}}.Write(t, "m.gguf"))
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
