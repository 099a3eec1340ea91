// readers.go takes the values of the fields, each with its range.
package api

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/inference-pio/inference-pio/sdk"
)

// unbuilt refuses a field that would change the answer if it were built; neutral are the values that ask for nothing,
// as compact JSON.
func unbuilt(neutral ...string) reader {
	return func(_ *request, v json.RawMessage) error {
		if len(v) <= longestNeutral && slices.Contains(neutral, compact(v)) {
			return nil
		}
		expected := "nothing: this host does not support the field yet, leave it out"
		if len(neutral) > 0 {
			expected = strings.Join(neutral, " or ") + ": this host does not support other values yet"
		}
		return wrong(v, expected)
	}
}

// longestNeutral bounds what is looked at to see whether it asks for nothing, spaces included.
const longestNeutral = 1 << 10

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

// readCount takes what is more than any context holds as well: the answer ends where the context does.
func readCount(v json.RawMessage, into *int) error {
	n, err := integer(v, 1, math.MaxInt64)
	*into = int(min(n, math.MaxInt32))
	return err
}

// readCountOrNone takes 0 too: who asks for echo may want the prompt alone.
func readCountOrNone(r *request, v json.RawMessage) error {
	if r.nothing = string(v) == "0"; r.nothing {
		return nil
	}
	return readCount(v, &r.maxTokens)
}

func readN(r *request, v json.RawMessage) error {
	n, err := integer(v, 1, maxChoices)
	r.n = int(n)
	return err
}

func readNot(v json.RawMessage, into *bool) error {
	b, err := boolean(v)
	*into = !b
	return err
}

// readTop takes how many of the likeliest ids are shown at each position. A completion that gives it wants log
// probabilities; a chat says so in a field of its own.
func readTop(r *request, v json.RawMessage) error {
	n, err := integer(v, 0, maxTop)
	r.sampling.TopLogprobs = int(n)
	r.topGiven = true
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
	const expected = `an object such as {"include_usage": true}`
	var o map[string]json.RawMessage
	if json.Unmarshal(v, &o) != nil {
		return wrong(v, expected)
	}
	for k, value := range o {
		switch b, err := boolean(value); {
		case isNull(value) || k == "include_obfuscation": // padding against traffic analysis: ours has none to leave out
		case err != nil:
			return wrong(v, expected)
		case k == "include_usage":
			r.includeUsage = b
		case k == "continuous_usage_stats":
			r.eachUsage = b
		case b:
			return wrong(v, "include_usage and continuous_usage_stats: this host does not support "+strconv.Quote(clip(k)))
		}
	}
	return nil
}
