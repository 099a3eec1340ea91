// thinking.go joins the fields that say whether the model is to think before it answers with the template
// variable that all of them come to. Those that contradict each other are refused: one of them would be ignored.
package answer

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

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
	EnableThinking  = "enable_thinking"
	ReasoningEffort = "reasoning_effort"
	clearThinking   = "clear_thinking"
)

// efforts are OpenAI's, and one of its followers'.
var efforts = []string{"none", "minimal", "low", "medium", "high", "xhigh", "max"}

// Thinking is what the fields of a request say of it.
type Thinking struct {
	wishes      []wish
	effort      string
	effortField string
	// Clear says whether earlier thoughts are left out: "true", "false" or "" for what the template does.
	Clear      string
	ClearField string
}

// Wish notes what a field asks for.
func (t *Thinking) Wish(field string, think bool) {
	t.wishes = append(t.wishes, wish{field, think})
}

// ReadEffort takes the degree to which a model is to think.
func (t *Thinking) ReadEffort(field string, v json.RawMessage) error {
	s, err := body.Text(v)
	if err != nil || !slices.Contains(efforts, s) {
		return body.Wrong(v, strings.Join(efforts, ", "))
	}
	t.effort, t.effortField = s, field
	t.Wish(field, s != "none")
	return nil
}

// SettleThinking sets the template's variables by the fields, which must agree with each other and with the variables that the client gave.
func (r *Request) SettleThinking(t Thinking) error {
	if len(t.wishes) == 0 {
		return nil
	}
	wishes := t.wishes
	if b, err := body.Boolean(r.Kwarg(EnableThinking)); err == nil {
		wishes = append([]wish{{"chat_template_kwargs." + EnableThinking, b}}, wishes...)
	}
	first := wishes[0]
	for _, w := range wishes[1:] {
		if w.think != first.think {
			return problem.Invalid(w.field, "%s asks %s, and %s asks %s; give one of them", w.field, w, first.field, first)
		}
	}
	r.SetKwarg(EnableThinking, strconv.FormatBool(first.think))
	if err := r.settleKwarg(clearThinking, t.Clear, t.ClearField); err != nil || t.effort == "" {
		return err
	}
	return r.settleKwarg(ReasoningEffort, strconv.Quote(t.effort), t.effortField)
}

// settleKwarg sets a variable to what a field says, "" for nothing, unless the client gave the variable another value.
func (r *Request) settleKwarg(name, value, field string) error {
	if value == "" {
		return nil
	}
	if v := r.Kwarg(name); body.Given(v) && string(v) != value {
		return problem.Invalid(field, "%s is %s, and chat_template_kwargs.%s is %s; give one of them", field, value, name, body.Clip(string(v)))
	}
	r.SetKwarg(name, value)
	return nil
}

func (w wish) String() string {
	return fmt.Sprintf("the model %s", map[bool]string{true: "to think", false: "not to think"}[w.think])
}
