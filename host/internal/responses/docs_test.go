package responses

import (
	"testing"

	"github.com/inference-pio/inference-pio/host/internal/answer/answertest"
)

func TestTheDocumentedFieldsAreTheTables(t *testing.T) {
	answertest.Documented(t, "../../../docs/api.md", "/v1/responses", table)
}
