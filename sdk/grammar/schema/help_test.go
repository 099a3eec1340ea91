package schema

import (
	"encoding/json"
	"math/big"
	"sync"
	"testing"

	"github.com/inference-pio/inference-pio/sdk/grammar"
)

func rational(n json.Number) (*big.Rat, bool) { return new(big.Rat).SetString(n.String()) }

var bytesOnly = sync.OnceValues(func() (*grammar.Vocabulary, error) {
	var tokens []string
	for b := range 256 {
		tokens = append(tokens, string([]byte{byte(b)}))
	}
	return grammar.NewVocabulary(tokens, len(tokens))
})

// letters is the smallest vocabulary.
func letters(t testing.TB) *grammar.Vocabulary {
	t.Helper()
	v, err := bytesOnly()
	if err != nil {
		t.Fatal(err)
	}
	return v
}
