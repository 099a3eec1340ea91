// decoder.go turns the ids of one answer into what its reader sees.

package text

import (
	"slices"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/chat"
	"github.com/inference-pio/inference-pio/sdk/engine"
	"github.com/inference-pio/inference-pio/sdk/tokenizer"
)

// Decoder is a pure function of the ids pushed: a new one that is pushed the same ids says the same.
type Decoder struct {
	model     *Model
	stream    *tokenizer.Stream // nil without a tokenizer
	stop      *stopper
	reasoning *chat.Reasoning // nil if the answer has none
	eos       []int32
	thoughts  int // ids of reasoning
	next      int // index of the next id
	offset    int // bytes decoded
}

// promptTail is how many ids of the prompt are looked at for an opening tag: enough if its every byte were a token.
const promptTail = 16

// NewDecoder starts the answer to a prompt.
func (m *Model) NewDecoder(req sdk.GenerateRequest, prompt []int32) (*Decoder, error) {
	stop, err := newStopper(req.Stop)
	if err != nil {
		return nil, err
	}
	if m.tokenizer == nil && len(req.Stop) > 0 {
		return nil, errNoTokenizer("stop")
	}
	d := &Decoder{model: m, stop: stop}
	if m.tokenizer != nil {
		d.stream = m.tokenizer.NewStream(true)
	}
	if !req.IgnoreEOS {
		d.eos = m.defaults.eos
	}
	if reasons := req.Chat != nil || req.Resume != nil && req.Resume.InReasoning; reasons && m.tags.open != "" {
		// from the ids, so that a resumed answer sees the prompt's end as it was
		tail := m.tokenizer.Decode(prompt[max(0, len(prompt)-promptTail):], false)
		d.reasoning = chat.NewReasoning(tail, m.tags.open, m.tags.close)
		d.reasoning.EndBy(m.tags.call)
	}
	return d, nil
}

// InReasoning says that the answer is inside a reasoning block, as it may be from the start.
func (d *Decoder) InReasoning() bool { return d.reasoning != nil && d.reasoning.Inside() }

// Push takes the next id and returns its event. After stop the answer is complete, and no further id is wanted.
func (d *Decoder) Push(s engine.Sampled) (t sdk.Token, stop bool) {
	t = sdk.Token{Index: d.next, ID: s.ID, Offset: d.offset, Logprob: d.spell(s.Logprob, s.ID)}
	d.next++
	reasoning := d.InReasoning()
	if d.stream != nil && !slices.Contains(d.eos, s.ID) {
		text := d.stream.Push(s.ID)
		d.offset += len(text)
		piece := d.split(d.stop.push(text))
		t.Text, t.Reasoning = piece.Text, piece.Reasoning
	}
	if reasoning && d.InReasoning() {
		d.thoughts++ // the tags are not counted
	}
	return t, d.stop.found
}

// Finish returns the last event: what was held back, and the counts.
func (d *Decoder) Finish(r engine.Result, prompt int) sdk.Finish {
	f := sdk.Finish{Reason: r.Reason, PromptTokens: prompt, CompletionTokens: r.Completion, CachedTokens: r.Cached, ReasoningTokens: d.thoughts}
	if d.stream == nil {
		return f
	}
	rest := ""
	if !d.stop.found {
		rest = d.stop.push(d.stream.Flush()) // may complete a stop string
		rest += d.stop.flush()
	}
	piece := d.split(rest)
	f.Text, f.Reasoning = piece.Text, piece.Reasoning
	if d.reasoning != nil {
		last := d.reasoning.Flush()
		f.Text, f.Reasoning = f.Text+last.Text, f.Reasoning+last.Reasoning
	}
	return f
}

func (d *Decoder) split(text string) chat.Piece {
	switch {
	case text == "":
		return chat.Piece{}
	case d.reasoning == nil:
		return chat.Piece{Text: text}
	}
	return d.reasoning.Push(text)
}

// spell adds what the engine cannot know: the bytes of the tokens.
func (d *Decoder) spell(l *sdk.TokenLogprob, id int32) *sdk.TokenLogprob {
	if l == nil {
		return nil
	}
	l.Bytes = d.model.bytes(id)
	for i := range l.Top {
		l.Top[i].Bytes = d.model.bytes(l.Top[i].ID)
	}
	return l
}
