// fields.go has the tables of the fields that chats and texts have, and of the options inside of them.
package ollama

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/body"
	"github.com/inference-pio/inference-pio/host/internal/problem"
	"github.com/inference-pio/inference-pio/sdk"
)

// request is what one body asks for.
type request struct {
	answer.Request

	unknown  func(key string)
	turns    []answer.Turn // of messages
	waiting  []string      // ids of calls whose results have not come
	thinking answer.Thinking
	calls    answer.Calls

	prompt, system string // of a text
	images         []answer.Picture
	raw            bool // the prompt is not put into a template

	inputs []answer.Prompt // of an embedding
}

type fields = body.Fields[request]

// readKeep reads how long the model is to stay: a number of seconds, or a duration such as "5m"; less than 0 is for ever.
func readKeep(r *request, v json.RawMessage) error {
	var keep time.Duration
	if text, err := body.Text(v); err == nil {
		if keep, err = time.ParseDuration(text); err != nil {
			seconds, err := strconv.ParseInt(text, 10, 32)
			if err != nil {
				return body.Wrong(v, `seconds, or a duration such as "5m"`)
			}
			keep = time.Duration(seconds) * time.Second
		}
	} else {
		seconds, err := body.Number(v, -math.MaxInt32, math.MaxInt32, false)
		if err != nil {
			return body.Wrong(v, `seconds, or a duration such as "5m"`)
		}
		keep = time.Duration(seconds * float64(time.Second))
	}
	r.Keep = &keep
	return nil
}

const maxTop = 20 // top_logprobs

// common are the fields of chats and texts.
var common = fields{
	"model":      readModel,
	"stream":     func(r *request, v json.RawMessage) (err error) { r.Stream, err = body.Boolean(v); return },
	"format":     readFormat,
	"options":    readOptions,
	"think":      readThink,
	"logprobs":   func(r *request, v json.RawMessage) (err error) { r.Sampling.Logprobs, err = body.Boolean(v); return },
	"keep_alive": readKeep,
	"top_logprobs": func(r *request, v json.RawMessage) error {
		n, err := body.Integer(v, 0, maxTop)
		r.Sampling.TopLogprobs = int(n)
		return err
	},
	"truncate": nil, // what is too long is refused
	"shift":    nil,
}

var chatFields = with(common, fields{
	"messages": readMessages,
	"tools":    readTools,
})

var generateFields = with(common, fields{
	"prompt": func(r *request, v json.RawMessage) (err error) { r.prompt, err = body.Text(v); return },
	"system": func(r *request, v json.RawMessage) (err error) { r.system, err = body.Text(v); return },
	"raw":    func(r *request, v json.RawMessage) (err error) { r.raw, err = body.Boolean(v); return },
	"images": func(r *request, v json.RawMessage) (err error) { r.images, err = readImages("images", v); return },

	"suffix":   body.Unbuilt[request](`""`),
	"template": body.Unbuilt[request](`""`),
	"context":  body.Unbuilt[request]("[]"),
	"width":    nil, // of pictures that are made
	"height":   nil,
	"steps":    nil,
})

// options say how tokens are drawn; those that say how a model is loaded stand in models.toml.
var options = with(answer.Sampling(func(r *request) *answer.Request { return &r.Request }), fields{
	"num_predict":    readPredict,
	"repeat_penalty": body.Optional(0, 100, true, func(r *request) **float64 { return &r.Sampling.RepetitionPenalty }),

	"mirostat":  body.Unbuilt[request]("0", "0.0"),
	"tfs_z":     body.Unbuilt[request]("1", "1.0"),
	"typical_p": body.Unbuilt[request]("1", "1.0"),

	"mirostat_eta":     nil,
	"mirostat_tau":     nil,
	"num_keep":         nil,
	"penalize_newline": nil,
	"repeat_last_n":    nil, // all of prompt and answer

	"embedding_only": nil,
	"f16_kv":         nil,
	"logits_all":     nil,
	"low_vram":       nil,
	"main_gpu":       nil,
	"num_batch":      nil,
	"num_ctx":        nil,
	"num_gpu":        nil,
	"num_thread":     nil,
	"numa":           nil,
	"use_mlock":      nil,
	"use_mmap":       nil,
	"vocab_only":     nil,
})

// with is a table of both; the second's fields go first.
func with(table, more fields) fields {
	all := maps.Clone(table)
	maps.Copy(all, more)
	return all
}

func readModel(r *request, v json.RawMessage) (err error) { r.Model, err = body.Text(v); return }

// parse reads a body. Answers are streams unless it says otherwise.
func parse(members []body.Member, unknown func(string), table fields) (*request, error) {
	r := &request{Request: answer.Request{N: 1, Stream: true}, unknown: unknown}
	if err := body.Fill(r, members, unknown, table); err != nil {
		return nil, err
	}
	if !r.Sampling.Logprobs {
		r.Sampling.TopLogprobs = 0
	}
	return r, r.NeedsModel()
}

// settle makes the turns the conversation that field has.
func (r *request) settle(field string) error {
	if err := r.SetTurns(r.turns); err != nil {
		return body.Blame(field, err)
	}
	r.turns = nil
	if err := r.SettleThinking(r.thinking); err != nil {
		return err
	}
	if err := r.SettleCalls(r.calls); err != nil {
		return err
	}
	return r.SettleLength()
}

// asTurns is a text as a conversation.
func (r *request) asTurns() []answer.Turn {
	var turns []answer.Turn
	if r.system != "" {
		turns = append(turns, answer.Turn{Role: "system", Parts: []answer.Part{{Text: r.system}}})
	}
	user := answer.Turn{Role: "user"}
	for _, p := range r.images {
		user.Show(p)
	}
	user.Say(r.prompt)
	return append(turns, user)
}

// asText leaves the prompt what it is.
func (r *request) asText() error {
	switch {
	case len(r.images) > 0:
		return problem.Invalid("images", "images are shown by a template; leave out raw")
	case r.system != "":
		return problem.Invalid("system", "system is shown by a template; leave out raw")
	}
	r.Prompts = []answer.Prompt{{Text: r.prompt}}
	return r.SettleLength()
}

// readFormat takes "json", or a schema.
func readFormat(r *request, v json.RawMessage) error {
	switch {
	case string(v) == `""`:
		return nil
	case string(v) == `"json"`:
		return r.Constrain("format", sdk.Constraint{JSONObject: true})
	case v[0] == '{':
		return r.Constrain("format", sdk.Constraint{JSONSchema: slices.Clone(v)})
	}
	return body.Wrong(v, `"json" or a JSON schema, which is an object`)
}

// readThink takes whether the model thinks first, or how much.
func readThink(r *request, v json.RawMessage) error {
	if v[0] == '"' {
		return r.thinking.ReadEffort("think", v)
	}
	b, err := body.Boolean(v)
	r.thinking.Wish("think", b)
	return err
}

// readOptions reads the object by a table of its own.
func readOptions(r *request, v json.RawMessage) error {
	if v[0] != '{' {
		return body.Wrong(v, `an object such as {"temperature": 0}`)
	}
	var members []body.Member
	for key, at := range body.FieldsOf(v, 0) {
		members = append(members, body.Member{Key: key, Value: json.RawMessage(v[at.From:at.To])})
	}
	err := body.Fill(r, members, func(key string) { r.unknown("options." + key) }, options)
	var e *problem.Error
	if errors.As(err, &e) {
		return problem.Invalid("options."+e.Field, "options.%s", e.Message)
	}
	return err
}

// readPredict takes how long the answer may be; what is below 1 is no bound.
func readPredict(r *request, v json.RawMessage) error {
	n, err := body.Integer(v, math.MinInt32, math.MaxInt64)
	r.MaxTokens = int(min(max(n, 0), math.MaxInt32))
	return err
}

// readTools takes functions as OpenAI has them.
func readTools(r *request, v json.RawMessage) error {
	const expected = `a list of tools such as {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}`
	var list []struct {
		Type     string
		Function struct {
			Name        string
			Description string
			Parameters  json.RawMessage
			Strict      *bool
		}
	}
	if json.Unmarshal(v, &list) != nil {
		return body.Wrong(v, expected)
	}
	var tools []answer.Tool
	for i, t := range list {
		if t.Type != "" && t.Type != "function" {
			return body.In(fmt.Sprintf("tools[%d].type", i), fmt.Errorf(`is %q; expected "function"`, body.Clip(t.Type)))
		}
		if field, err := answer.CheckTool(t.Function.Name, t.Function.Parameters); err != nil {
			return body.In(fmt.Sprintf("tools[%d].function.%s", i, field), err)
		}
		tools = append(tools, answer.Tool{Name: t.Function.Name, Description: t.Function.Description, Parameters: t.Function.Parameters, Strict: t.Function.Strict != nil && *t.Function.Strict})
	}
	var err error
	r.calls.Names, err = r.SetTools(tools)
	return err
}
