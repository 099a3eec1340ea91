// fields.go is the table of every field the two endpoints know: what is read, what is not built yet and therefore
// refused unless it asks for nothing, and what has no effect here. A field that is in no table is ignored and logged once.
package api

import (
	"encoding/json"
	"math"

	"github.com/inference-pio/inference-pio/sdk"
)

// request is what one body asks for, before it is split into choices.
type request struct {
	model        string
	stream       bool
	includeUsage bool
	eachUsage    bool // continuous_usage_stats
	tokenIDs     bool // return_token_ids

	chat     *sdk.Chat // of /v1/chat/completions
	prompts  []prompt  // of /v1/completions
	pictures []picture // of the chat, not fetched yet

	sampling   sdk.Sampling
	topGiven   bool // top_logprobs, or a completion's logprobs
	seeded     bool // the client chose the seed
	n          int  // answers to each prompt
	maxTokens  int  // 0: what the context holds
	minTokens  int
	completion int // max_completion_tokens, 0 if absent
	stop       []string
	ignoreEOS  bool

	tokenStrs  bool     // return_token_strs
	unprompted bool     // add_generation_prompt is false
	wishes     []wish   // whether the model is to think
	effort     string   // reasoning_effort, "" if absent
	clear      string   // of thinking, whether earlier thoughts are left out: "true", "false" or ""
	toolNames  []string // of the tools a chat may call
	allowed    []string // those that tool_choice leaves, nil for all
	toolChoice string   // as sdk.Chat has it
	oneCall    bool     // parallel_tool_calls is false

	constraint    *sdk.Constraint // what the answer is held to, nil if it is free
	constrainedBy string          // the field that asked for it

	rows   []int // of a sequence's call; nil: the last
	top    int   // ids of each row, likeliest first; 0: all logits
	base64 bool

	echo    bool // of /v1/completions: the prompt comes before the answer
	nothing bool // max_tokens is 0: the prompt alone is wanted
}

// prompt is one prompt of /v1/completions: text, or ids.
type prompt struct {
	text   string
	tokens []int32 // nil for text
}

// reader takes one field's value. Its error starts with a verb ("is ..."): the field's name is put before it.
type reader func(r *request, v json.RawMessage) error

type fields map[string]reader

// Limits on what one body may ask for.
const (
	maxStops   = 16 // each is looked for at every token
	maxStopLen = 1024
	maxPrompts = 128
	maxChoices = 128 // prompts times n
	maxTop     = 20  // top_logprobs
)

// common holds the fields both endpoints have.
var common = fields{
	"model": func(r *request, v json.RawMessage) (err error) { r.model, err = text(v); return },

	"stream":           func(r *request, v json.RawMessage) (err error) { r.stream, err = boolean(v); return },
	"stream_options":   readStreamOptions,
	"return_token_ids": func(r *request, v json.RawMessage) (err error) { r.tokenIDs, err = boolean(v); return },

	"stop":       readStop,
	"ignore_eos": func(r *request, v json.RawMessage) (err error) { r.ignoreEOS, err = boolean(v); return },

	"seed": func(r *request, v json.RawMessage) (err error) {
		r.sampling.Seed, err = seed(v)
		r.seeded = true
		return err
	},
	"temperature":        optional(0, 2, false, func(s *sdk.Sampling) **float64 { return &s.Temperature }),
	"top_p":              optional(0, 1, true, func(s *sdk.Sampling) **float64 { return &s.TopP }),
	"min_p":              optional(0, 1, false, func(s *sdk.Sampling) **float64 { return &s.MinP }),
	"presence_penalty":   optional(-2, 2, false, func(s *sdk.Sampling) **float64 { return &s.PresencePenalty }),
	"frequency_penalty":  optional(-2, 2, false, func(s *sdk.Sampling) **float64 { return &s.FrequencyPenalty }),
	"repetition_penalty": optional(0, 100, true, func(s *sdk.Sampling) **float64 { return &s.RepetitionPenalty }),
	"top_k":              readTopK,
	"logit_bias":         readLogitBias,

	"n": readN,
	"min_tokens": func(r *request, v json.RawMessage) error {
		n, err := integer(v, 0, math.MaxInt32)
		r.minTokens = int(n)
		return err
	},

	"response_format":    readResponseFormat,
	"structured_outputs": readStructured,
	"guided_json":        guided("json"),
	"guided_regex":       guided("regex"),
	"guided_choice":      guided("choice"),
	"guided_grammar":     guided("grammar"),

	"best_of":                       unbuilt("1"),
	"stop_token_ids":                unbuilt("[]"),
	"bad_words":                     unbuilt("[]"),
	"allowed_token_ids":             unbuilt(),
	"use_beam_search":               unbuilt("false"),
	"length_penalty":                unbuilt("1", "1.0"),
	"prompt_logprobs":               unbuilt(),
	"truncate_prompt_tokens":        unbuilt(),
	"skip_special_tokens":           unbuilt("true"),
	"spaces_between_special_tokens": unbuilt("true"),
	"include_stop_str_in_output":    unbuilt("false"),

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
}

// chatFields are those of /v1/chat/completions alone.
var chatFields = fields{
	"messages":              readMessages,
	"max_tokens":            func(r *request, v json.RawMessage) error { return readCount(v, &r.maxTokens) },
	"max_completion_tokens": func(r *request, v json.RawMessage) error { return readCount(v, &r.completion) },
	"chat_template_kwargs":  readKwargs,
	"add_generation_prompt": readGenerationPrompt,
	"reasoning_effort":      readEffort,
	"enable_thinking":       readEnableThinking,
	"thinking":              readThinking,

	"tools":               readTools,
	"tool_choice":         readToolChoice,
	"parallel_tool_calls": func(r *request, v json.RawMessage) error { return readNot(v, &r.oneCall) },

	"logprobs":     func(r *request, v json.RawMessage) (err error) { r.sampling.Logprobs, err = boolean(v); return },
	"top_logprobs": readTop,

	"functions":              unbuilt("[]"),
	"function_call":          unbuilt(`"none"`, `"auto"`),
	"modalities":             unbuilt(`["text"]`),
	"audio":                  unbuilt(),
	"web_search_options":     unbuilt(),
	"chat_template":          unbuilt(),
	"documents":              unbuilt("[]"),
	"continue_final_message": unbuilt("false"),
	"echo":                   unbuilt("false"),
}

// completionFields are those of /v1/completions alone.
var completionFields = fields{
	"prompt":     readPrompts,
	"max_tokens": readCountOrNone,
	"echo":       func(r *request, v json.RawMessage) (err error) { r.echo, err = boolean(v); return },
	"logprobs":   readTop,

	"suffix": unbuilt(`""`),
}
