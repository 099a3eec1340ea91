// readers.go takes the values of the fields, each with its range.
package openai

import (
	"encoding/json"
	"math"
	"strconv"

	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/body"
)

func readTopK(r *request, v json.RawMessage) error {
	n, err := body.Integer(v, -1, math.MaxInt32)
	k := int(n)
	r.Sampling.TopK = &k
	return err
}

// readCount takes what is more than any context holds as well: the answer ends where the context does.
func readCount(v json.RawMessage, into *int) error {
	n, err := body.Integer(v, 1, math.MaxInt64)
	*into = int(min(n, math.MaxInt32))
	return err
}

// readCountOrNone takes 0 too: who asks for echo may want the prompt alone.
func readCountOrNone(r *request, v json.RawMessage) error {
	if r.Nothing = string(v) == "0"; r.Nothing {
		return nil
	}
	return readCount(v, &r.MaxTokens)
}

func readN(r *request, v json.RawMessage) error {
	n, err := body.Integer(v, 1, maxChoices)
	r.N = int(n)
	return err
}

func readNot(v json.RawMessage, into *bool) error {
	b, err := body.Boolean(v)
	*into = !b
	return err
}

// readTop takes how many of the likeliest ids are shown at each position. A completion that gives it wants log
// probabilities; a chat says so in a field of its own.
func readTop(r *request, v json.RawMessage) error {
	n, err := body.Integer(v, 0, maxTop)
	r.Sampling.TopLogprobs = int(n)
	r.topGiven = true
	return err
}

func readStop(r *request, v json.RawMessage) error {
	const expected = "a string or up to 16 of them, none empty, each of at most 1024 bytes"
	if s, err := body.Text(v); err == nil {
		r.Stop = []string{s}
	} else if json.Unmarshal(v, &r.Stop) != nil || len(r.Stop) > answer.MaxStops {
		return body.Wrong(v, expected)
	}
	for _, s := range r.Stop {
		if s == "" || len(s) > answer.MaxStopLen {
			return body.Wrong(v, expected)
		}
	}
	return nil
}

// readLogitBias takes {"token id": bias}: a JSON key is a string, so the id is spelled as one.
func readLogitBias(r *request, v json.RawMessage) error {
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

func readStreamOptions(r *request, v json.RawMessage) error {
	const expected = `an object such as {"include_usage": true}`
	var o map[string]json.RawMessage
	if json.Unmarshal(v, &o) != nil {
		return body.Wrong(v, expected)
	}
	for k, value := range o {
		switch b, err := body.Boolean(value); {
		case body.IsNull(value) || k == "include_obfuscation": // padding against traffic analysis: ours has none to leave out
		case err != nil:
			return body.Wrong(v, expected)
		case k == "include_usage":
			r.includeUsage = b
		case k == "continuous_usage_stats":
			r.eachUsage = b
		case b:
			return body.Wrong(v, "include_usage and continuous_usage_stats: this host does not support "+strconv.Quote(body.Clip(k)))
		}
	}
	return nil
}
