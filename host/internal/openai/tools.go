// tools.go reads what a chat may call and must call. The tools themselves reach the template as they were sent.
package openai

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/body"
)

func readTools(r *request, v json.RawMessage) error {
	var list []struct {
		Type     string `json:"type"`
		Function *struct {
			Name       string          `json:"name"`
			Parameters json.RawMessage `json:"parameters"`
			Strict     json.RawMessage `json:"strict"`
		} `json:"function"`
	}
	const expected = `a list of tools such as {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}`
	if json.Unmarshal(v, &list) != nil {
		return body.Wrong(v, expected)
	}
	for i, t := range list {
		at := func(field, problem string) error {
			return body.In(fmt.Sprintf("tools[%d].%s", i, field), errors.New(problem))
		}
		switch f := t.Function; {
		case t.Type != "function":
			return at("type", fmt.Sprintf(`is %q; this host takes only "function"`, body.Clip(t.Type)))
		case f == nil:
			return at("function", "is missing; expected "+expected)
		case f.Name == "" || len(f.Name) > answer.MaxToolName:
			return at("function.name", fmt.Sprintf("has %d bytes; expected 1 to %d", len(f.Name), answer.MaxToolName))
		case len(f.Parameters) > 0 && !body.IsNull(f.Parameters) && f.Parameters[0] != '{':
			return at("function.parameters", body.Wrong(f.Parameters, "a JSON schema, which is an object").Error())
		case body.Given(f.Strict):
			if _, err := body.Boolean(f.Strict); err != nil {
				return at("function.strict", err.Error())
			}
		}
		r.calls.Names = append(r.calls.Names, t.Function.Name)
	}
	if len(list) > 0 { // templates tell an empty list from none
		r.ChatOf().Tools = v
	}
	return nil
}

func readToolChoice(r *request, v json.RawMessage) error {
	const expected = `"none", "auto", "required", {"type": "function", "function": {"name": "get_weather"}} or ` +
		`{"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [...]}}`
	if s, err := body.Text(v); err == nil {
		if !slices.Contains([]string{"none", "auto", "required"}, s) {
			return body.Wrong(v, expected)
		}
		r.calls.Choice = s
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
	case err == nil && one.Type == "allowed_tools" && body.Given(one.Allowed):
		return readAllowedTools(r, one.Allowed)
	case err != nil || one.Type != "function" || one.Function.Name == "":
		return body.Wrong(v, expected)
	}
	r.calls.Choice = answer.Named + one.Function.Name
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
		return body.In("tool_choice.allowed_tools",
			body.Wrong(v, `{"mode": "auto" or "required", "tools": [{"type": "function", "function": {"name": "get_weather"}}]}`))
	}
	for i, t := range a.Tools {
		if t.Type != "function" || t.Function.Name == "" {
			return body.In(fmt.Sprintf("tool_choice.allowed_tools.tools[%d]", i), errors.New(`is no {"type": "function", "function": {"name": "get_weather"}}`))
		}
		r.calls.Allowed = append(r.calls.Allowed, t.Function.Name)
	}
	r.calls.Choice = a.Mode
	return nil
}
