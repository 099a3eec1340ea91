package ollama

import (
	"testing"

	"github.com/inference-pio/inference-pio/host/internal/answer/answertest"
)

func TestTheDocumentedFieldsAreTheTables(t *testing.T) {
	answertest.Documented(t, "../../../docs/api.md", "/api", chatFields, generateFields, options, showFields, embedFields, embeddingFields)
}
