package answer

import (
	"testing"

	"github.com/inference-pio/inference-pio/host/internal/problem"
	"github.com/inference-pio/inference-pio/sdk"
)

// A body may be larger than what a plugin takes, if models.toml says so.
func TestWordsThatAreTooMuch(t *testing.T) {
	r := &Request{N: 1, Chat: &sdk.Chat{Messages: make([]byte, MaxMessage-10), Tools: make([]byte, 6), Kwargs: make([]byte, 4)}}
	if err := r.fits("messages"); err != nil {
		t.Errorf("just enough: %v", err)
	}
	r.Chat.Kwargs = append(r.Chat.Kwargs, ' ')
	if e := problem.From(r.fits("messages"), ""); e.Status != 400 || e.Field != "messages" {
		t.Errorf("one more: %+v", e)
	}
}
