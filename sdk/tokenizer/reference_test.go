// reference_test.go compares with what the reference, Hugging Face's tokenizers, computes. testdata/tokenizer_*.json and variants.json were
// written by it; the tiny vocabularies beside them are ours. The 151k vocabulary is third-party data: PIO_REFERENCE_DATA says where it lies.

package tokenizer

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// reference is one text, its ids, and both decodings.
type reference struct {
	Text    string  `json:"text"`
	IDs     []int32 `json:"ids"`
	Decoded string  `json:"decoded"`
	Plain   string  `json:"plain"` // without special tokens
}

func (r *reference) check(t *testing.T, tok *Tokenizer) {
	t.Helper()
	if ids := encode(tok, r.Text); !slices.Equal(ids, r.IDs) {
		t.Errorf("%q:\n got %v\nwant %v", r.Text, ids, r.IDs)
	}
	if text := tok.Decode(r.IDs, false); text != r.Decoded {
		t.Errorf("%v decodes to %q, want %q", r.IDs, text, r.Decoded)
	}
	if text := tok.Decode(r.IDs, true); text != r.Plain {
		t.Errorf("%v decodes without special tokens to %q, want %q", r.IDs, text, r.Plain)
	}
}

func TestTinyVocabulariesEqualTheReference(t *testing.T) {
	var cases map[string][]reference
	readJSON(t, "testdata/tokenizer_tiny.json", &cases)
	if len(cases) != 4 {
		t.Fatalf("cases for %d vocabularies, want 4", len(cases))
	}
	for name, texts := range cases {
		tok := tiny(t, name)
		for i := range texts {
			texts[i].check(t, tok)
		}
	}
}

func TestQwen3VocabularyEqualsTheReference(t *testing.T) {
	tok, err := Load(context.Background(), qwen3(t))
	if err != nil {
		t.Fatal(err)
	}
	var cases []reference
	readJSON(t, "testdata/tokenizer_qwen3.json", &cases)
	for i := range cases {
		cases[i].check(t, tok)
	}
	if got := tok.Size(); got != 151669 {
		t.Errorf("size %d", got)
	}
}

// tiny loads one of testdata's vocabularies.
func tiny(t testing.TB, name string) *Tokenizer {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	tok, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// qwen3 returns a folder with the published vocabulary's tokenizer.json, unpacked if need be; without the data the test is skipped.
func qwen3(t testing.TB) string {
	t.Helper()
	data := os.Getenv("PIO_REFERENCE_DATA")
	if data == "" {
		t.Skip("third-party data: PIO_REFERENCE_DATA is not set; it names the folder with tokenizers/qwen3")
	}
	dir := filepath.Join(data, "tokenizers", "qwen3")
	if _, err := os.Stat(filepath.Join(dir, "tokenizer.json")); err == nil {
		return dir
	}
	text, err := exec.Command("xz", "-dc", filepath.Join(dir, "tokenizer.json.xz")).Output()
	if err != nil {
		t.Skipf("third-party data: tokenizer.json.xz cannot be unpacked: %v", err)
	}
	config, err := os.ReadFile(filepath.Join(dir, "tokenizer_config.json"))
	if err != nil {
		t.Skipf("third-party data: %v", err)
	}
	dir = t.TempDir()
	for name, text := range map[string][]byte{"tokenizer.json": text, "tokenizer_config.json": config} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func readJSON(t testing.TB, path string, v any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}
