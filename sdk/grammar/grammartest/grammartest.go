// Package grammartest has vocabularies to test grammars with.
package grammartest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/sdk/grammar"
	"github.com/inference-pio/inference-pio/sdk/tokenizer"
)

// Letters are the single bytes, and nothing else.
func Letters() []string {
	words := make([]string, 256)
	for b := range words {
		words[b] = string([]byte{byte(b)})
	}
	return words
}

// Words are the single bytes and every piece of two to longest bytes of a text: tokens that cross whatever borders the text has.
func Words(text string, longest int) []string {
	var pieces []string
	for n := 2; n <= longest; n++ {
		for i := 0; i+n <= len(text); i++ {
			pieces = append(pieces, text[i:i+n])
		}
	}
	slices.Sort(pieces)
	return append(Letters(), slices.Compact(pieces)...)
}

// Vocabulary is that of words.
func Vocabulary(t testing.TB, words []string) *grammar.Vocabulary {
	t.Helper()
	v, err := grammar.NewVocabulary(words, len(words))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Rows is how many logits the models have that use Qwen3's vocabulary: more than there are tokens.
const Rows = 151936

// Qwen3 is the published tokenizer, third-party data; without it the test is skipped.
func Qwen3(t testing.TB) *tokenizer.Tokenizer {
	t.Helper()
	data := os.Getenv("PIO_REFERENCE_DATA")
	if data == "" {
		t.Skip("third-party data: PIO_REFERENCE_DATA is not set; it names the folder with tokenizers/qwen3")
	}
	from, dir := filepath.Join(data, "tokenizers", "qwen3"), t.TempDir()
	text, err := os.ReadFile(filepath.Join(from, "tokenizer.json"))
	if err != nil {
		text, err = exec.Command("xz", "-dc", filepath.Join(from, "tokenizer.json.xz")).Output()
	}
	if err != nil {
		t.Skipf("third-party data: tokenizer.json.xz cannot be unpacked: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "tokenizer.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.Load(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}
