// fields.go is the table of the fields that the Responses API has.
package responses

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/body"
	"github.com/inference-pio/inference-pio/host/internal/problem"
	"github.com/inference-pio/inference-pio/sdk"
)

// request is what one body asks for, with what the answer repeats of it.
type request struct {
	answer.Request

	turns    []answer.Turn // of input
	system   string        // instructions
	thinking answer.Thinking
	calls    answer.Calls
	tools    []answer.Tool
	by       map[string]called // tools that are no plain functions, by the name that the model knows
	taken    []json.RawMessage // tools that may be called, as they were sent
	skipped  []string          // types of tools that may not
	logprobs bool              // include asks for them

	// said is what the answer repeats as it was sent, by the field.
	said map[string]json.RawMessage
}

type fields = body.Fields[request]

const maxTop = 20 // top_logprobs

var table = with(answer.Sampling(func(r *request) *answer.Request { return &r.Request }), fields{
	"model":        func(r *request, v json.RawMessage) (err error) { r.Model, err = body.Text(v); return },
	"input":        readInput,
	"instructions": repeated("instructions", func(r *request, v json.RawMessage) (err error) { r.system, err = body.Text(v); return }),
	"stream":       func(r *request, v json.RawMessage) (err error) { r.Stream, err = body.Boolean(v); return },

	"max_output_tokens": func(r *request, v json.RawMessage) error { return answer.ReadCount(v, &r.MaxTokens) },
	"text":              repeated("text", readText),
	"reasoning":         repeated("reasoning", readReasoning),
	"include":           readInclude,
	"top_logprobs": func(r *request, v json.RawMessage) error {
		n, err := body.Integer(v, 0, maxTop)
		r.Sampling.TopLogprobs = int(n)
		return err
	},

	"tools":       readTools,
	"tool_choice": repeated("tool_choice", readToolChoice),
	"parallel_tool_calls": func(r *request, v json.RawMessage) error {
		b, err := body.Boolean(v)
		r.calls.Single = !b
		return err
	},
	"chat_template_kwargs": func(r *request, v json.RawMessage) error { return answer.ReadKwargs(&r.Request, v) },

	"metadata": repeated("metadata", func(_ *request, v json.RawMessage) error {
		if v[0] != '{' {
			return body.Wrong(v, "an object")
		}
		return nil
	}),

	"previous_response_id": unkept,
	"conversation":         unkept,
	"background":           body.Unbuilt[request]("false"),
	"prompt":               body.Unbuilt[request](),
	"moderation":           body.Unbuilt[request](),

	"access_programs":        nil,
	"background_options":     nil,
	"client_metadata":        nil,
	"context_management":     nil,
	"image":                  nil,
	"max_tool_calls":         nil, // of built-in tools, of which there are none
	"prompt_cache_key":       nil,
	"prompt_cache_options":   nil,
	"prompt_cache_retention": nil,
	"safety_identifier":      nil,
	"service_tier":           nil,
	"store":                  nil,
	"stream_options":         nil,
	"truncation":             nil,
	"user":                   nil,
})

func with(table, more fields) fields {
	maps.Copy(table, more)
	return table
}

// repeated is a reader of a field that the answer repeats as it was sent.
func repeated(name string, read body.Reader[request]) body.Reader[request] {
	return func(r *request, v json.RawMessage) error {
		if r.said == nil {
			r.said = map[string]json.RawMessage{}
		}
		r.said[name] = v
		return read(r, v)
	}
}

// unkept refuses to go on from what this host has not kept.
func unkept(_ *request, v json.RawMessage) error {
	return body.Wrong(v, "nothing: this host keeps no responses; send the items of the turns before in input")
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
		return nil, problem.Invalid("input", "input is missing; expected a text or a list of items")
	}
	if r.system != "" {
		r.turns = slices.Insert(r.turns, 0, answer.Turn{Role: "system", Parts: []answer.Part{{Text: r.system}}})
	}
	if err := r.SetTurns(r.turns); err != nil {
		return nil, body.Blame("input", err)
	}
	r.turns = nil
	if err := r.SettleThinking(r.thinking); err != nil {
		return nil, err
	}
	if err := r.SettleCalls(r.calls); err != nil {
		return nil, err
	}
	r.Sampling.Logprobs = r.logprobs
	if !r.logprobs {
		r.Sampling.TopLogprobs = 0 // OpenAI's clients send it without
	}
	return r, r.SettleLength()
}

// readText takes what the answer is to be: text, or JSON.
func readText(r *request, v json.RawMessage) error {
	const expected = `{"format": {"type": "text"}}, or the type json_object, or {"type": "json_schema", "name": "answer", "schema": {"type": "object"}}`
	if v[0] != '{' {
		return body.Wrong(v, expected)
	}
	v, _ = body.FieldAt(v, "format")
	if !body.Given(v) {
		return nil
	}
	var f struct {
		Type   string
		Schema json.RawMessage
		Strict *bool
	}
	if json.Unmarshal(v, &f) != nil {
		return body.In("text.format", body.Wrong(v, expected))
	}
	switch {
	case f.Type == "text":
		return nil
	case f.Type == "json_object":
		return r.Constrain("text.format", sdk.Constraint{JSONObject: true})
	case f.Type == "json_schema" && body.Given(f.Schema):
		return r.Constrain("text.format", sdk.Constraint{JSONSchema: slices.Clone(f.Schema), Strict: f.Strict != nil && *f.Strict})
	case f.Type == "json_schema":
		return body.In("text.format.schema", errors.New("is missing; expected a JSON schema"))
	}
	return body.In("text.format", body.Wrong(v, expected))
}

// readReasoning takes how much the model is to think. A summary is what it thought, whatever kind is asked for.
func readReasoning(r *request, v json.RawMessage) error {
	if v[0] != '{' {
		return body.Wrong(v, `an object such as {"effort": "low"}`)
	}
	effort, _ := body.FieldAt(v, "effort")
	if !body.Given(effort) {
		return nil
	}
	if err := r.thinking.ReadEffort("reasoning.effort", effort); err != nil {
		return body.In("reasoning.effort", err)
	}
	return nil
}

// readInclude looks for what can be shown more than is. Reasoning is never encrypted, since it is not hidden.
func readInclude(r *request, v json.RawMessage) error {
	var list []string
	if json.Unmarshal(v, &list) != nil {
		return body.Wrong(v, `a list of names such as ["message.output_text.logprobs"]`)
	}
	r.logprobs = slices.Contains(list, "message.output_text.logprobs")
	return nil
}
