// fields.go is the table of every field the two endpoints know: what is read, what is not built yet and therefore
// refused unless it asks for nothing, and what has no effect here. A field that is in no table is ignored and logged once.
package openai

import (
	"encoding/json"
	"maps"

	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/body"
)

// request is what one body asks for, with what only this API knows of.
type request struct {
	answer.Request

	includeUsage bool
	eachUsage    bool // continuous_usage_stats
	tokenIDs     bool // return_token_ids

	topGiven   bool // top_logprobs, or a completion's logprobs
	completion int  // max_completion_tokens, 0 if absent
	tokenStrs  bool // return_token_strs
	unprompted bool // add_generation_prompt is false
	begun      bool // continue_final_message
	thinking   answer.Thinking
	calls      answer.Calls // what a chat may call

	rows   []int // of a sequence's call; nil: the last
	top    int   // ids of each row, likeliest first; 0: all logits
	base64 bool
}

type fields = body.Fields[request]

// Limits on what one body may ask for.
const (
	maxPrompts = 128
	maxChoices = 128 // prompts times n
	maxTop     = 20  // top_logprobs
)

// common holds the fields both endpoints have.
var common = with(answer.Sampling(func(r *request) *answer.Request { return &r.Request }), fields{
	"model": func(r *request, v json.RawMessage) (err error) { r.Model, err = body.Text(v); return },

	"stream":           func(r *request, v json.RawMessage) (err error) { r.Stream, err = body.Boolean(v); return },
	"stream_options":   readStreamOptions,
	"return_token_ids": func(r *request, v json.RawMessage) (err error) { r.tokenIDs, err = body.Boolean(v); return },

	"n": readN,

	"response_format":    readResponseFormat,
	"structured_outputs": readStructured,
	"guided_json":        guided("json"),
	"guided_regex":       guided("regex"),
	"guided_choice":      guided("choice"),
	"guided_grammar":     guided("grammar"),

	"best_of":                       body.Unbuilt[request]("1"),
	"stop_token_ids":                body.Unbuilt[request]("[]"),
	"bad_words":                     body.Unbuilt[request]("[]"),
	"allowed_token_ids":             body.Unbuilt[request](),
	"use_beam_search":               body.Unbuilt[request]("false"),
	"length_penalty":                body.Unbuilt[request]("1", "1.0"),
	"prompt_logprobs":               body.Unbuilt[request](),
	"truncate_prompt_tokens":        body.Unbuilt[request](),
	"skip_special_tokens":           body.Unbuilt[request]("true"),
	"spaces_between_special_tokens": body.Unbuilt[request]("true"),
	"include_stop_str_in_output":    body.Unbuilt[request]("false"),

	"user":                   nil,
	"metadata":               nil,
	"request_id":             nil,
	"safety_identifier":      nil,
	"prompt_cache_key":       nil,
	"prompt_cache_retention": nil,
	"service_tier":           nil,
	"cache_salt":             nil,
	"store":                  nil,
	"verbosity":              nil,
	"prediction":             nil,
})

// with adds fields to a table.
func with(table, more fields) fields {
	maps.Copy(table, more)
	return table
}

// chatFields are those of /v1/chat/completions alone.
var chatFields = fields{
	"messages":              readMessages,
	"max_tokens":            func(r *request, v json.RawMessage) error { return answer.ReadCount(v, &r.MaxTokens) },
	"max_completion_tokens": func(r *request, v json.RawMessage) error { return answer.ReadCount(v, &r.completion) },
	"chat_template_kwargs":  kwargs,
	"add_generation_prompt": readGenerationPrompt,
	"reasoning_effort":      readEffort,
	"enable_thinking":       readEnableThinking,
	"thinking":              readThinking,

	"tools":               readTools,
	"tool_choice":         readToolChoice,
	"parallel_tool_calls": func(r *request, v json.RawMessage) error { return readNot(v, &r.calls.Single) },

	"logprobs":     func(r *request, v json.RawMessage) (err error) { r.Sampling.Logprobs, err = body.Boolean(v); return },
	"top_logprobs": readTop,

	"functions":          body.Unbuilt[request]("[]"),
	"function_call":      body.Unbuilt[request](`"none"`, `"auto"`),
	"modalities":         body.Unbuilt[request](`["text"]`),
	"audio":              body.Unbuilt[request](),
	"web_search_options": body.Unbuilt[request](),
	"chat_template":      body.Unbuilt[request](),
	"documents":          body.Unbuilt[request]("[]"),
	answer.ContinueFinal: readContinue,
	"echo":               body.Unbuilt[request]("false"),
}

// completionFields are those of /v1/completions alone.
var completionFields = fields{
	"prompt":     readPrompts,
	"max_tokens": readCountOrNone,
	"echo":       func(r *request, v json.RawMessage) (err error) { r.Echo, err = body.Boolean(v); return },
	"logprobs":   readTop,

	"suffix": body.Unbuilt[request](`""`),
}
