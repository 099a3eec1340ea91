// fields.go is the table of every field the two endpoints know: what is read, what is not built yet and therefore
// refused unless it asks for nothing, and what has no effect here. A field that is in no table is ignored and logged once.
package api

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/inference-pio/inference-pio/sdk"
)

// request is what one body asks for, before it is split into choices.
type request struct {
	model        string
	stream       bool
	includeUsage bool
	tokenIDs     bool // return_token_ids

	chat    *sdk.Chat // of /v1/chat/completions
	prompts []prompt  // of /v1/completions

	sampling   sdk.Sampling
	seeded     bool // the client chose the seed
	maxTokens  int  // 0: what the context holds
	completion int  // max_completion_tokens, 0 if absent
	stop       []string
	ignoreEOS  bool
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
)

// common holds the fields both endpoints have.
var common = fields{
	"model": func(r *request, v json.RawMessage) (err error) { r.model, err = text(v); return },

	"stream":           func(r *request, v json.RawMessage) (err error) { r.stream, err = boolean(v); return },
	"stream_options":   readStreamOptions,
	"return_token_ids": func(r *request, v json.RawMessage) (err error) { r.tokenIDs, err = boolean(v); return },

	"max_tokens": func(r *request, v json.RawMessage) error { return readCount(v, &r.maxTokens) },
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
	"repetition_penalty": optional(0, math.MaxFloat64, true, func(s *sdk.Sampling) **float64 { return &s.RepetitionPenalty }),
	"top_k":              readTopK,
	"logit_bias":         readLogitBias,

	"n":                             unbuilt("1"),
	"best_of":                       unbuilt("1"),
	"stop_token_ids":                unbuilt("[]"),
	"min_tokens":                    unbuilt("0"),
	"bad_words":                     unbuilt("[]"),
	"allowed_token_ids":             unbuilt(),
	"response_format":               unbuilt(`{"type":"text"}`),
	"structured_outputs":            unbuilt(),
	"guided_json":                   unbuilt(),
	"guided_regex":                  unbuilt(),
	"guided_choice":                 unbuilt(),
	"guided_grammar":                unbuilt(),
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
}

// chatFields are those of /v1/chat/completions alone.
var chatFields = fields{
	"messages":              readMessages,
	"max_completion_tokens": func(r *request, v json.RawMessage) error { return readCount(v, &r.completion) },
	"chat_template_kwargs":  readKwargs,

	"logprobs":               unbuilt("false"),
	"top_logprobs":           unbuilt("0"),
	"tools":                  unbuilt("[]"),
	"tool_choice":            unbuilt(`"none"`, `"auto"`),
	"parallel_tool_calls":    unbuilt("true", "false"), // says how to call, not that there is something to call
	"functions":              unbuilt("[]"),
	"function_call":          unbuilt(`"none"`, `"auto"`),
	"modalities":             unbuilt(`["text"]`),
	"audio":                  unbuilt(),
	"prediction":             unbuilt(),
	"web_search_options":     unbuilt(),
	"reasoning_effort":       unbuilt(),
	"verbosity":              unbuilt(`"medium"`),
	"store":                  unbuilt("false"),
	"chat_template":          unbuilt(),
	"documents":              unbuilt("[]"),
	"add_generation_prompt":  unbuilt("true"),
	"continue_final_message": unbuilt("false"),
	"echo":                   unbuilt("false"),
}

// completionFields are those of /v1/completions alone.
var completionFields = fields{
	"prompt": readPrompts,

	"echo":     unbuilt("false"),
	"suffix":   unbuilt(`""`),
	"logprobs": unbuilt(),
}

// unbuilt refuses a field that would change the answer if it were built; neutral are the values that ask for nothing,
// as compact JSON.
func unbuilt(neutral ...string) reader {
	return func(_ *request, v json.RawMessage) error {
		if slices.Contains(neutral, compact(v)) {
			return nil
		}
		expected := "nothing: this host does not support the field yet, leave it out"
		if len(neutral) > 0 {
			expected = strings.Join(neutral, " or ") + ": this host does not support other values yet"
		}
		return wrong(v, expected)
	}
}

// optional reads a number into the field of Sampling that at names.
func optional(low, high float64, open bool, at func(*sdk.Sampling) **float64) reader {
	return func(r *request, v json.RawMessage) error {
		f, err := number(v, low, high, open)
		*at(&r.sampling) = &f
		return err
	}
}

func readTopK(r *request, v json.RawMessage) error {
	n, err := integer(v, -1, math.MaxInt32)
	k := int(n)
	r.sampling.TopK = &k
	return err
}

func readCount(v json.RawMessage, into *int) error {
	n, err := integer(v, 1, math.MaxInt32)
	*into = int(n)
	return err
}

func readStop(r *request, v json.RawMessage) error {
	const expected = "a string or up to 16 of them, none empty, each of at most 1024 bytes"
	if s, err := text(v); err == nil {
		r.stop = []string{s}
	} else if json.Unmarshal(v, &r.stop) != nil || len(r.stop) > maxStops {
		return wrong(v, expected)
	}
	for _, s := range r.stop {
		if s == "" || len(s) > maxStopLen {
			return wrong(v, expected)
		}
	}
	return nil
}

// readLogitBias takes {"token id": bias}: a JSON key is a string, so the id is spelled as one.
func readLogitBias(r *request, v json.RawMessage) error {
	const expected = `an object of at most 1024 token ids with numbers from -100 to 100, such as {"1234": -100}`
	var m map[string]float64
	if json.Unmarshal(v, &m) != nil || len(m) > 1024 {
		return wrong(v, expected)
	}
	r.sampling.LogitBias = make(map[int32]float64, len(m))
	for k, bias := range m {
		id, err := strconv.ParseInt(k, 10, 32)
		if err != nil || id < 0 || bias < -100 || bias > 100 {
			return wrong(v, expected)
		}
		r.sampling.LogitBias[int32(id)] = bias
	}
	return nil
}

func readStreamOptions(r *request, v json.RawMessage) error {
	var o map[string]json.RawMessage
	if json.Unmarshal(v, &o) != nil {
		return wrong(v, `an object such as {"include_usage": true}`)
	}
	for k, value := range o {
		switch b, err := boolean(value); {
		case isNull(value) || k == "include_obfuscation": // padding against traffic analysis: ours has none to leave out
		case err != nil:
			return wrong(v, `an object such as {"include_usage": true}`)
		case k == "include_usage":
			r.includeUsage = b
		case b:
			return wrong(v, "only include_usage: this host does not support "+strconv.Quote(clip(k)))
		}
	}
	return nil
}

func readKwargs(r *request, v json.RawMessage) error {
	if v[0] != '{' {
		return wrong(v, `an object of template variables, such as {"enable_thinking": false}`)
	}
	r.chatOf().Kwargs = v
	return nil
}

func (r *request) chatOf() *sdk.Chat {
	if r.chat == nil {
		r.chat = &sdk.Chat{}
	}
	return r.chat
}
