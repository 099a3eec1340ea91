// request.go is what a body asks for, in no protocol's words, and what becomes of it: one request to the model for each choice.
package answer

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/host/internal/problem"
	"github.com/inference-pio/inference-pio/sdk"
)

// Request is what one body asks for, before it is split into choices.
type Request struct {
	Model  string
	Stream bool

	Chat     *sdk.Chat // a conversation; nil where there are prompts
	Pictures []Picture // of the conversation, not fetched yet
	Prompts  []Prompt

	Sampling  sdk.Sampling
	Seeded    bool // the client chose the seed
	N         int  // answers to each prompt, at least 1
	MaxTokens int  // 0: what the context holds
	MinTokens int
	Stop      []string
	IgnoreEOS bool

	Constraint    *sdk.Constraint // what the answer is held to, nil if it is free
	ConstrainedBy string          // the field that asked for it

	Echo    bool // the prompt comes before the answer
	Nothing bool // the prompt alone is wanted: what a plugin cannot leave out is dropped on its way

	Keep *time.Duration // how long a model that is loaded on demand stays after it, less than 0: for ever; nil: as its entry says

	// Instead is the whole answer to a request for nothing but that the model is there, or with Keep 0 that it leaves; nil for others.
	Instead func(leaves bool) any
}

// Prompt is a raw one: text, or ids.
type Prompt struct {
	Text   string
	Tokens []int32 // nil for text
}

// Picture is one that a message has.
type Picture struct {
	Path string // of its URL in the body, such as "messages[0].content[1].image_url"
	URL  string
}

const (
	// MaxPictures is how many one request may have: each may cost a download and a pass through a tower.
	MaxPictures = 128
	// MaxMessage is what a request may weigh on its way to a plugin; the rest of a message is for ids when it is resumed.
	MaxMessage = sdk.MaxMessageBytes - 4<<20
	// MaxCopies bounds what the pictures of all choices weigh together, each of which is sent to the plugin by itself.
	MaxCopies = 256 << 20
)

// NeedsModel is the error of a request that names none.
func (r *Request) NeedsModel() error {
	if r.Model == "" {
		return problem.Invalid("model", "model is missing; expected the id of a model, as /v1/models lists them")
	}
	return nil
}

// SettleLength compares the bounds of an answer's length, when both are known.
func (r *Request) SettleLength() error {
	if r.MaxTokens != 0 && r.MinTokens > r.MaxTokens {
		return problem.Invalid("min_tokens", "min_tokens is %d, and the answer may have %d tokens at most", r.MinTokens, r.MaxTokens)
	}
	return nil
}

// Choices are the requests to the model: N to each prompt, which their Choice tells apart. A seed that the client chose
// holds for every prompt, so that a prompt's answer does not depend on its neighbours; a drawn one differs, so that equal
// prompts have different answers.
func (r *Request) Choices(id string) []sdk.GenerateRequest {
	asked := []sdk.GenerateRequest{{Chat: r.Chat}}
	if r.Chat == nil {
		asked = make([]sdk.GenerateRequest, len(r.Prompts))
		for i, p := range r.Prompts {
			asked[i].Tokens, asked[i].Text, asked[i].HasText = p.Tokens, p.Text, p.Tokens == nil
		}
	}
	list := make([]sdk.GenerateRequest, 0, len(asked)*r.N)
	for _, g := range asked {
		g.Sampling, g.MaxTokens, g.MinTokens, g.Stop, g.IgnoreEOS = r.Sampling, r.MaxTokens, r.MinTokens, r.Stop, r.IgnoreEOS
		g.Constraint = r.Constraint
		g.PromptLogprobs = r.Echo && r.Sampling.Logprobs
		r.drawSeed(&g)
		for g.Choice = range r.N {
			list = append(list, g)
		}
	}
	for i := range list {
		list[i].ID = id
		if len(list) > 1 {
			list[i].ID = fmt.Sprintf("%s-%d", id, i)
		}
	}
	return list
}

func (r *Request) drawSeed(g *sdk.GenerateRequest) {
	if r.Seeded {
		return
	}
	var b [8]byte
	_, _ = rand.Read(b[:]) // crypto/rand never fails
	g.Sampling.Seed = binary.LittleEndian.Uint64(b[:])
}

// NewID is unique for all time: answers of several hosts meet in one log.
func NewID(prefix string) string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // crypto/rand never fails
	return prefix + hex.EncodeToString(b[:])
}

// Words is how many bytes the request holds, but for its pictures.
func (r *Request) Words() int64 {
	n := 0
	for _, p := range r.Prompts {
		n += len(p.Text) + 4*len(p.Tokens)
	}
	if c := r.Constraint; c != nil {
		n += len(c.JSONSchema) + len(c.Regex) + len(c.Grammar)
	}
	if c := r.Chat; c != nil {
		n += len(c.Messages) + len(c.Tools) + len(c.Kwargs)
	}
	return int64(n)
}

// fits refuses what no plugin could be told of. field is the one that has the conversation.
func (r *Request) fits(field string) error {
	for _, p := range r.Prompts {
		if n := len(p.Text) + 4*len(p.Tokens); n > MaxMessage {
			return problem.Invalid("prompt", "prompt has %d bytes; expected at most %s, which is what a plugin takes", n, config.FormatSize(MaxMessage))
		}
	}
	if r.Chat == nil {
		return nil
	}
	pictures, words := 0, len(r.Chat.Messages)+len(r.Chat.Tools)+len(r.Chat.Kwargs)
	for _, f := range r.Chat.Images {
		pictures += len(f)
	}
	switch {
	case pictures+words > MaxMessage:
		return problem.Invalid(field, "%s has %d bytes and %d of pictures; expected at most %s together, which is what a plugin takes",
			field, words, pictures, config.FormatSize(MaxMessage))
	case pictures*r.N > MaxCopies:
		return problem.Invalid("n", "n is %d, and %d bytes of pictures are sent to the plugin for each answer; expected at most %s together",
			r.N, pictures, config.FormatSize(MaxCopies))
	}
	return nil
}

// Constrain notes what a field asks for. Two fields that ask contradict each other, or one would be ignored.
func (r *Request) Constrain(field string, c sdk.Constraint) error {
	if r.Constraint != nil {
		return fmt.Errorf("is given beside %s; give one of them", r.ConstrainedBy)
	}
	r.Constraint, r.ConstrainedBy = &c, field
	return nil
}

// held says that a plugin does what a constraint asks. One that was written before there were any does not know of them.
func (r *Request) held(e sdk.Event) error {
	if r.Constraint == nil || e.Start == nil || e.Start.Constrained {
		return nil
	}
	return problem.New(http.StatusBadRequest, r.ConstrainedBy, "not_supported", "the plugin of this model does not hold answers to a language; leave out "+r.ConstrainedBy)
}

// inItsWords blames the client's field for what a plugin says of a constraint.
func (r *Request) inItsWords(err error) error {
	var told *sdk.Error
	if r.Constraint == nil || !errors.As(err, &told) || told.Field != "constraint" {
		return err
	}
	renamed := *told
	renamed.Field = r.ConstrainedBy
	return &renamed
}
