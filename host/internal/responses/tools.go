// tools.go reads the tools that a model may call: functions; custom ones, whose input is a text and no object; and namespaces of both. A template
// knows functions alone, so that a custom tool is shown as one of a single text, and a call of it is told as what it is.
package responses

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/body"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/grammar/schema"
)

// called is a tool as the client knows it.
type called struct {
	custom          bool
	namespace, name string
}

// shown is the name by which the model knows a tool.
func shown(namespace, name string) string {
	if namespace == "" || name == "" {
		return name
	}
	return namespace + "__" + name
}

// of is the tool that a model's call is of.
func (r *request) of(name string) called {
	if c, ok := r.by[name]; ok {
		return c
	}
	return called{name: name}
}

const expectedTools = `a list of tools such as {"type": "function", "name": "get_weather", "parameters": {"type": "object"}}`

// readTools takes what the client runs. Other tools are OpenAI's to run: they are left out, and somebody told.
func readTools(r *request, v json.RawMessage) error {
	r.by = map[string]called{}
	if err := r.readList("tools", "", v); err != nil {
		return err
	}
	var err error
	r.calls.Names, err = r.SetTools(r.tools)
	r.tools = nil
	return err
}

func (r *request) readList(path, namespace string, v json.RawMessage) error {
	switch {
	case len(v) > 0 && v[0] == '[':
	case namespace == "":
		return body.Wrong(v, expectedTools)
	default:
		return body.In(path, errors.New("is missing, or no list; expected "+expectedTools))
	}
	i := 0
	for at := range body.Elements(v, 0) {
		err := r.tool(fmt.Sprintf("%s[%d]", path, i), namespace, json.RawMessage(v[at.From:at.To]))
		if err != nil {
			return err
		}
		i++
	}
	return nil
}

// tool reads one. Those of a namespace are told whole, with it.
func (r *request) tool(path, namespace string, one json.RawMessage) error {
	var t struct {
		Type, Name, Description   string
		Parameters, Format, Tools json.RawMessage
		Strict                    *bool
	}
	if one[0] != '{' || json.Unmarshal(one, &t) != nil || t.Type == "" {
		return body.In(path, body.Wrong(one, expectedTools))
	}
	as := answer.Tool{Name: shown(namespace, t.Name), Description: t.Description, Parameters: t.Parameters, Strict: t.Strict != nil && *t.Strict}
	switch {
	case t.Type == "function":
	case t.Type == "custom":
		var err error
		if as.Parameters, as.Strict, err = input(t.Format); err != nil {
			return body.In(path+".format", err)
		}
	case t.Type == "namespace" && namespace == "" && t.Name != "":
		r.taken = append(r.taken, one)
		return r.readList(path+".tools", t.Name, t.Tools)
	default:
		r.skipped = append(r.skipped, t.Type)
		return nil
	}
	if field, err := answer.CheckTool(as.Name, as.Parameters); err != nil {
		return body.In(path+"."+field, err)
	}
	if t.Type == "custom" || namespace != "" {
		r.by[as.Name] = called{t.Type == "custom", namespace, t.Name}
	}
	if namespace == "" {
		r.taken = append(r.taken, one)
	}
	r.tools = append(r.tools, as)
	return nil
}

// input is the schema of a custom tool's call: its text, in the form that the tool asks for where that can be held. Else the model is told the
// form, and writes what it will.
func input(format json.RawMessage) (parameters json.RawMessage, held bool, err error) {
	type text struct {
		Type        string `json:"type"`
		Description string `json:"description,omitempty"`
		Pattern     string `json:"pattern,omitempty"`
	}
	spell := func(t text) json.RawMessage {
		p, _ := json.Marshal(map[string]any{ // of strings, which can be spelled
			"type": "object", "properties": map[string]any{"input": t}, "required": []string{"input"}, "additionalProperties": false,
		})
		return p
	}
	plain := text{Type: "string"}
	if !body.Given(format) {
		return spell(plain), false, nil
	}
	var f struct{ Type, Syntax, Definition string }
	const expected = `{"type": "text"}, or {"type": "grammar", "syntax": "regex", "definition": "[a-z]+"}, or the syntax lark`
	if json.Unmarshal(format, &f) != nil {
		return nil, false, body.Wrong(format, expected)
	}
	switch {
	case f.Type == "text":
		return spell(plain), false, nil
	case f.Type == "grammar" && f.Definition != "" && (f.Syntax == "regex" || f.Syntax == "lark"):
	default:
		return nil, false, body.Wrong(format, expected)
	}
	plain.Description = "A text of this form (" + f.Syntax + "): " + f.Definition
	expression := f.Definition
	if f.Syntax == "lark" {
		expression, _ = larkPattern(f.Definition) // what is no expression is told
	}
	if expression != "" {
		whole := plain
		whole.Pattern = "^(?:" + expression + ")$"
		p := spell(whole)
		if _, err := schema.Compile(p, true); err == nil {
			return p, true, nil
		}
	}
	return spell(plain), false, nil
}

// inputOf is the text of a call of a custom tool.
func inputOf(arguments string) string {
	var a struct{ Input *string }
	if json.Unmarshal([]byte(arguments), &a) != nil || a.Input == nil {
		return arguments // it was not held to its form, and is for the tool to refuse
	}
	return *a.Input
}

// asked is a call of the turns before, as the model made it.
func (c called) asked(id, text string) (answer.Call, error) {
	if !c.custom {
		return answer.Call{ID: id, Name: shown(c.namespace, c.name), Arguments: text}, nil
	}
	arguments, err := json.Marshal(map[string]string{"input": text})
	if err != nil {
		return answer.Call{}, sdk.Errorf(sdk.ReasonInternal, "the call cannot be spelled: %v", err)
	}
	return answer.Call{ID: id, Name: shown(c.namespace, c.name), Arguments: string(arguments)}, nil
}

var callable = []string{"function", "custom"}

func readToolChoice(r *request, v json.RawMessage) error {
	const expected = `"none", "auto", "required", {"type": "function", "name": "get_weather"} or ` +
		`{"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "get_weather"}]}`
	if s, err := body.Text(v); err == nil {
		if s != "none" && s != "auto" && s != "required" {
			return body.Wrong(v, expected)
		}
		r.calls.Choice = s
		return nil
	}
	var one struct {
		Type, Name, Mode, Namespace string
		Tools                       []struct{ Type, Name, Namespace string }
	}
	switch err := json.Unmarshal(v, &one); {
	case err == nil && slices.Contains(callable, one.Type) && one.Name != "":
		r.calls.Choice = answer.Named + shown(one.Namespace, one.Name)
		return nil
	case err == nil && one.Type == "allowed_tools" && (one.Mode == "auto" || one.Mode == "required") && len(one.Tools) > 0:
		r.calls.Choice = one.Mode
		for i, t := range one.Tools {
			if !slices.Contains(callable, t.Type) || t.Name == "" {
				return body.In(fmt.Sprintf("tool_choice.tools[%d]", i), errors.New(`is no {"type": "function", "name": "get_weather"}`))
			}
			r.calls.Allowed = append(r.calls.Allowed, shown(t.Namespace, t.Name))
		}
		return nil
	}
	return body.Wrong(v, expected)
}
