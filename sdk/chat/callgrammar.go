package chat

// callgrammar.go is calls as a language: what a model may write so that it reads as a call, for each format.

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"strings"

	"github.com/inference-pio/inference-pio/sdk/grammar"
	"github.com/inference-pio/inference-pio/sdk/grammar/automaton"
	jsonschema "github.com/inference-pio/inference-pio/sdk/grammar/schema"
)

// Tool is a function that may be called.
type Tool struct {
	Name       string
	Parameters json.RawMessage // a JSON Schema; nil if there is none
	Strict     bool            // arguments are to be valid under it
}

// Tools are those of a request's array, in their order.
func Tools(tools json.RawMessage) []Tool {
	type function struct {
		Name       string          `json:"name"`
		Parameters json.RawMessage `json:"parameters"`
		Strict     bool            `json:"strict"`
	}
	var list []struct {
		function
		Function *function `json:"function"`
	}
	if json.Unmarshal(tools, &list) != nil {
		return nil
	}
	var out []Tool
	for _, t := range list {
		f := t.function
		if t.Function != nil {
			f = *t.Function
		}
		out = append(out, Tool{f.Name, f.Parameters, f.Strict || t.Strict})
	}
	return out
}

// CallError says which tool's parameters cannot be held.
type CallError struct {
	Index int
	Err   error
}

func (e *CallError) Error() string {
	return fmt.Sprintf("the parameters of tool %d: %v", e.Index, e.Err)
}

func (e *CallError) Unwrap() error { return e.Err }

// Language are calls of the tools, one if single is set, else one or more. tag is a tag as the model writes it: perhaps one token. The
// parameters of a strict tool hold, or are a *CallError; of others as much holds as can.
func (f ToolFormat) Language(tools []Tool, single bool, tag func(string) *grammar.Expr) (*grammar.Expr, error) {
	var calls []*grammar.Expr
	for i, t := range tools {
		call, err := f.call(t, tag)
		if err != nil && t.Strict {
			return nil, &CallError{i, err}
		}
		if err != nil {
			slog.Warn("the parameters of a tool cannot be held while a call is written", "tool", t.Name, "why", err)
			if call, err = f.call(Tool{Name: t.Name}, tag); err != nil {
				return nil, &CallError{i, err}
			}
		}
		calls = append(calls, call)
	}
	one := &grammar.Rule{Name: "call", Body: grammar.Alt(calls...)}
	if single {
		return one.Use(), nil
	}
	return grammar.Seq(one.Use(), grammar.Repeat(grammar.Seq(grammar.Optional(grammar.Literal("\n")), one.Use()), 0, -1)), nil
}

func (f ToolFormat) call(t Tool, tag func(string) *grammar.Expr) (*grammar.Expr, error) {
	switch f {
	case Hermes:
		return hermesLanguage(t, tag)
	case Qwen3Coder:
		return coderLanguage(t, tag)
	case GLM:
		return glmLanguage(t, tag)
	}
	return nil, fmt.Errorf("the format %q knows no calls", f)
}

func hermesLanguage(t Tool, tag func(string) *grammar.Expr) (*grammar.Expr, error) {
	arguments := jsonschema.Object()
	if len(t.Parameters) > 0 && string(t.Parameters) != "null" {
		s, err := jsonschema.Compile(objectOf(t.Parameters), t.Strict)
		if err != nil {
			return nil, err
		}
		warn(t, s.Loose)
		arguments = s.Expr
	}
	opening := strings.TrimPrefix(hermes{}.prefix(t.Name), toolOpen)
	return grammar.Seq(tag(toolOpen), grammar.Literal(opening), grammar.Optional(grammar.Literal(" ")), arguments, grammar.Literal("}\n"), tag(toolClose)), nil
}

// objectOf makes a schema of parameters that say nothing of their type one of objects: arguments are no other.
func objectOf(parameters json.RawMessage) []byte {
	var m map[string]json.RawMessage
	if json.Unmarshal(parameters, &m) != nil || m["type"] != nil {
		return parameters
	}
	rest := strings.TrimPrefix(strings.TrimSpace(string(parameters)), "{")
	if strings.TrimSpace(rest) == "}" {
		return []byte(`{"type":"object"}`)
	}
	return []byte(`{"type":"object",` + rest)
}

func warn(t Tool, loose []jsonschema.Loose) {
	for _, l := range loose {
		slog.Warn("a part of a tool's parameters is not held while a call is written", "tool", t.Name, "part", l.String())
	}
}

func members(t Tool) ([]jsonschema.Member, error) {
	if len(t.Parameters) == 0 || string(t.Parameters) == "null" {
		return nil, nil
	}
	list, loose, err := jsonschema.Members(objectOf(t.Parameters), t.Strict)
	if err == nil {
		warn(t, loose)
	}
	return list, err
}

func coderLanguage(t Tool, tag func(string) *grammar.Expr) (*grammar.Expr, error) {
	list, err := members(t)
	if err != nil {
		return nil, err
	}
	parts := []*grammar.Expr{tag(toolOpen), grammar.Literal("\n" + functionOpen + t.Name + ">\n")}
	for _, m := range list {
		value, err := bare(m, coderTags)
		if err != nil {
			return nil, err
		}
		parts = append(parts, perhaps(m, grammar.Seq(grammar.Literal(parameterOpen+m.Name+">\n"), value, grammar.Literal("\n"+parameterClose+"\n"))))
	}
	return grammar.Seq(append(parts, grammar.Literal(functionClose+"\n"), tag(toolClose))...), nil
}

func glmLanguage(t Tool, tag func(string) *grammar.Expr) (*grammar.Expr, error) {
	list, err := members(t)
	if err != nil {
		return nil, err
	}
	parts := []*grammar.Expr{tag(toolOpen), grammar.Literal(t.Name)}
	for _, m := range list {
		value, err := bare(m, glmTags)
		if err != nil {
			return nil, err
		}
		parts = append(parts, perhaps(m, grammar.Seq(tag(keyOpen), grammar.Literal(m.Name), tag(keyClose), tag(valueOpen), value, tag(valueClose))))
	}
	return grammar.Seq(append(parts, tag(toolClose))...), nil
}

func perhaps(m jsonschema.Member, e *grammar.Expr) *grammar.Expr {
	if m.Required {
		return e
	}
	return grammar.Optional(e)
}

// bare is a value between tags: JSON, or a string as it is, in which none of the tags stands that would be read as the end of something.
func bare(m jsonschema.Member, tags []string) (*grammar.Expr, error) {
	var ways []*grammar.Expr
	if m.Text != nil {
		var quoted []string
		for _, tag := range tags {
			quoted = append(quoted, regexp.QuoteMeta(tag))
		}
		has, err := automaton.Search(strings.Join(quoted, "|"))
		if err != nil {
			return nil, err
		}
		set, err := m.Text.Without(has)
		if err != nil {
			return nil, err
		}
		plain, err := set.Plain()
		if err != nil {
			return nil, err
		}
		ways = append(ways, grammar.Regular(plain))
	}
	if m.JSON != nil {
		ways = append(ways, m.JSON)
	}
	return grammar.Alt(ways...), nil
}
