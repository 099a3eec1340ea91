package tokenizer

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// pairOf writes the tiny Qwen's vocabulary as vocab.json and merges.txt, with the added tokens where such checkpoints have them. In change a
// value of "" stands for a file that is not there.
func pairOf(t testing.TB, change map[string]string) string {
	t.Helper()
	var whole struct {
		Added []map[string]any `json:"added_tokens"`
		Model struct {
			Vocab  json.RawMessage
			Merges [][2]string
		}
	}
	readJSON(t, "testdata/qwen3_0_6b.json", &whole)
	merges := "#version: 0.2\n"
	for _, m := range whole.Model.Merges {
		merges += m[0] + " " + m[1] + "\n"
	}
	decoder := map[string]any{}
	for _, a := range whole.Added {
		decoder[string(marshal(t, a["id"]))] = a
	}
	files := map[string]string{
		"vocab.json": string(whole.Model.Vocab), "merges.txt": merges, "config.json": `{"model_type": "qwen3"}`,
		"tokenizer_config.json": string(marshal(t, map[string]any{"tokenizer_class": "Qwen2Tokenizer", "added_tokens_decoder": decoder, "eos_token": "<|im_end|>", "unk_token": nil})),
	}
	for name, text := range change {
		files[name] = strings.ReplaceAll(text, "DECODER", string(marshal(t, decoder)))
	}
	dir := t.TempDir()
	for name, text := range files {
		if text == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// The ids were computed by AutoTokenizer of transformers 5.24 on the same folders, by which those of a tokenizer.json are the same too.
func TestVocabAndMergesReadAsTheReference(t *testing.T) {
	want := map[string][]int32{
		"Hello 1234 world's <|im_start|>user\n\n x": {450, 220, 16, 17, 18, 19, 382, 460, 75, 67, 6, 82, 220, 955, 283, 198, 198, 220, 87},
		"cafe\u0301 <think>a</think> <|endoftext|>": {288, 69, 127, 102, 220, 978, 64, 979, 220, 954},
		"  tabs\t\tand 東京 😀":                        {220, 220, 273, 65, 82, 197, 197, 299, 67, 220, 162, 251, 109, 160, 118, 105, 220, 468, 246, 222},
	}
	for name, change := range map[string]map[string]string{
		"a class":        nil,
		"a fast class":   {"tokenizer_config.json": `{"tokenizer_class": "Qwen2TokenizerFast", "added_tokens_decoder": DECODER}`},
		"a type":         {"tokenizer_config.json": `{"added_tokens_decoder": DECODER, "add_prefix_space": false}`},
		"without header": {"merges.txt": noHeader(t)},
	} {
		tok, err := Load(context.Background(), pairOf(t, change))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		whole := tiny(t, "qwen3_0_6b")
		for text, ids := range want {
			got, err := tok.Encode(context.Background(), text)
			if err != nil || !slices.Equal(got, ids) {
				t.Errorf("%s, %q: %v, %v; want %v", name, text, got, err, ids)
			}
			if same, _ := whole.Encode(context.Background(), text); !slices.Equal(same, ids) {
				t.Errorf("%q, from a tokenizer.json: %v", text, same)
			}
			if tok.Decode(got, true) != whole.Decode(got, true) {
				t.Errorf("%s, %q: back it is %q", name, text, tok.Decode(got, true))
			}
		}
	}
}

func noHeader(t *testing.T) string {
	text, err := os.ReadFile(filepath.Join(pairOf(t, nil), "merges.txt"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n")
	return strings.ReplaceAll(rest, "\n", "\r\n")
}

// What the reference would read in another way, or without its special tokens, is refused.
func TestVocabAndMergesThatSayTooLittleAreRefused(t *testing.T) {
	for want, change := range map[string]map[string]string{
		"no tokenizer_class to say how": {"tokenizer_config.json": `{"added_tokens_decoder": DECODER}`, "config.json": `{"model_type": "gpt2"}`},
		"not for \"GPT2Tokenizer\"":     {"tokenizer_config.json": `{"tokenizer_class": "GPT2Tokenizer", "added_tokens_decoder": DECODER}`},
		"needs added_tokens_decoder":    {"tokenizer_config.json": ""},
		"add_prefix_space is true":      {"tokenizer_config.json": `{"tokenizer_class": "Qwen2Tokenizer", "added_tokens_decoder": DECODER, "add_prefix_space": true}`},
		`eos_token is "<end>"`:          {"tokenizer_config.json": `{"tokenizer_class": "Qwen2Tokenizer", "added_tokens_decoder": DECODER, "eos_token": {"content": "<end>"}}`},
		"tokenizer.json":                {"merges.txt": ""},
		"vocab.json: not JSON":          {"vocab.json": `{"a": 0}, "merges": []`},
		"merges.txt: '[' instead":       {"vocab.json": `[]`},
		"model.merges[0]":               {"merges.txt": "a b c\n"},
		"merges.txt: not UTF-8":         {"merges.txt": "\xff \xfe\n"},
		"has a tokenizer.model":         {"vocab.json": "", "merges.txt": "", "tokenizer.model": "x"},
		"config.json":                   {"tokenizer_config.json": `{"added_tokens_decoder": DECODER}`, "config.json": `[`},
	} {
		dir := pairOf(t, change)
		if _, err := Load(context.Background(), dir); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("want %q, got %v", want, err)
		}
		if !Exists(dir) {
			t.Errorf("%s: none is there", want)
		}
	}
	if Exists(t.TempDir()) {
		t.Error("an empty folder has a tokenizer")
	}
}
