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
	const expected = `"none", "auto", "required" or {"type": "function", "function": {"name": "get_weather"}}`
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
	}
	if json.Unmarshal(v, &one) != nil || one.Type != "function" || one.Function.Name == "" {
		return wrong(v, expected)
	}
	r.toolChoice = named + one.Function.Name
	return nil
}

// settleTools checks the choice against the tools, which may come after it in the body.
func (r *request) settleTools() error {
	name, isNamed := strings.CutPrefix(r.toolChoice, named)
	switch {
	case len(r.toolNames) == 0 && (isNamed || r.toolChoice == "required"):
		return invalid("tool_choice", "tool_choice asks for a call, but there are no tools; give tools, or leave it out")
	case isNamed && !slices.Contains(r.toolNames, name):
		return invalid("tool_choice", "tool_choice names %q, which is not among the tools: %s", clip(name), clip(strings.Join(r.toolNames, ", ")))
	case len(r.toolNames) > 0:
		r.chat.ToolChoice, r.chat.SingleCall = r.toolChoice, r.oneCall
	}
	return nil
}
