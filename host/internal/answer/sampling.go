// sampling.go reads the fields that most protocols have alike: how tokens are drawn, and where an answer ends.
package answer

import (
	"encoding/json"
	"math"
	"strconv"

	"github.com/inference-pio/inference-pio/host/internal/body"
	"github.com/inference-pio/inference-pio/sdk"
)

// Limits on what one body may ask for.
const (
	MaxStops   = 16 // each is looked for at every token
	MaxStopLen = 1024
)

// Sampling is the table of these fields by the names that OpenAI's and vLLM's clients give them; of finds the neutral part of a protocol's request.
func Sampling[R any](of func(*R) *Request) body.Fields[R] {
	number := func(low, high float64, open bool, at func(*sdk.Sampling) **float64) body.Reader[R] {
		return body.Optional(low, high, open, func(r *R) **float64 { return at(&of(r).Sampling) })
	}
	by := func(read func(*Request, json.RawMessage) error) body.Reader[R] {
		return func(r *R, v json.RawMessage) error { return read(of(r), v) }
	}
	return body.Fields[R]{
		"seed":               by(readSeed),
		"temperature":        number(0, 2, false, func(s *sdk.Sampling) **float64 { return &s.Temperature }),
		"top_p":              number(0, 1, true, func(s *sdk.Sampling) **float64 { return &s.TopP }),
		"min_p":              number(0, 1, false, func(s *sdk.Sampling) **float64 { return &s.MinP }),
		"presence_penalty":   number(-2, 2, false, func(s *sdk.Sampling) **float64 { return &s.PresencePenalty }),
		"frequency_penalty":  number(-2, 2, false, func(s *sdk.Sampling) **float64 { return &s.FrequencyPenalty }),
		"repetition_penalty": number(0, 100, true, func(s *sdk.Sampling) **float64 { return &s.RepetitionPenalty }),
		"top_k":              by(readTopK),
		"logit_bias":         by(readLogitBias),

		"stop":       by(ReadStop),
		"ignore_eos": by(func(r *Request, v json.RawMessage) (err error) { r.IgnoreEOS, err = body.Boolean(v); return }),
		"min_tokens": by(readMinTokens),
	}
}

func readSeed(r *Request, v json.RawMessage) (err error) {
	r.Sampling.Seed, err = body.Seed(v)
	r.Seeded = true
	return err
}

func readMinTokens(r *Request, v json.RawMessage) error {
	n, err := body.Integer(v, 0, math.MaxInt32)
	r.MinTokens = int(n)
	return err
}

func readTopK(r *Request, v json.RawMessage) error {
	n, err := body.Integer(v, -1, math.MaxInt32)
	k := int(n)
	r.Sampling.TopK = &k
	return err
}

// ReadCount takes what is more than any context holds as well: the answer ends where the context does.
func ReadCount(v json.RawMessage, into *int) error {
	n, err := body.Integer(v, 1, math.MaxInt64)
	*into = int(min(n, math.MaxInt32))
	return err
}

// ReadStop takes a string that ends the answer, or several.
func ReadStop(r *Request, v json.RawMessage) error {
	const expected = "a string or up to 16 of them, none empty, each of at most 1024 bytes"
	if s, err := body.Text(v); err == nil {
		r.Stop = []string{s}
	} else if json.Unmarshal(v, &r.Stop) != nil || len(r.Stop) > MaxStops {
		return body.Wrong(v, expected)
	}
	for _, s := range r.Stop {
		if s == "" || len(s) > MaxStopLen {
			return body.Wrong(v, expected)
		}
	}
	return nil
}

// readLogitBias takes {"token id": bias}: a JSON key is a string, so the id is spelled as one.
func readLogitBias(r *Request, v json.RawMessage) error {
	const expected = `an object of at most 1024 token ids with numbers from -100 to 100, such as {"1234": -100}`
	var m map[string]float64
	if json.Unmarshal(v, &m) != nil || len(m) > 1024 {
		return body.Wrong(v, expected)
	}
	r.Sampling.LogitBias = make(map[int32]float64, len(m))
	for k, bias := range m {
		id, err := strconv.ParseInt(k, 10, 32)
		if err != nil || id < 0 || bias < -100 || bias > 100 {
			return body.Wrong(v, expected)
		}
		r.Sampling.LogitBias[int32(id)] = bias
	}
	return nil
}

// ReadKwargs takes variables for the template.
func ReadKwargs(r *Request, v json.RawMessage) error {
	if v[0] != '{' {
		return body.Wrong(v, `an object of template variables, such as {"enable_thinking": false}`)
	}
	r.ChatOf().Kwargs = v
	return nil
}
