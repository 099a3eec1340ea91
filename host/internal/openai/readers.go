// readers.go takes the values of the fields, each with its range.
package openai

import (
	"encoding/json"
	"strconv"

	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/body"
)

// readCountOrNone takes 0 too: who asks for echo may want the prompt alone.
func readCountOrNone(r *request, v json.RawMessage) error {
	if r.Nothing = string(v) == "0"; r.Nothing {
		return nil
	}
	return answer.ReadCount(v, &r.MaxTokens)
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
