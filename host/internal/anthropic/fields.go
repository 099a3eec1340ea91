// fields.go is the table of the fields that the Messages API has.
package anthropic

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/body"
	"github.com/inference-pio/inference-pio/host/internal/problem"
	"github.com/inference-pio/inference-pio/sdk"
)

// request is what one body asks for.
type request struct {
	answer.Request

	turns    []answer.Turn // of messages
	system   []answer.Part
	thinking answer.Thinking
	silent   bool // what was thought is not shown
	calls    answer.Calls
	skipped  []string // types of tools that are left out
}

type fields = body.Fields[request]

var table = with(answer.Sampling(func(r *request) *answer.Request { return &r.Request }), fields{
	"model":      func(r *request, v json.RawMessage) (err error) { r.Model, err = body.Text(v); return },
	"messages":   readMessages,
	"system":     readSystem,
	"max_tokens": func(r *request, v json.RawMessage) error { return answer.ReadCount(v, &r.MaxTokens) },
	"stream":     func(r *request, v json.RawMessage) (err error) { r.Stream, err = body.Boolean(v); return },

	"stop_sequences": func(r *request, v json.RawMessage) error {
		if v[0] != '[' {
			return body.Wrong(v, "a list of strings")
		}
		return answer.ReadStop(&r.Request, v)
	},
	"thinking":      readThinking,
	"output_config": readOutputConfig,
	"output_format": func(r *request, v json.RawMessage) error { return readFormat(r, "output_format", v) }, // before output_config had it
	"tools":         readTools,
	"tool_choice":   readToolChoice,

	"chat_template_kwargs": func(r *request, v json.RawMessage) error { return answer.ReadKwargs(&r.Request, v) },

	"container":   body.Unbuilt[request](),
	"mcp_servers": body.Unbuilt[request]("[]"),

	"cache_control":      nil, // what begins alike is found by itself
	"context_management": nil,
	"diagnostics":        nil,
	"inference_geo":      nil,
	"metadata":           nil,
	"service_tier":       nil,
	"speed":              nil,
	"user_profile_id":    nil,
	"workspace_id":       nil,
})

func with(table, more fields) fields {
	maps.Copy(table, more)
	return table
}

func parse(members []body.Member, unknown func(string)) (*request, error) {
	r := &request{Request: answer.Request{N: 1}}
	if err := body.Fill(r, members, unknown, table); err != nil {
		return nil, err
	}
	if err := r.NeedsModel(); err != nil {
		return nil, err
	}
	if len(r.turns) == 0 {
		return nil, problem.Invalid("messages", "messages is missing; expected a list of at least one message")
	}
	if err := r.settleBegun(); err != nil {
		return nil, err
	}
	if len(r.system) > 0 {
		r.turns = slices.Insert(r.turns, 0, answer.Turn{Role: "system", Parts: r.system})
	}
	if err := r.SetTurns(r.turns); err != nil {
		return nil, body.Blame("messages", err)
	}
	r.turns = nil
	if err := r.SettleThinking(r.thinking); err != nil {
		return nil, err
	}
	if err := r.SettleCalls(r.calls); err != nil {
		return nil, err
	}
	return r, r.SettleLength()
}

// settleBegun has the model go on from what the assistant's turn says, if it is the last.
func (r *request) settleBegun() error {
	last := &r.turns[len(r.turns)-1]
	if last.Role != "assistant" {
		return nil
	}
	var words strings.Builder
	for _, p := range last.Parts {
		words.WriteString(p.Text)
	}
	said := words.String()
	switch {
	case len(last.Calls) > 0:
		return problem.Invalid("messages", "messages ends with calls of tools; expected what came of them last")
	case said == "" || last.Reasoning != "":
		return problem.Invalid("messages", "messages ends with an assistant's turn that is no text; expected the text with which the answer begins, or a user's turn last")
	case strings.TrimRight(said, " \t\r\n") != said: // whose tokens would be other ones if the model had written them
		return problem.Invalid("messages", "messages ends with an assistant's text that ends in white space; expected one without")
	}
	last.Parts = []answer.Part{{Text: said}}
	return r.ContinueLast()
}

// readThinking takes whether the model is to think. Asked to, it does what its template does by itself: models that can think do, and agents
// ask those that cannot too. There are no budgets.
func readThinking(r *request, v json.RawMessage) error {
	const expected = `{"type": "enabled"}, {"type": "adaptive"} or {"type": "disabled"}`
	var t struct{ Type, Display string }
	if json.Unmarshal(v, &t) != nil {
		return body.Wrong(v, expected)
	}
	r.silent = t.Display == "omitted"
	switch t.Type {
	case "enabled", "adaptive", "between_tools":
		return nil
	case "disabled":
		r.thinking.Wish("thinking", false)
		return nil
	}
	return body.Wrong(v, expected)
}

func readOutputConfig(r *request, v json.RawMessage) error {
	if v[0] != '{' {
		return body.Wrong(v, `an object such as {"format": {"type": "json_schema", "schema": {"type": "object"}}}`)
	}
	format, _ := body.FieldAt(v, "format") // effort is for models that know degrees of it
	if !body.Given(format) {
		return nil
	}
	return readFormat(r, "output_config.format", format)
}

func readFormat(r *request, field string, v json.RawMessage) error {
	var f struct {
		Type   string
		Schema json.RawMessage
	}
	if json.Unmarshal(v, &f) != nil || f.Type != "json_schema" || !body.Given(f.Schema) {
		return body.In(field, body.Wrong(v, `{"type": "json_schema", "schema": {"type": "object"}}`))
	}
	if err := r.Constrain(field, sdk.Constraint{JSONSchema: slices.Clone(f.Schema)}); err != nil {
		return body.In(field, err)
	}
	return nil
}

// readTools takes tools by their schema. Those by a type are Anthropic's, whose schema its models have learnt: they are left out, and somebody told.
func readTools(r *request, v json.RawMessage) error {
	const expected = `a list of tools such as {"name": "get_weather", "input_schema": {"type": "object"}}`
	if v[0] != '[' {
		return body.Wrong(v, expected)
	}
	var tools []answer.Tool
	i := 0
	for at := range body.Elements(v, 0) {
		path := fmt.Sprintf("tools[%d]", i)
		i++
		one := json.RawMessage(v[at.From:at.To])
		var t struct {
			Type, Name, Description string
			Schema                  json.RawMessage `json:"input_schema"`
			Strict                  *bool
		}
		if one[0] != '{' || json.Unmarshal(one, &t) != nil {
			return body.In(path, body.Wrong(one, expected))
		}
		if t.Type != "" && t.Type != "custom" {
			r.skipped = append(r.skipped, t.Type)
			continue
		}
		if field, err := answer.CheckTool(t.Name, t.Schema); err != nil {
			if field == "parameters" {
				field = "input_schema"
			}
			return body.In(path+"."+field, err)
		}
		tools = append(tools, answer.Tool{Name: t.Name, Description: t.Description, Parameters: t.Schema, Strict: t.Strict != nil && *t.Strict})
	}
	var err error
	r.calls.Names, err = r.SetTools(tools)
	return err
}

func readToolChoice(r *request, v json.RawMessage) error {
	const expected = `{"type": "auto"}, {"type": "any"}, {"type": "none"} or {"type": "tool", "name": "get_weather"}`
	var c struct {
		Type, Name string
		Single     bool `json:"disable_parallel_tool_use"`
	}
	if json.Unmarshal(v, &c) != nil {
		return body.Wrong(v, expected)
	}
	r.calls.Single = c.Single
	switch {
	case c.Type == "auto" || c.Type == "none":
		r.calls.Choice = c.Type
	case c.Type == "any":
		r.calls.Choice = "required"
	case c.Type == "tool" && c.Name != "":
		r.calls.Choice = answer.Named + c.Name
	case c.Type == "tool":
		return body.In("tool_choice.name", errors.New("is missing; expected "+expected))
	default:
		return body.Wrong(v, expected)
	}
	return nil
}
