// tools.go reads what a chat may call and must call. The tools themselves reach the template as they were sent.
package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxToolName is in bytes; the OpenAI API takes 64.
const maxToolName = 256

func readTools(r *request, v json.RawMessage) error {
	var list []struct {
		Type     string `json:"type"`
		Function *struct {
			Name       string          `json:"name"`
			Parameters json.RawMessage `json:"parameters"`
		} `json:"function"`
	}
	const expected = `a list of tools such as {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}`
	if json.Unmarshal(v, &list) != nil {
		return wrong(v, expected)
	}
	for i, t := range list {
		at := func(field, problem string) error {
			return &fieldError{fmt.Sprintf("tools[%d].%s", i, field), errors.New(problem)}
		}
		switch f := t.Function; {
		case t.Type != "function":
			return at("type", fmt.Sprintf(`is %q; this host takes only "function"`, clip(t.Type)))
		case f == nil:
			return at("function", "is missing; expected "+expected)
		case f.Name == "" || len(f.Name) > maxToolName:
			return at("function.name", fmt.Sprintf("has %d bytes; expected 1 to %d", len(f.Name), maxToolName))
		case len(f.Parameters) > 0 && !isNull(f.Parameters) && f.Parameters[0] != '{':
			return at("function.parameters", wrong(f.Parameters, "a JSON schema, which is an object").Error())
		}
		r.toolNames = append(r.toolNames, t.Function.Name)
	}
	if len(list) > 0 { // templates tell an empty list from none
		r.chatOf().Tools = v
	}
	return nil
}

// named is how sdk.Chat spells the choice of one function.
const named = "function:"

func readToolChoice(r *request, v json.RawMessage) error {
	const expected = `"none", "auto", "required", {"type": "function", "function": {"name": "get_weather"}} or ` +
		`{"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [...]}}`
	if s, err := text(v); err == nil {
		if !slices.Contains([]string{"none", "auto", "required"}, s) {
			return wrong(v, expected)
		}
		r.toolChoice = s
		return nil
	}
	var one struct {
		Type     string `json:"type"`
		Function struct {
			Name string `json:"name"`
		} `json:"function"`
		Allowed json.RawMessage `json:"allowed_tools"`
	}
	switch err := json.Unmarshal(v, &one); {
	case err == nil && one.Type == "allowed_tools" && given(one.Allowed):
		return readAllowedTools(r, one.Allowed)
	case err != nil || one.Type != "function" || one.Function.Name == "":
		return wrong(v, expected)
	}
	r.toolChoice = named + one.Function.Name
	return nil
}

// readAllowedTools takes a choice among some of the tools: "auto" or "required".
func readAllowedTools(r *request, v json.RawMessage) error {
	var a struct {
		Mode  string
		Tools []struct {
			Type     string
			Function struct{ Name string }
		}
	}
	if json.Unmarshal(v, &a) != nil || a.Mode != "auto" && a.Mode != "required" || len(a.Tools) == 0 {
		return &fieldError{"tool_choice.allowed_tools",
			wrong(v, `{"mode": "auto" or "required", "tools": [{"type": "function", "function": {"name": "get_weather"}}]}`)}
	}
	for i, t := range a.Tools {
		if t.Type != "function" || t.Function.Name == "" {
			return &fieldError{fmt.Sprintf("tool_choice.allowed_tools.tools[%d]", i), errors.New(`is no {"type": "function", "function": {"name": "get_weather"}}`)}
		}
		r.allowed = append(r.allowed, t.Function.Name)
	}
	r.toolChoice = a.Mode
	return nil
}

// keepAllowed leaves of the tools those that may be called, as they were sent: what a model is not shown it does not call.
func (r *request) keepAllowed() error {
	for _, name := range r.allowed {
		if !slices.Contains(r.toolNames, name) {
			return invalid("tool_choice", "tool_choice allows %q, which is not among the tools: %s", clip(name), clip(strings.Join(r.toolNames, ", ")))
		}
	}
	var kept []byte
	i := 0
	for at := range elements(r.chat.Tools, 0) {
		if slices.Contains(r.allowed, r.toolNames[i]) {
			kept = append(append(kept, ','), r.chat.Tools[at.from:at.to]...)
		}
		i++
	}
	kept[0] = '['
	r.chat.Tools = append(kept, ']')
	return nil
}

// settleTools checks the choice against the tools, which may come after it in the body.
func (r *request) settleTools() error {
	name, isNamed := strings.CutPrefix(r.toolChoice, named)
	switch {
	case len(r.toolNames) == 0 && (isNamed || r.toolChoice == "required" || r.allowed != nil):
		return invalid("tool_choice", "tool_choice asks for a call, but there are no tools; give tools, or leave it out")
	case isNamed && !slices.Contains(r.toolNames, name):
		return invalid("tool_choice", "tool_choice names %q, which is not among the tools: %s", clip(name), clip(strings.Join(r.toolNames, ", ")))
	case len(r.toolNames) > 0:
		if r.allowed != nil {
			if err := r.keepAllowed(); err != nil {
				return err
			}
		}
		r.chat.ToolChoice, r.chat.SingleCall = r.toolChoice, r.oneCall
	}
	return nil
}
