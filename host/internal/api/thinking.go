// thinking.go reads the fields that say whether the model is to think before it answers: OpenAI's, Z.ai's, Qwen's, and the template
// variable that all of them come to. Those that contradict each other are refused: one of them would be ignored.
package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// wish is what one field says of thinking.
type wish struct {
	field string
	think bool
}

// The template's variables.
const (
	enableThinking  = "enable_thinking"
	reasoningEffort = "reasoning_effort"
	clearThinking   = "clear_thinking"
)

// efforts are OpenAI's, and one of its followers'.
var efforts = []string{"none", "minimal", "low", "medium", "high", "xhigh", "max"}

func readEffort(r *request, v json.RawMessage) error {
	s, err := text(v)
	if err != nil || !slices.Contains(efforts, s) {
		return wrong(v, strings.Join(efforts, ", "))
	}
	r.effort = s
	r.wishes = append(r.wishes, wish{reasoningEffort, s != "none"})
	return nil
}

func readEnableThinking(r *request, v json.RawMessage) error {
	b, err := boolean(v)
	r.wishes = append(r.wishes, wish{enableThinking, b})
	return err
}

// readThinking takes Z.ai's object. A budget of tokens, as others have in it, is not kept here; whether earlier thoughts are left out
// is a variable of the template.
func readThinking(r *request, v json.RawMessage) error {
	const expected = `{"type": "enabled"} or {"type": "disabled"}`
	if v[0] != '{' {
		return wrong(v, expected)
	}
	for key, at := range fieldsOf(v, 0) {
		switch value := json.RawMessage(v[at.from:at.to]); {
		case key == "type", isNull(value):
		case key == clearThinking:
			b, err := boolean(value)
			if err != nil {
				return &fieldError{"thinking." + key, err}
			}
			r.clear = strconv.FormatBool(b)
		default:
			return &fieldError{"thinking." + clip(key), errors.New("is not supported by this host; expected " + expected)}
		}
	}
	kind, _ := fieldAt(v, "type")
	name, err := text(kind)
	if err != nil || name != "enabled" && name != "disabled" {
		return wrong(v, expected)
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
	if b, err := boolean(r.kwarg(enableThinking)); err == nil {
		wishes = append([]wish{{"chat_template_kwargs." + enableThinking, b}}, wishes...)
	}
	first := wishes[0]
	for _, w := range wishes[1:] {
		if w.think != first.think {
			return invalid(w.field, "%s asks %s, and %s asks %s; give one of them", w.field, w, first.field, first)
		}
	}
	r.setKwarg(enableThinking, strconv.FormatBool(first.think))
	if v := r.kwarg(clearThinking); r.clear != "" && given(v) && string(v) != r.clear {
		return invalid("thinking."+clearThinking, "thinking.%s is %s, and chat_template_kwargs.%s is %s; give one of them", clearThinking, r.clear, clearThinking, clip(string(v)))
	}
	if r.clear != "" {
		r.setKwarg(clearThinking, r.clear)
	}
	if r.effort == "" {
		return nil
	}
	effort := strconv.Quote(r.effort)
	if v := r.kwarg(reasoningEffort); given(v) && string(v) != effort {
		return invalid(reasoningEffort, "%s is %s, and chat_template_kwargs.%s is %s; give one of them", reasoningEffort, effort, reasoningEffort, clip(string(v)))
	}
	r.setKwarg(reasoningEffort, effort)
	return nil
}

// kwarg is a variable that the client gave the template, nil if it did not.
func (r *request) kwarg(name string) json.RawMessage {
	if len(r.chat.Kwargs) == 0 {
		return nil
	}
	v, _ := fieldAt(r.chat.Kwargs, name)
	return v
}

func (w wish) String() string {
	return fmt.Sprintf("the model %s", map[bool]string{true: "to think", false: "not to think"}[w.think])
}
