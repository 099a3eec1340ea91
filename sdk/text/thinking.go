// thinking.go holds a chat to what its template can do about reasoning: a wish that it passes over is refused by name.

package text

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/inference-pio/inference-pio/sdk"
)

// heedsThinking checks what the variables of a chat say of thinking against the prompt that the template made of them.
func (m *Model) heedsThinking(kwargs json.RawMessage, rendered string) error {
	var said struct {
		Enable *bool   `json:"enable_thinking"`
		Effort *string `json:"reasoning_effort"`
	}
	if !given(kwargs) || json.Unmarshal(kwargs, &said) != nil { // other types are the template's to make something of
		return nil
	}
	field, think := "enable_thinking", said.Enable
	if said.Effort != nil {
		field = "reasoning_effort"
		if think == nil {
			some := *said.Effort != "none"
			think = &some
		}
	}
	switch {
	case think == nil:
	case *think && m.tags.open == "":
		return invalid(field, "%s asks the model to think, which this model does not do; leave it out", field)
	case !*think && m.opened(rendered):
		return invalid(field, "%s asks the model not to think, which this model does always; leave it out", field)
	}
	return nil
}

// opened says that a prompt ends with reasoning begun and nothing in it.
func (m *Model) opened(rendered string) bool {
	return m.tags.open != "" && strings.HasSuffix(strings.TrimRight(rendered, "\n "), m.tags.open)
}

// thinksIfAsked says that the model reasons or not, as it is asked: told not to, the template closes a thought for it. Other templates that know
// the tags only leave out what an earlier model thought.
func (m *Model) thinksIfAsked(ctx context.Context) bool {
	rendered, err := m.Render(ctx, sdk.Chat{Messages: json.RawMessage(`[{"role": "user", "content": "a"}]`), Kwargs: json.RawMessage(`{"enable_thinking": false}`)})
	return err == nil && strings.HasSuffix(strings.TrimRight(rendered, "\n "), m.tags.close)
}
