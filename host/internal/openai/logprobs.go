// logprobs.go spells log probabilities: one entry for every id of the answer, the held-back, forced and ending ones
// included, so that there are as many as usage counts. Natural logarithms; what cannot be is -9999, as JSON has no
// infinity.
package openai

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/sdk"
)

const impossible = -9999

type chatLogprobs struct {
	Content []Logprob `json:"content"`
	Refusal *string   `json:"refusal"`
}

// Logprob is an id of an answer with the likeliest ids in its place.
type Logprob struct {
	chatTop
	Top []chatTop `json:"top_logprobs"`
}

type chatTop struct {
	Token   string  `json:"token"`
	Logprob float64 `json:"logprob"`
	Bytes   octets  `json:"bytes"`
}

// octets is bytes as JSON has them in the OpenAI API: a list of numbers.
type octets []byte

// MarshalJSON writes null for no bytes.
func (o octets) MarshalJSON() ([]byte, error) {
	if o == nil {
		return []byte("null"), nil
	}
	out := []byte{'['}
	for i, b := range o {
		if i > 0 {
			out = append(out, ',')
		}
		out = strconv.AppendUint(out, uint64(b), 10)
	}
	return append(out, ']'), nil
}

func newChatLogprobs(list []answer.Scored) *chatLogprobs {
	if len(list) == 0 {
		return nil
	}
	return &chatLogprobs{Content: Logprobs(list)}
}

// Logprobs spells each id of the list.
func Logprobs(list []answer.Scored) []Logprob {
	out := make([]Logprob, len(list))
	for i, t := range list {
		out[i] = Logprob{chatTop{spelled(t.Bytes), finite(t.Logprob), t.Bytes}, make([]chatTop, len(t.Top))}
		for j, o := range t.Top {
			out[i].Top[j] = chatTop{spelled(o.Bytes), finite(o.Logprob), o.Bytes}
		}
	}
	return out
}

// textLogprobs is the older form, of /v1/completions: lists of equal length.
type textLogprobs struct {
	Offset  []int      `json:"text_offset"` // in characters
	Logprob []*float64 `json:"token_logprobs"`
	Token   []string   `json:"tokens"`
	Top     []*topMap  `json:"top_logprobs"`
}

// characters counts the characters of a text that comes in tokens, some of which may be pieces of one.
type characters int

// pass returns where the token begins: a piece of a character begins where the character does.
func (c *characters) pass(token []byte) int {
	at := int(*c)
	if len(token) > 0 && !utf8.RuneStart(token[0]) {
		at = max(0, at-1)
	}
	for _, b := range token {
		if utf8.RuneStart(b) {
			*c++
		}
	}
	return at
}

func newTextLogprobs(list []answer.Scored, place *characters) *textLogprobs {
	if len(list) == 0 {
		return nil
	}
	out := &textLogprobs{}
	for _, t := range list {
		out.Offset = append(out.Offset, place.pass(t.Bytes))
		out.Token = append(out.Token, spelled(t.Bytes))
		if t.Unknown {
			out.Logprob, out.Top = append(out.Logprob, nil), append(out.Top, nil)
			continue
		}
		p := finite(t.Logprob)
		out.Logprob = append(out.Logprob, &p)
		out.Top = append(out.Top, newTopMap(t.TokenLogprob))
	}
	return out
}

// topMap is an object from token to log probability, likeliest first.
type topMap []chatTop

// newTopMap has the likeliest ids and the one that was taken. Ids that are spelled alike share the first one's entry.
func newTopMap(t sdk.TokenLogprob) *topMap {
	m := &topMap{}
	for _, o := range t.Top {
		m.add(o.Bytes, o.Logprob)
	}
	m.add(t.Bytes, t.Logprob)
	return m
}

func (m *topMap) add(token []byte, logprob float64) {
	s := spelled(token)
	for _, e := range *m {
		if e.Token == s {
			return
		}
	}
	*m = append(*m, chatTop{Token: s, Logprob: finite(logprob)})
}

// MarshalJSON keeps the order, which a Go map would not.
func (m topMap) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	out.WriteByte('{')
	for i, e := range m {
		if i > 0 {
			out.WriteByte(',')
		}
		if err := enc.Encode(e.Token); err != nil {
			return nil, err
		}
		out.WriteByte(':')
		out.Write(strconv.AppendFloat(nil, e.Logprob, 'g', -1, 64))
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// spelled is a token as text; what is no whole character becomes U+FFFD.
func spelled(token []byte) string { return string(bytes.ToValidUTF8(token, []byte("\uFFFD"))) }

// finite brings a plugin's number into what a logarithm of a probability can be and JSON can spell.
func finite(logprob float64) float64 {
	if math.IsNaN(logprob) {
		return impossible
	}
	return min(max(logprob, impossible), 0)
}
