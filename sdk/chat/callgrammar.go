package chat

// callgrammar.go is calls as a language: what a model may write so that it reads as a call, for each format.

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
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
// parameters of a strict tool hold, or are a *CallError; of others as much holds as can, and checks has by the tool's name what says of complete
// arguments if they are valid.
func (f ToolFormat) Language(tools []Tool, single bool, tag func(string) *grammar.Expr) (e *grammar.Expr, checks map[string]func([]byte) error, err error) {
	var calls []*grammar.Expr
	w := callWriter{tag: tag, checks: map[string]func([]byte) error{}}
	for i, t := range tools {
		call, err := w.call(f, t)
		if err != nil && t.Strict {
			return nil, nil, &CallError{i, err}
		}
		if err != nil {
			slog.Warn("the parameters of a tool cannot be held while a call is written", "tool", t.Name, "why", err)
			if call, err = w.call(f, Tool{Name: t.Name, Parameters: named(t.Parameters)}); err != nil {
				return nil, nil, &CallError{i, err}
			}
		}
		calls = append(calls, call)
	}
	one := &grammar.Rule{Name: "call", Body: grammar.Alt(calls...)}
	if single {
		return one.Use(), w.checks, nil
	}
	return grammar.Seq(one.Use(), grammar.Repeat(grammar.Seq(grammar.Optional(grammar.Literal("\n")), one.Use()), 0, -1)), w.checks, nil
}

// callWriter makes languages of calls.
type callWriter struct {
	tag    func(string) *grammar.Expr
	checks map[string]func([]byte) error
}

func (w *callWriter) call(f ToolFormat, t Tool) (*grammar.Expr, error) {
	switch f {
	case Hermes:
		return w.hermes(t)
	case Qwen3Coder:
		return w.coder(t)
	case GLM:
		return w.glm(t)
	}
	return nil, fmt.Errorf("the format %q knows no calls", f)
}

// named is a schema of parameters that cannot be held: their names, in their order, and whether they are required, with any values.
func named(parameters json.RawMessage) json.RawMessage {
	var p struct {
		Properties json.RawMessage `json:"properties"`
		Required   []string        `json:"required"`
	}
	_ = json.Unmarshal(parameters, &p) // what is of another type says nothing
	var names, properties, required []string
	dec := json.NewDecoder(bytes.NewReader(p.Properties))
	if open, err := dec.Token(); err == nil && open == json.Delim('{') {
		for dec.More() {
			key, err := dec.Token()
			name, _ := key.(string)
			var value json.RawMessage
			if err != nil || dec.Decode(&value) != nil {
				break // not reached: it was JSON before
			}
			if slices.Contains(names, name) {
				continue
			}
			names = append(names, name)
			quoted, _ := json.Marshal(name) // of a string, which can be spelled
			properties = append(properties, string(quoted)+":{}")
			if slices.Contains(p.Required, name) {
				required = append(required, string(quoted))
			}
		}
	}
	return json.RawMessage(`{"type":"object","properties":{` + strings.Join(properties, ",") + `},"required":[` + strings.Join(required, ",") + `]}`)
}

func (w *callWriter) hermes(t Tool) (*grammar.Expr, error) {
	arguments := grammar.Literal("{}") // OpenAI has it that what has no parameters takes none
	if len(t.Parameters) > 0 && string(t.Parameters) != "null" {
		s, err := jsonschema.Arguments(t.Parameters, t.Strict)
		if err != nil {
			return nil, err
		}
		w.loosened(t, s)
		arguments = s.Expr
	}
	opening := strings.TrimPrefix(hermes{}.prefix(t.Name), toolOpen)
	return grammar.Seq(w.tag(toolOpen), grammar.Literal(opening), grammar.Optional(grammar.Literal(" ")), arguments, grammar.Literal("}\n"), w.tag(toolClose)), nil
}

// loosened tells what is not held of a tool's parameters, and has it looked at in the end.
func (w *callWriter) loosened(t Tool, s *jsonschema.Schema) {
	if len(s.Loose) > 0 {
		w.checks[t.Name] = s.Check
	}
	for _, l := range s.Loose {
		slog.Warn("a part of a tool's parameters is not held while a call is written", "tool", t.Name, "part", l.String())
	}
}

// members are those of the arguments, for each way through the parameters' choices.
func (w *callWriter) members(t Tool) ([][]jsonschema.Member, error) {
	if len(t.Parameters) == 0 || string(t.Parameters) == "null" {
		return [][]jsonschema.Member{nil}, nil
	}
	list, s, err := jsonschema.Members(t.Parameters, t.Strict)
	if err == nil {
		w.loosened(t, s)
	}
	return list, err
}

func (w *callWriter) coder(t Tool) (*grammar.Expr, error) {
	arguments, err := w.oneByOne(t, coderTags, func(name string, value *grammar.Expr) *grammar.Expr {
		return grammar.Seq(grammar.Literal(parameterOpen+name+">\n"), value, grammar.Literal("\n"+parameterClose+"\n"))
	})
	if err != nil {
		return nil, err
	}
	return grammar.Seq(w.tag(toolOpen), grammar.Literal("\n"+functionOpen+t.Name+">\n"), arguments, grammar.Literal(functionClose+"\n"), w.tag(toolClose)), nil
}

func (w *callWriter) glm(t Tool) (*grammar.Expr, error) {
	arguments, err := w.oneByOne(t, glmTags, func(name string, value *grammar.Expr) *grammar.Expr {
		return grammar.Seq(w.tag(keyOpen), grammar.Literal(name), w.tag(keyClose), w.tag(valueOpen), value, w.tag(valueClose))
	})
	if err != nil {
		return nil, err
	}
	return grammar.Seq(w.tag(toolOpen), grammar.Literal(t.Name), arguments, w.tag(toolClose)), nil
}

// oneByOne are arguments that are written each by itself, as write has them, in their order.
func (w *callWriter) oneByOne(t Tool, tags []string, write func(name string, value *grammar.Expr) *grammar.Expr) (*grammar.Expr, error) {
	ways, err := w.members(t)
	if err != nil {
		return nil, err
	}
	var out []*grammar.Expr
	for _, list := range ways {
		var parts []*grammar.Expr
		for _, m := range list {
			value, err := bare(m, tags)
			if err != nil {
				return nil, err
			}
			part := write(m.Name, value)
			if !m.Required {
				part = grammar.Optional(part)
			}
			parts = append(parts, part)
		}
		out = append(out, grammar.Seq(parts...))
	}
	return grammar.Alt(out...), nil
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
