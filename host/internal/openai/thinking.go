// thinking.go reads the fields that say whether the model is to think before it answers: OpenAI's, Z.ai's, Qwen's, and the template
// variable that all of them come to. Those that contradict each other are refused: one of them would be ignored.
package openai

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/body"
	"github.com/inference-pio/inference-pio/host/internal/problem"
)

// wish is what one field says of thinking.
type wish struct {
	field string
	think bool
}

// The template's variables.
const (
	reasoningEffort = "reasoning_effort"
	clearThinking   = "clear_thinking"
)

// efforts are OpenAI's, and one of its followers'.
var efforts = []string{"none", "minimal", "low", "medium", "high", "xhigh", "max"}

func readEffort(r *request, v json.RawMessage) error {
	s, err := body.Text(v)
	if err != nil || !slices.Contains(efforts, s) {
		return body.Wrong(v, strings.Join(efforts, ", "))
	}
	r.effort = s
	r.wishes = append(r.wishes, wish{reasoningEffort, s != "none"})
	return nil
}

func readEnableThinking(r *request, v json.RawMessage) error {
	b, err := body.Boolean(v)
	r.wishes = append(r.wishes, wish{answer.EnableThinking, b})
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
		case key == clearThinking:
			b, err := body.Boolean(value)
			if err != nil {
				return body.In("thinking."+key, err)
			}
			r.clear = strconv.FormatBool(b)
		default:
			return body.In("thinking."+body.Clip(key), errors.New("is not supported by this host; expected "+expected))
		}
	}
	kind, _ := body.FieldAt(v, "type")
	name, err := body.Text(kind)
	if err != nil || name != "enabled" && name != "disabled" {
		return body.Wrong(v, expected)
	}
	r.wishes = append(r.wishes, wish{"thinking", name == "enabled"})
	return nil
}

// settleThinking sets the template's variables by the fields, which must agree with each other and with chat_template_kwargs.
func (r *request) settleThinking() error {
	if len(r.wishes) == 0 {
		return nil
	}
	wishes := r.wishes
	if b, err := body.Boolean(r.Kwarg(answer.EnableThinking)); err == nil {
		wishes = append([]wish{{"chat_template_kwargs." + answer.EnableThinking, b}}, wishes...)
	}
	first := wishes[0]
	for _, w := range wishes[1:] {
		if w.think != first.think {
			return problem.Invalid(w.field, "%s asks %s, and %s asks %s; give one of them", w.field, w, first.field, first)
		}
	}
	r.SetKwarg(answer.EnableThinking, strconv.FormatBool(first.think))
	if v := r.Kwarg(clearThinking); r.clear != "" && body.Given(v) && string(v) != r.clear {
		return problem.Invalid("thinking."+clearThinking, "thinking.%s is %s, and chat_template_kwargs.%s is %s; give one of them", clearThinking, r.clear, clearThinking, body.Clip(string(v)))
	}
	if r.clear != "" {
		r.SetKwarg(clearThinking, r.clear)
	}
	if r.effort == "" {
		return nil
	}
	effort := strconv.Quote(r.effort)
	if v := r.Kwarg(reasoningEffort); body.Given(v) && string(v) != effort {
		return problem.Invalid(reasoningEffort, "%s is %s, and chat_template_kwargs.%s is %s; give one of them", reasoningEffort, effort, reasoningEffort, body.Clip(string(v)))
	}
	r.SetKwarg(reasoningEffort, effort)
	return nil
}

func (w wish) String() string {
	return fmt.Sprintf("the model %s", map[bool]string{true: "to think", false: "not to think"}[w.think])
}
