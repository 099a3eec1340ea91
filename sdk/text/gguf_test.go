package text

import (
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/internal/gguf/gguftest"
	"github.com/inference-pio/inference-pio/sdk"
)

func words(more map[string]any) gguftest.File {
	keys := map[string]any{"general.architecture": "any", "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "qwen2",
		"tokenizer.ggml.tokens": []string{"a", "b", "ab", "<|im_end|>", "[PAD4]", "<think>"}, "tokenizer.ggml.token_type": []int32{1, 1, 1, 3, 5, 4},
		"tokenizer.ggml.merges": []string{"a b"}, "tokenizer.ggml.eos_token_id": uint32(2), "tokenizer.ggml.eot_token_id": uint32(5)}
	for key, v := range more {
		if keys[key] = v; v == nil {
			delete(keys, key)
		}
	}
	return gguftest.File{Keys: keys}
}

func TestGGUFSampling(t *testing.T) {
	m, err := Open(t.Context(), words(map[string]any{"general.sampling.temp": float32(0.6), "general.sampling.top_p": float32(0.95), "general.sampling.top_k": int32(20),
		"general.sampling.penalty_repeat": float32(1.05)}).Write(t, "m.gguf"))
	if err != nil {
		t.Fatal(err)
	}
	if p := m.defaults.sampling; p.Temperature != 0.6 || p.TopP != 0.95 || p.TopK != 20 || p.RepetitionPenalty != 1.05 {
		t.Errorf("%+v", p)
	}
	for key, v := range map[string]any{"general.sampling.temp": "warm", "general.sampling.top_k": float32(2.5), "general.sampling.top_p": float32(7)} {
		if _, err := Open(t.Context(), words(map[string]any{key: v}).Write(t, "m.gguf")); sdk.ReasonOf(err) != sdk.ReasonCheckpoint {
			t.Errorf("%s %v: %v", key, v, err)
		}
	}
}

// Tokens are what their types say: special ones and others that are found in any text, and ids that stand for none.
func TestGGUFTokens(t *testing.T) {
	m, err := Open(t.Context(), words(map[string]any{"tokenizer.chat_template": "{{ eos_token }}{% for m in messages %}{{ m.content }}{% endfor %}"}).Write(t, "m.gguf"))
	if err != nil {
		t.Fatal(err)
	}
	ids, err := m.Tokenize(t.Context(), "ab<think>ba<|im_end|>")
	if err != nil || len(ids) != 5 || ids[0] != 2 || ids[1] != 5 || ids[4] != 3 {
		t.Errorf("%v, %v", ids, err)
	}
	if ids, err := m.Tokenize(t.Context(), "[PAD4]"); err != nil || slices.Contains(ids, 4) {
		t.Errorf("a token that is none was found: %v, %v", ids, err)
	}
	if ends := m.EOS(); len(ends) != 3 || ends[0] != 2 || ends[1] != 5 || ends[2] != 3 {
		t.Errorf("answers end with %v", ends)
	}
	prompt, err := m.Render(t.Context(), sdk.Chat{Messages: []byte(`[{"role": "user", "content": "b"}]`)})
	if err != nil || prompt != "abb" {
		t.Errorf("%q, %v", prompt, err)
	}
}

func TestGGUFTokenizersThatAreNotRead(t *testing.T) {
	for want, more := range map[string]map[string]any{
		`tokenizer.ggml.model is "llama"; only "gpt2"`:   {"tokenizer.ggml.model": "llama"},
		`tokenizer.ggml.pre is "": how text is cut`:      {"tokenizer.ggml.pre": nil},
		`tokenizer.ggml.pre is "llama-bpe": how text is`: {"tokenizer.ggml.pre": "llama-bpe"},
		"tokenizer.ggml.merges is missing":               {"tokenizer.ggml.merges": nil},
		"tokenizer.ggml.token_type is missing":           {"tokenizer.ggml.token_type": []int32{1}},
		"tokenizer.chat_template: ":                      {"tokenizer.chat_template": "{% if %}"},
		"tokenizer.chat_template is 5; a string is":      {"tokenizer.chat_template": uint32(5)},
		"tokenizer.ggml.tokens is no list of strings":    {"tokenizer.ggml.tokens": "a"},
	} {
		_, err := Open(t.Context(), words(more).Write(t, "m.gguf"))
		if err == nil || !strings.Contains(err.Error(), want) || sdk.ReasonOf(err) != sdk.ReasonCheckpoint {
			t.Errorf("%v: %v", more, err)
		}
	}
	m, err := Open(t.Context(), gguftest.File{}.Write(t, "m.gguf"))
	if err != nil || m.HasTokenizer() {
		t.Errorf("a file without a tokenizer: %v", err)
	}
}
