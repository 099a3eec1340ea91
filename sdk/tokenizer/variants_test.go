// variants_test.go compares with the reference on changed copies of a tiny tokenizer.json: pre-tokenizers, normalizers, added tokens
// and model options that published models have. testdata/variants.py wrote the expected values.

package tokenizer

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"strings"
	"testing"
)

type variant struct {
	Top   map[string]json.RawMessage
	Model map[string]json.RawMessage
	Rows  [][4]json.RawMessage
}

func TestVariantsEqualTheReference(t *testing.T) {
	var variants map[string]variant
	readJSON(t, "testdata/variants.json", &variants)
	if len(variants) < 15 {
		t.Fatalf("%d variants", len(variants))
	}
	for name, v := range variants {
		t.Run(name, func(t *testing.T) {
			text := changed(t, v.Top, v.Model)
			if name == "string_merges" {
				text = joinMerges(t, text)
			}
			tok, err := Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range v.Rows {
				var r reference
				for i, field := range []any{&r.Text, &r.IDs, &r.Decoded, &r.Plain} {
					if err := json.Unmarshal(row[i], field); err != nil {
						t.Fatal(err)
					}
				}
				r.check(t, tok)
			}
		})
	}
}

// changed returns qwen3_0_6b.json with some keys replaced.
func changed(t testing.TB, top, model map[string]json.RawMessage) []byte {
	t.Helper()
	var whole, inner map[string]json.RawMessage
	readJSON(t, "testdata/qwen3_0_6b.json", &whole)
	if err := json.Unmarshal(whole["model"], &inner); err != nil {
		t.Fatal(err)
	}
	maps.Copy(inner, model)
	maps.Copy(whole, top)
	whole["model"] = marshal(t, inner)
	return marshal(t, whole)
}

// joinMerges rewrites the merges in the older spelling, first line of a merges.txt and all.
func joinMerges(t *testing.T, text []byte) []byte {
	var whole struct{ Model struct{ Merges [][2]string } }
	if err := json.Unmarshal(text, &whole); err != nil {
		t.Fatal(err)
	}
	lines := []string{"#version: 0.2"}
	for _, m := range whole.Model.Merges {
		lines = append(lines, strings.Join(m[:], " "))
	}
	return changed(t, nil, map[string]json.RawMessage{"merges": marshal(t, lines)})
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// A file is what a person may have to repair: each error says where it is wrong and what would be right.
func TestLoadSaysWhatIsWrongAndWhere(t *testing.T) {
	top := func(key, value string) []byte {
		return changed(t, map[string]json.RawMessage{key: json.RawMessage(value)}, nil)
	}
	model := func(key, value string) []byte {
		return changed(t, nil, map[string]json.RawMessage{key: json.RawMessage(value)})
	}
	for _, c := range []struct {
		name, want string
		text       []byte
	}{
		{"empty", "unexpected end", nil},
		{"not an object", `'[' instead of '{'`, []byte("[]")},
		{"no model", "model: missing", []byte(`{"version": "1.0"}`)},
		{"no merges", "model.merges: missing", []byte(`{"model": {"vocab": {}}}`)},
		{"text behind", "after the JSON value", append(top("version", `"1.0"`), '}')},
		{"wordpiece", `model.type: "WordPiece"`, []byte(`{"model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "vocab": {"a": 0}}}`)},
		{"wordpiece, type last", `model.type: "WordPiece"`, []byte(`{"model": {"vocab": {"a": 0}, "type": "WordPiece"}}`)},
		{"unigram", `model.type: "Unigram"`, []byte(`{"model": {"type": "Unigram", "unk_id": 0, "vocab": [["a", -1.5]]}}`)},
		{"sentencepiece", "model.byte_fallback", model("byte_fallback", "true")},
		{"dropout", "model.dropout", model("dropout", "0.1")},
		{"prefix", "continuing_subword_prefix", model("continuing_subword_prefix", `"##"`)},
		{"suffix", "end_of_word_suffix", model("end_of_word_suffix", `"</w>"`)},
		{"ignore_merges", "model.ignore_merges", model("ignore_merges", `"yes"`)},
		{"unknown", "unk_token", model2(t, map[string]string{"unk_token": `"<unk>"`, "vocab": `{"a": 0}`, "merges": "[]"})},
		{"negative id", `model.vocab["a"]`, model("vocab", `{"a": -1}`)},
		{"fraction", `model.vocab["a"]`, model("vocab", `{"a": 1.5}`)},
		{"huge id", `model.vocab["a"]: id 99999999 is too high`, model("vocab", `{"a": 99999999}`)},
		{"two tokens", `"a" and "b" both have id 3`, model("vocab", `{"a": 3, "b": 3}`)},
		{"token twice", `"a" has both id 3 and id 4`, model("vocab", `{"a": 3, "a": 4}`)},
		{"unknown merge", `model.merges[1]: token "zz" is not in model.vocab`, model2(t, map[string]string{"vocab": `{"z": 0, "a": 1, "za": 2}`, "merges": `["z a", "z z"]`})},
		{"three parts", `model.merges[0]: "a b c" is not two tokens`, model("merges", `["a b c"]`)},
		{"one part", "model.merges[0]: 1 tokens instead of two", model("merges", `[["a"]]`)},
		{"merge of numbers", "model.merges[0]", model("merges", `[[1, 2]]`)},
		{"normalizer", `normalizer: type "Lowercase"`, top("normalizer", `{"type": "Lowercase"}`)},
		{"inner normalizer", `normalizer.normalizers[1]: type "Strip"`, top("normalizer", `{"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Strip"}]}`)},
		{"no pre-tokenizer", "pre_tokenizer", top("pre_tokenizer", "null")},
		{"metaspace", `pre_tokenizer: type "Metaspace"`, top("pre_tokenizer", `{"type": "Metaspace"}`)},
		{"not byte-level", "ends in Digits", top("pre_tokenizer", `{"type": "Digits"}`)},
		{"after bytes", `pre_tokenizer.pretokenizers[1]: "Digits" after ByteLevel`, top("pre_tokenizer", `{"type": "Sequence", "pretokenizers": [{"type": "ByteLevel"}, {"type": "Digits"}]}`)},
		{"empty sequence", "empty Sequence", top("pre_tokenizer", `{"type": "Sequence"}`)},
		{"regex", "pre_tokenizer: regular expression", top("pre_tokenizer", `{"type": "Split", "behavior": "Isolated", "pattern": {"Regex": "(" }}`)},
		{"long regex", "regular expression of 20000 bytes", top("pre_tokenizer", `{"type": "Split", "behavior": "Isolated", "pattern": {"Regex": "`+strings.Repeat("a", 20000)+`" }}`)},
		{"word class", `\w at byte 1`, top("pre_tokenizer", `{"type": "Split", "behavior": "Isolated", "pattern": {"Regex": "a\\w" }}`)},
		{"nested class", "inside another at byte 2", top("pre_tokenizer", `{"type": "Split", "behavior": "Isolated", "pattern": {"Regex": "[a[b]]" }}`)},
		{"behavior", `behavior "Contiguous"`, top("pre_tokenizer", `{"type": "Split", "behavior": "Contiguous", "pattern": {"Regex": "a" }}`)},
		{"no pattern", "neither Regex nor String", top("pre_tokenizer", `{"type": "Split", "behavior": "Isolated"}`)},
		{"decoder", `decoder: type "Metaspace"`, top("decoder", `{"type": "Metaspace"}`)},
		{"decoders", `decoder: type "Sequence Replace Fuse"`, top("decoder", `{"type": "Sequence", "decoders": [{"type": "Replace"}, {"type": "Fuse"}]}`)},
		{"no decoder", "decoder", top("decoder", "null")},
		{"added tokens", "added_tokens", top("added_tokens", `{"a": 1}`)},
		{"deep", "nested deeper", top("extra", strings.Repeat("[", 100)+strings.Repeat("]", 100))},
	} {
		if _, err := Parse(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
}

func model2(t *testing.T, parts map[string]string) []byte {
	model := map[string]json.RawMessage{}
	for key, value := range parts {
		model[key] = json.RawMessage(value)
	}
	return changed(t, nil, model)
}

func TestLoadNamesTheFile(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(context.Background(), dir); err == nil || !strings.Contains(err.Error(), "tokenizer.json") {
		t.Errorf("no file: %v", err)
	}
	write := func(name string, text []byte) {
		if err := os.WriteFile(dir+"/"+name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("tokenizer.json", []byte(`{"model": {}}`))
	if _, err := Load(context.Background(), dir); err == nil || !strings.Contains(err.Error(), dir+"/tokenizer.json: model.vocab") {
		t.Errorf("bad file: %v", err)
	}
	write("tokenizer.json", changed(t, nil, nil))
	write("tokenizer_config.json", []byte(`{"added_tokens_decoder": {"x": {"content": "<x>"}}}`))
	if _, err := Load(context.Background(), dir); err == nil || !strings.Contains(err.Error(), dir+`/tokenizer_config.json: added_tokens_decoder: "x"`) {
		t.Errorf("bad config: %v", err)
	}
}

// Some checkpoints keep their added tokens in tokenizer_config.json only.
func TestAddedTokensOfTheConfigAreUsedWhereTheFileLacksThem(t *testing.T) {
	whole := tiny(t, "qwen3_0_6b")
	var file struct {
		Added []map[string]any `json:"added_tokens"`
	}
	readJSON(t, "testdata/qwen3_0_6b.json", &file)
	decoder := map[string]any{}
	for _, a := range file.Added {
		decoder[string(marshal(t, a["id"]))] = a
	}
	dir := t.TempDir()
	for name, text := range map[string][]byte{
		"tokenizer.json":        changed(t, map[string]json.RawMessage{"added_tokens": marshal(t, file.Added[:3])}, nil),
		"tokenizer_config.json": marshal(t, map[string]any{"added_tokens_decoder": decoder, "model_max_length": 2048}),
	} {
		if err := os.WriteFile(dir+"/"+name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tok, err := Load(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range file.Added {
		content := a["content"].(string)
		want, _ := whole.ID(content)
		got, ok := tok.ID(content)
		if !ok || got != want || tok.Token(got) != content || tok.special[got] != a["special"].(bool) {
			t.Errorf("%s: id %d %v, special %v; want %d, %v", content, got, ok, tok.special[got], want, a["special"])
		}
	}
}
