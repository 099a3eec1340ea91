package chat

import (
	"context"
	"fmt"
	"strings"

	"github.com/inference-pio/inference-pio/sdk/chat/jinja"
)

// adapt.go bends what OpenAI's clients send to what a template can take. Templates differ in three points, and say so
// nowhere; each is found out by rendering a small conversation and looking at the result.

// needs says what a template takes as it is.
type needs struct {
	parts     map[string]bool // by role: content as a list of text parts
	null      bool            // an assistant's content that is null beside tool calls
	arguments bool            // the arguments of a tool call as a string of JSON
}

// Words that no template has of its own.
const (
	probeText = "pr0be-one"
	probeMore = "pr0be-two"
	probeArgs = `{"pr0be-key":"pr0be-value"}`
	probeName = "pr0be-name"
)

// probe finds out what t takes. A template that fails on a probe does not take it.
func (t *Template) probe() needs {
	n := needs{parts: map[string]bool{}}
	parts := fmt.Sprintf(`[{"type":"text","text":%q},{"type":"text","text":%q}]`, probeText, probeMore)
	for role, chat := range map[string]string{
		"system":    `[{"role":"system","content":%s},{"role":"user","content":"x"}]`,
		"user":      `[{"role":"user","content":%s}]`,
		"assistant": `[{"role":"user","content":"x"},{"role":"assistant","content":%s},{"role":"user","content":"x"}]`,
		"tool":      `[{"role":"user","content":"x"},` + probeCall(`""`, `{}`) + `,{"role":"tool","tool_call_id":"1","content":%s}]`,
	} {
		s, ok := t.try(fmt.Sprintf(chat, parts))
		n.parts[role] = ok && strings.Contains(s, probeText) && strings.Contains(s, probeMore) && !strings.Contains(s, "'type'") && !strings.Contains(s, `"type"`)
	}
	answer := `[{"role":"user","content":"x"},%s,{"role":"tool","tool_call_id":"1","content":"x"},{"role":"user","content":"x"}]`
	s, ok := t.try(fmt.Sprintf(answer, probeCall(`null`, `{}`)))
	n.null = ok && !strings.Contains(s, "None")
	s, ok = t.try(fmt.Sprintf(answer, probeCall(`""`, fmt.Sprintf("%q", probeArgs))))
	n.arguments = ok && strings.Contains(s, probeArgs)
	return n
}

func probeCall(content, arguments string) string {
	return `{"role":"assistant","content":` + content + `,"tool_calls":[{"id":"1","type":"function","function":{"name":"` + probeName + `","arguments":` + arguments + `}}]}`
}

// writes says whether a call comes out of t in the format. A template that cannot write the call is believed.
func (t *Template) writes(format ToolFormat) bool {
	failed := true
	for _, arguments := range []string{probeArgs, fmt.Sprintf("%q", probeArgs)} {
		s, ok := t.try(`[{"role":"user","content":"x"},` + probeCall(`""`, arguments) + `]`)
		if !ok {
			continue
		}
		failed = false
		p := NewToolParser(format, nil, nil)
		_, calls := p.Push(s)
		_, more := p.Flush(true)
		for _, c := range append(calls, more...) {
			if c.Name == probeName {
				return true
			}
		}
	}
	return failed
}

func (t *Template) try(messages string) (string, bool) {
	vars, err := Input{Messages: []byte(messages)}.vars()
	if err != nil {
		return "", false
	}
	// Far more than a probe takes. What is found out is for all callers, so none of them may stop it.
	limits := jinja.Limits{Steps: 500_000, Memory: 16 << 20}
	s, err := t.render(context.Background(), vars, nil, limits)
	return s, err == nil
}

// adapt rewrites the messages in place; they were made for this rendering.
func (n needs) adapt(messages jinja.Value) error {
	for i, m := range messages.(*jinja.List).Items { // vars has seen to that
		d, ok := m.(*jinja.Dict)
		if !ok {
			return fmt.Errorf("messages[%d]: an object is expected", i)
		}
		n.adaptContent(d)
		if n.arguments {
			continue
		}
		if err := objectArguments(d); err != nil {
			return fmt.Errorf("messages[%d].%w", i, err)
		}
	}
	return nil
}

func (n needs) adaptContent(m *jinja.Dict) {
	v, _ := m.Get("role")
	role, _ := v.(string)
	switch content, _ := m.Get("content"); content := content.(type) {
	case nil:
		if !n.null {
			m.Set("content", "")
		}
	case *jinja.List:
		takes, known := n.parts[role]
		if text, ok := joinParts(content); ok && !(takes && known) {
			m.Set("content", text)
		}
	}
}

// joinParts joins a list of text parts, with nothing between them; ok is false if there is anything else in it.
func joinParts(parts *jinja.List) (joined string, ok bool) {
	var b strings.Builder
	for _, p := range parts.Items {
		if d, ok := p.(*jinja.Dict); ok {
			if kind, _ := d.Get("type"); kind != "text" {
				return "", false
			}
			p, _ = d.Get("text")
		}
		text, ok := p.(string)
		if !ok {
			return "", false
		}
		b.WriteString(text)
	}
	return b.String(), true
}

// objectArguments turns the arguments of a message's tool calls from strings into the objects they spell.
func objectArguments(m *jinja.Dict) error {
	v, _ := m.Get("tool_calls")
	calls, ok := v.(*jinja.List)
	if !ok {
		return nil
	}
	for i, c := range calls.Items {
		call, ok := c.(*jinja.Dict)
		if !ok {
			continue
		}
		if f, _ := call.Get("function"); f != nil {
			if call, ok = f.(*jinja.Dict); !ok {
				continue
			}
		}
		v, _ := call.Get("arguments")
		text, ok := v.(string)
		if !ok {
			continue
		}
		if strings.TrimSpace(text) == "" {
			text = "{}" // what some clients send for a call without arguments
		}
		object, err := jinja.FromJSON([]byte(text))
		if _, ok := object.(*jinja.Dict); !ok || err != nil {
			return fmt.Errorf("tool_calls[%d].function.arguments: this model's template needs a JSON object, not %q", i, shorten(text))
		}
		call.Set("arguments", object)
	}
	return nil
}

func shorten(s string) string {
	const most = 60
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}
