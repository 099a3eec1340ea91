// chat.go has what the protocols do alike with a conversation: variables for its template, and what may be called in it.
package answer

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/inference-pio/inference-pio/host/internal/body"
	"github.com/inference-pio/inference-pio/host/internal/problem"
	"github.com/inference-pio/inference-pio/sdk"
)

// MaxToolName is in bytes; the OpenAI API takes 64.
const MaxToolName = 256

// Named is how sdk.Chat spells the choice of one function.
const Named = "function:"

// ChatOf is the conversation, which is begun if there is none yet.
func (r *Request) ChatOf() *sdk.Chat {
	if r.Chat == nil {
		r.Chat = &sdk.Chat{}
	}
	return r.Chat
}

// SetKwarg gives the template a variable; value is JSON. What is set last holds.
func (r *Request) SetKwarg(name, value string) {
	text := bytes.TrimSuffix(bytes.TrimSpace(r.Chat.Kwargs), []byte("}"))
	switch {
	case len(text) == 0:
		text = []byte("{")
	case len(bytes.TrimSpace(text)) > 1:
		text = append(bytes.Clone(text), ',')
	}
	r.Chat.Kwargs = append(bytes.Clone(text), `"`+name+`":`+value+`}`...)
}

// Kwarg is a variable that the client gave the template, nil if it did not.
func (r *Request) Kwarg(name string) json.RawMessage {
	if len(r.Chat.Kwargs) == 0 {
		return nil
	}
	v, _ := body.FieldAt(r.Chat.Kwargs, name)
	return v
}

// Calls is what a conversation may call and must call.
type Calls struct {
	Names   []string // of the tools, in their order
	Allowed []string // those that the choice leaves, nil for all
	Choice  string   // as sdk.Chat has it
	Single  bool     // the answer ends with its first call
}

// SettleCalls checks the choice against the tools, which may come after it in the body.
func (r *Request) SettleCalls(c Calls) error {
	name, isNamed := strings.CutPrefix(c.Choice, Named)
	switch {
	case len(c.Names) == 0 && (isNamed || c.Choice == "required" || c.Allowed != nil):
		return problem.Invalid("tool_choice", "tool_choice asks for a call, but there are no tools; give tools, or leave it out")
	case isNamed && !slices.Contains(c.Names, name):
		return problem.Invalid("tool_choice", "tool_choice names %q, which is not among the tools: %s", body.Clip(name), body.Clip(strings.Join(c.Names, ", ")))
	case len(c.Names) > 0:
		if c.Allowed != nil {
			if err := r.keepAllowed(c); err != nil {
				return err
			}
		}
		r.Chat.ToolChoice, r.Chat.SingleCall = c.Choice, c.Single
	}
	return nil
}

// keepAllowed leaves of the tools those that may be called, as they were sent: what a model is not shown it does not call.
func (r *Request) keepAllowed(c Calls) error {
	for _, name := range c.Allowed {
		if !slices.Contains(c.Names, name) {
			return problem.Invalid("tool_choice", "tool_choice allows %q, which is not among the tools: %s", body.Clip(name), body.Clip(strings.Join(c.Names, ", ")))
		}
	}
	var kept []byte
	i := 0
	for at := range body.Elements(r.Chat.Tools, 0) {
		if slices.Contains(c.Allowed, c.Names[i]) {
			kept = append(append(kept, ','), r.Chat.Tools[at.From:at.To]...)
		}
		i++
	}
	kept[0] = '['
	r.Chat.Tools = append(kept, ']')
	return nil
}
