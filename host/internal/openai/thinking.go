// thinking.go reads the fields that say whether the model is to think before it answers: OpenAI's, Z.ai's, Qwen's.
package openai

import (
	"encoding/json"
	"errors"
	"strconv"

	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/body"
)

func readEffort(r *request, v json.RawMessage) error {
	return r.thinking.ReadEffort(answer.ReasoningEffort, v)
}

func readEnableThinking(r *request, v json.RawMessage) error {
	b, err := body.Boolean(v)
	r.thinking.Wish(answer.EnableThinking, b)
	return err
}

// readThinking takes Z.ai's object. A budget of tokens, as others have in it, is not kept here; whether earlier thoughts are left out
// is a variable of the template.
func readThinking(r *request, v json.RawMessage) error {
	const expected = `{"type": "enabled"} or {"type": "disabled"}`
	if v[0] != '{' {
		return body.Wrong(v, expected)
	}
	for key, at := range body.FieldsOf(v, 0) {
		switch value := json.RawMessage(v[at.From:at.To]); {
		case key == "type", body.IsNull(value):
		case key == "clear_thinking":
			b, err := body.Boolean(value)
			if err != nil {
				return body.In("thinking."+key, err)
			}
			r.thinking.Clear, r.thinking.ClearField = strconv.FormatBool(b), "thinking."+key
		default:
			return body.In("thinking."+body.Clip(key), errors.New("is not supported by this host; expected "+expected))
		}
	}
	kind, _ := body.FieldAt(v, "type")
	name, err := body.Text(kind)
	if err != nil || name != "enabled" && name != "disabled" {
		return body.Wrong(v, expected)
	}
	r.thinking.Wish("thinking", name == "enabled")
	return nil
}
