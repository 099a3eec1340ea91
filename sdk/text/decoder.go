// decoder.go turns the ids of one answer into what its reader sees.

package text

import (
	"context"
	"slices"
	"strings"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/chat"
	"github.com/inference-pio/inference-pio/sdk/engine"
	"github.com/inference-pio/inference-pio/sdk/grammar"
	"github.com/inference-pio/inference-pio/sdk/tokenizer"
)

// Decoder is a pure function of the ids pushed: a new one that is pushed the same ids says the same.
type Decoder struct {
	model    *Model
	stream   *tokenizer.Stream // nil without a tokenizer
	stop     *stopper
	output   *chat.Output // nil if the answer is text and nothing else
	single   bool         // the first tool call ends the answer
	use      toolUse
	eos      []int32
	forced   []int32
	least    int  // ids whose text does not stop the answer
	thoughts int  // ids of reasoning
	next     int  // index of the next id
	offset   int  // bytes decoded
	thought  bool // the prompt ends behind a thought, so that the answer begins with none

	held    *held            // the language of the answer; nil if it is free
	matcher *grammar.Matcher // then, where in it the answer is
	jumps   jumper           // and what has to come
	words   strings.Builder  // the answer's text, if it is checked in the end
	said    []chat.CallDelta // its calls, if they are
	err     error            // an id was not allowed
}

// promptTail is how many ids of the prompt are looked at for an opening tag: enough if its every byte were a token.
const promptTail = 16

// NewDecoder starts the answer to a prompt.
func (m *Model) NewDecoder(ctx context.Context, req sdk.GenerateRequest, prompt []int32) (*Decoder, error) {
	stop, err := newStopper(req.Stop)
	if err != nil {
		return nil, err
	}
	d := &Decoder{model: m, stop: stop, least: req.MinTokens}
	if !req.IgnoreEOS {
		d.eos = m.defaults.eos
	}
	if m.tokenizer == nil {
		if len(req.Stop) > 0 {
			return nil, errNoTokenizer("stop")
		}
		return d, nil
	}
	d.stream = m.tokenizer.NewStream(true)
	if req.Chat != nil || req.Resume != nil && req.Resume.InReasoning {
		err = d.read(ctx, req, prompt)
	}
	return d, err
}

// read prepares for an answer that has parts. All it takes from the prompt is its ids, so that a resumed answer sees the
// prompt's end as it was.
func (d *Decoder) read(ctx context.Context, req sdk.GenerateRequest, prompt []int32) error {
	m, c := d.model, sdk.Chat{}
	if req.Chat != nil {
		c = *req.Chat
	}
	use, err := m.readTools(c)
	if err != nil {
		return err
	}
	tail := m.tokenizer.Decode(prompt[max(0, len(prompt)-promptTail):], false)
	if d.forced, err = m.encode(ctx, "tool_choice", m.opening(use, tail)); err != nil {
		return err
	}
	d.thought = m.tags.close != "" && strings.HasSuffix(strings.TrimRight(tail, " \t\r\n"), m.tags.close)
	d.single, d.use = c.SingleCall || use.single, use
	d.output = chat.NewOutput(chat.OutputConfig{Prompt: tail, Open: m.tags.open, Close: m.tags.close,
		Format: use.format, Tools: c.Tools, Single: d.single, Forced: use.name, NewID: callNames(req, prompt)})
	return nil
}

// Forced are the ids that the answer must begin with.
func (d *Decoder) Forced() []int32 { return d.forced }

// InReasoning says that the answer is inside a reasoning block, as it may be from the start.
func (d *Decoder) InReasoning() bool { return d.output != nil && d.output.InReasoning() }

// Push takes the next id and returns its event. After stop the answer is complete, and no further id is wanted.
func (d *Decoder) Push(s engine.Sampled) (t sdk.Token, stop bool) {
	t = sdk.Token{Index: d.next, ID: s.ID, Offset: d.offset, Logprob: s.Logprob}
	if s.Logprob != nil {
		d.model.spell(s.Logprob, s.ID)
	}
	d.next++
	reasoning := d.InReasoning()
	if d.stream != nil && !slices.Contains(d.eos, s.ID) {
		text := d.stream.Push(s.ID)
		d.offset += len(text)
		if d.next > max(len(d.forced), d.least) { // what the model did not choose to say does not stop it
			text = d.stop.push(text)
		}
		t.Text, t.Reasoning, t.ToolCalls = d.split(text)
	}
	if reasoning && d.InReasoning() {
		d.thoughts++ // the tags are not counted
	}
	final := d.advance(s.ID)
	return t, d.stop.found != "" || d.single && d.calls() > 0 || final
}

// Finish returns the last event: what was held back, and the counts.
func (d *Decoder) Finish(r engine.Result, prompt int) sdk.Finish {
	f := sdk.Finish{Reason: r.Reason, PromptTokens: prompt, CompletionTokens: r.Completion, CachedTokens: r.Cached, ReasoningTokens: d.thoughts, Queued: r.Queued}
	if d.stream != nil {
		rest := ""
		if d.stop.found == "" {
			rest = d.stop.push(d.stream.Flush()) // may complete a stop string
			rest += d.stop.flush()
		}
		f.Text, f.Reasoning, f.ToolCalls = d.split(rest)
	}
	if d.output != nil {
		last := d.output.Flush(r.Reason == sdk.FinishStop && d.stop.found == "") // a stop string may stand in a value
		d.note(last.Text)
		f.Text, f.Reasoning = f.Text+last.Text, f.Reasoning+last.Reasoning
		f.ToolCalls = append(f.ToolCalls, d.deltas(last.Calls)...)
	}
	d.look()
	if f.Reason == sdk.FinishStop {
		f.Stop = d.stop.found
		if d.calls() > 0 {
			f.Reason = sdk.FinishToolCalls
		}
	}
	return f
}

// split tells the parts of the answer's next words apart.
func (d *Decoder) split(text string) (words, reasoning string, calls []sdk.ToolCallDelta) {
	if d.output == nil || text == "" {
		d.note(text)
		return text, "", nil
	}
	delta := d.output.Push(text)
	d.note(delta.Text)
	return delta.Text, delta.Reasoning, d.deltas(delta.Calls)
}

// note keeps the words of an answer that is checked in the end.
func (d *Decoder) note(text string) {
	if d.held != nil && d.held.value != nil {
		d.words.WriteString(text)
	}
}

func (d *Decoder) deltas(calls []chat.CallDelta) []sdk.ToolCallDelta {
	var out []sdk.ToolCallDelta
	for _, c := range calls {
		if d.single && c.Index > 0 {
			break // written in one breath with the first
		}
		d.keep(c)
		out = append(out, sdk.ToolCallDelta(c))
	}
	return out
}

func (d *Decoder) calls() int {
	if d.output == nil {
		return 0
	}
	return d.output.Calls()
}
