// writer.go spells an answer as a message of blocks, of which one is open at a time.
package anthropic

import (
	"encoding/json"

	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/problem"
	"github.com/inference-pio/inference-pio/sdk"
)

// signature stands at the end of a thought: clients send a thought back only with one. Nobody checks it.
const signature = "unsigned"

// message is a whole one, or as it begins.
type message struct {
	ID      string  `json:"id"`
	Type    string  `json:"type"`
	Role    string  `json:"role"`
	Model   string  `json:"model"`
	Content []block `json:"content"`
	ending
	Usage usage `json:"usage"`
}

// block is a text, a thought or a call.
type block struct {
	Type      string          `json:"type"`
	Text      *string         `json:"text,omitempty"`
	Thinking  *string         `json:"thinking,omitempty"`
	Signature *string         `json:"signature,omitempty"`
	ID        string          `json:"id,omitempty"`
	Name      string          `json:"name,omitempty"`
	Input     json.RawMessage `json:"input,omitempty"`
}

// usage has the tokens of the prompt that were cached apart from the others.
type usage struct {
	Input        int      `json:"input_tokens"`
	CacheWritten int      `json:"cache_creation_input_tokens"` // nothing costs more for being kept
	CacheRead    int      `json:"cache_read_input_tokens"`
	Output       int      `json:"output_tokens"`
	Details      *details `json:"output_tokens_details,omitempty"`
}

type details struct {
	Thinking int `json:"thinking_tokens"`
}

func newUsage(u answer.Usage) usage {
	return usage{Input: u.Prompt - u.Cached, CacheRead: u.Cached, Output: u.Generated, Details: &details{u.Reasoning}}
}

// newEnding says why the answer ended, in Anthropic's words.
func newEnding(r sdk.FinishReason, stop string) ending {
	reason := map[sdk.FinishReason]string{sdk.FinishStop: "end_turn", sdk.FinishLength: "max_tokens", sdk.FinishToolCalls: "tool_use"}[r]
	if r != sdk.FinishStop || stop == "" {
		return ending{StopReason: &reason}
	}
	reason = "stop_sequence"
	return ending{&reason, &stop}
}

// writer is one message.
type writer struct {
	req    *request
	blocks int    // that have been opened
	open   string // the type of the block that is open, "" if none is
	call   int    // the index of the call that is open
	ended  ending
}

// Whole is the message at its end.
func (w *writer) Whole(a *answer.Answer, choices []answer.Collected) any {
	c := &choices[0]
	m := w.begun(a)
	m.Content = []block{}
	if thought := c.Reasoning.String(); thought != "" {
		s := signature
		if w.req.silent {
			thought = ""
		}
		m.Content = append(m.Content, block{Type: "thinking", Thinking: &thought, Signature: &s})
	}
	if text := c.Text.String(); text != "" {
		m.Content = append(m.Content, block{Type: "text", Text: &text})
	}
	for _, d := range c.Calls {
		m.Content = append(m.Content, block{Type: "tool_use", ID: d.ID, Name: d.Name, Input: inputOf(d.Arguments)})
	}
	m.ending, m.Usage = newEnding(c.Finish, c.Stop), newUsage(a.Tally.Usage)
	return m
}

// inputOf is a call's arguments as an object, which they are but for a bug of the plugin.
func inputOf(arguments string) json.RawMessage {
	var object map[string]json.RawMessage
	if json.Unmarshal([]byte(arguments), &object) != nil || object == nil {
		return json.RawMessage("{}")
	}
	return json.RawMessage(arguments)
}

func (w *writer) begun(a *answer.Answer) message {
	return message{ID: a.ID, Type: "message", Role: "assistant", Model: w.req.Model, Content: []block{}}
}

// Framing has names, by which clients choose the type.
func (*writer) Framing() answer.Framing { return answer.NamedEvents }

// Begin has nothing to say: how long the prompt is comes with the first piece.
func (*writer) Begin(*answer.Answer) []answer.Event { return nil }

// Ping is for the time in which a model is loaded.
func (*writer) Ping() (out []answer.Event) {
	tell(&out, event{Type: "ping"})
	return out
}

// event is any of the stream's; the fields that are not its own are left out.
type event struct {
	Type         string       `json:"type"`
	Message      *message     `json:"message,omitempty"`
	Index        *int         `json:"index,omitempty"`
	ContentBlock *block       `json:"content_block,omitempty"`
	Delta        any          `json:"delta,omitempty"`
	Usage        *usage       `json:"usage,omitempty"`
	Error        *errorObject `json:"error,omitempty"`
}

// delta is what is added to a block.
type delta struct {
	Type      string  `json:"type"`
	Text      *string `json:"text,omitempty"`
	Thinking  *string `json:"thinking,omitempty"`
	Signature *string `json:"signature,omitempty"`
	JSON      *string `json:"partial_json,omitempty"`
}

// ending is what is known of a message at its end.
type ending struct {
	StopReason   *string `json:"stop_reason"`
	StopSequence *string `json:"stop_sequence"`
}

func tell(out *[]answer.Event, e event) {
	*out = append(*out, answer.Event{Name: e.Type, Data: e})
}

// Piece sends what a piece adds to the blocks.
func (w *writer) Piece(a *answer.Answer, p answer.Piece) (out []answer.Event) {
	if p.Opens {
		m := w.begun(a)
		m.Usage.Input = len(p.Prompt)
		tell(&out, event{Type: "message_start", Message: &m})
	}
	if p.Reasoning != "" {
		none := ""
		w.be(&out, block{Type: "thinking", Thinking: &none, Signature: &none}, 0)
		if !w.req.silent {
			w.add(&out, delta{Type: "thinking_delta", Thinking: &p.Reasoning})
		}
	}
	if p.Text != "" {
		none := ""
		w.be(&out, block{Type: "text", Text: &none}, 0)
		w.add(&out, delta{Type: "text_delta", Text: &p.Text})
	}
	for _, c := range answer.Joined(nil, p.Calls) {
		w.be(&out, block{Type: "tool_use", ID: c.ID, Name: c.Name, Input: json.RawMessage("{}")}, c.Index)
		w.add(&out, delta{Type: "input_json_delta", JSON: &c.Arguments})
	}
	if p.Finish != nil {
		w.close(&out)
		w.ended = newEnding(p.Finish.Reason, p.Finish.Stop)
	}
	return out
}

// be opens a block, unless one of its kind, and of the same call, is open.
func (w *writer) be(out *[]answer.Event, b block, call int) {
	if w.open == b.Type && w.call == call {
		return
	}
	w.close(out)
	w.open, w.call = b.Type, call
	index := w.blocks
	tell(out, event{Type: "content_block_start", Index: &index, ContentBlock: &b})
}

func (w *writer) add(out *[]answer.Event, d delta) {
	index := w.blocks
	tell(out, event{Type: "content_block_delta", Index: &index, Delta: d})
}

// close ends the open block, if there is one.
func (w *writer) close(out *[]answer.Event) {
	if w.open == "" {
		return
	}
	if w.open == "thinking" {
		s := signature
		w.add(out, delta{Type: "signature_delta", Signature: &s})
	}
	index := w.blocks
	tell(out, event{Type: "content_block_stop", Index: &index})
	w.open, w.blocks = "", w.blocks+1
}

// End says why the message ended, and what it took.
func (w *writer) End(a *answer.Answer) (out []answer.Event) {
	u := newUsage(a.Tally.Usage)
	tell(&out, event{Type: "message_delta", Delta: w.ended, Usage: &u})
	tell(&out, event{Type: "message_stop"})
	return out
}

// Fail is the last of a stream that was cut: no message_stop follows.
func (w *writer) Fail(_ *answer.Answer, e *problem.Error) (out []answer.Event) {
	_, body := spell(e)
	tell(&out, event{Type: "error", Error: &body.Error})
	return out
}
