package chat

// needs.go finds out what a template can take: templates differ, and say so nowhere. A small conversation is rendered and the result
// looked at.

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/inference-pio/inference-pio/sdk/jinja"
)

// needs says what a template takes as it is.
type needs struct {
	parts       map[string]bool // by role: content as a list of text parts
	shows       map[string]bool // by role: the words of its messages are in the prompt
	laterSystem bool            // a message of the system that is not the first
	developer   bool            // the role
	null        bool            // an assistant's content that is null beside tool calls
	arguments   bool            // the arguments of a tool call as a string of JSON
	parameters  bool            // a function without them
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
	n := needs{parts: map[string]bool{}, shows: map[string]bool{}}
	parts := fmt.Sprintf(`[{"type":"text","text":%q},{"type":"text","text":%q}]`, probeText, probeMore)
	for role, chat := range map[string]string{
		"system":    `[{"role":"system","content":%s},{"role":"user","content":"x"}]`,
		"user":      `[{"role":"user","content":%s}]`,
		"assistant": `[{"role":"user","content":"x"},{"role":"assistant","content":%s},{"role":"user","content":"x"}]`,
		"tool":      `[{"role":"user","content":"x"},` + probeCall(`""`, `{}`) + `,{"role":"tool","tool_call_id":"1","content":%s}]`,
	} {
		s, ok := t.try(fmt.Sprintf(chat, parts))
		n.parts[role] = ok && strings.Contains(s, probeText) && strings.Contains(s, probeMore) && !strings.Contains(s, "'type'") && !strings.Contains(s, `"type"`)
		s, ok = t.try(fmt.Sprintf(chat, strconv.Quote(probeText)))
		n.shows[role] = !ok || strings.Contains(s, probeText)
	}
	n.developer = strings.Contains(t.source, `"developer"`) || strings.Contains(t.source, "'developer'")
	later, ok := t.try(fmt.Sprintf(`[{"role":"system","content":"x"},{"role":"user","content":"x"},{"role":"system","content":%q},{"role":"user","content":"x"}]`, probeText))
	n.laterSystem = ok && strings.Contains(later, probeText)
	_, n.parameters = t.tryWith(`[{"role":"user","content":"x"}]`, `[{"type":"function","function":{"name":"f","description":"x"}}]`)
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
		p := newToolParser(format, nil, nil)
		_, calls := p.push(s)
		_, more := p.flush(true)
		for _, c := range append(calls, more...) {
			if c.Name == probeName {
				return true
			}
		}
	}
	return failed
}

func (t *Template) try(messages string) (string, bool) { return t.tryWith(messages, "") }

func (t *Template) tryWith(messages, tools string) (string, bool) {
	vars, err := Input{Messages: []byte(messages), Tools: []byte(tools)}.vars()
	if err != nil {
		return "", false
	}
	// Far more than a probe takes. What is found out is for all callers, so none of them may stop it.
	limits := jinja.Limits{Steps: 500_000, Memory: 16 << 20}
	s, err := t.render(context.Background(), vars, nil, limits)
	return s, err == nil
}
