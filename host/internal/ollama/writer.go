// writer.go spells an answer as lines of JSON, of which the last has the counts.
package ollama

import (
	"encoding/json"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/openai"
	"github.com/inference-pio/inference-pio/host/internal/problem"
	"github.com/inference-pio/inference-pio/sdk"
)

// line is a piece of an answer, or all of it.
type line struct {
	Model     string   `json:"model"`
	CreatedAt string   `json:"created_at"`
	Message   *message `json:"message,omitempty"`  // of a chat
	Response  *string  `json:"response,omitempty"` // of a text, with Thinking beside it
	Thinking  string   `json:"thinking,omitempty"`
	Done      bool     `json:"done"`
	Reason    string   `json:"done_reason,omitempty"`
	*counts
	Logprobs []openai.Logprob `json:"logprobs,omitempty"`
}

// counts are of the last line; times are in nanoseconds.
type counts struct {
	Total        int64 `json:"total_duration"`
	Load         int64 `json:"load_duration"` // not of the request's own
	Prompt       int   `json:"prompt_eval_count"`
	PromptTime   int64 `json:"prompt_eval_duration"`
	Generated    int   `json:"eval_count"`
	GenerateTime int64 `json:"eval_duration"`
}

type message struct {
	Role     string     `json:"role"`
	Content  string     `json:"content"`
	Thinking string     `json:"thinking,omitempty"`
	Calls    []toolCall `json:"tool_calls,omitempty"`
}

type toolCall struct {
	ID       string   `json:"id"`
	Function function `json:"function"`
}

type function struct {
	Index     int             `json:"index"`
	Name      string          `json:"name"`
	Arguments json.RawMessage `json:"arguments"`
}

// writer is of a chat, or of a text.
type writer struct {
	asked string // the name by which the client called the model
	chat  bool
	calls []sdk.ToolCallDelta // that have begun and may go on
	last  sdk.FinishReason
}

func (w *writer) line(text, thinking string, calls []sdk.ToolCallDelta) line {
	l := line{Model: w.asked, CreatedAt: time.Now().UTC().Format(time.RFC3339Nano)}
	if !w.chat {
		l.Response, l.Thinking = &text, thinking
		return l
	}
	l.Message = &message{Role: "assistant", Content: text, Thinking: thinking}
	for _, c := range calls {
		l.Message.Calls = append(l.Message.Calls, toolCall{c.ID, function{c.Index, c.Name, objectOf(c.Arguments)}})
	}
	return l
}

// objectOf is a call's arguments as an object, which they are but for a bug of the plugin.
func objectOf(arguments string) json.RawMessage {
	var object map[string]json.RawMessage
	if json.Unmarshal([]byte(arguments), &object) != nil || object == nil {
		return json.RawMessage("{}")
	}
	return json.RawMessage(arguments)
}

// done makes a line the last.
func (l line) done(t *answer.Tally, reason sdk.FinishReason) line {
	l.Done, l.Reason = true, "stop"
	if reason == sdk.FinishLength {
		l.Reason = "length"
	}
	l.counts = &counts{
		Total: t.Took().Nanoseconds(), Prompt: t.Usage.Prompt, PromptTime: t.FirstToken().Nanoseconds(),
		Generated: t.Usage.Generated, GenerateTime: t.Decoding().Nanoseconds(),
	}
	return l
}

// loaded is the answer to a request without anything to say: the model is there, or leaves.
func (w *writer) loaded(leaves bool) any {
	l := w.line("", "", nil)
	l.Done, l.Reason = true, "load"
	if leaves {
		l.Reason = "unload"
	}
	return l
}

// Whole is one line with everything.
func (w *writer) Whole(a *answer.Answer, choices []answer.Collected) any {
	c := &choices[0]
	l := w.line(c.Text.String(), c.Reasoning.String(), c.Calls).done(a.Tally, c.Finish)
	if len(c.Scored) > 0 {
		l.Logprobs = openai.Logprobs(c.Scored)
	}
	return l
}

// Framing is of lines.
func (*writer) Framing() answer.Framing { return answer.Lines }

// Begin has nothing to say.
func (*writer) Begin(*answer.Answer) []answer.Event { return nil }

// Piece sends what a piece adds. A call is sent when no more can come of it.
func (w *writer) Piece(_ *answer.Answer, p answer.Piece) (out []answer.Event) {
	if p.Text != "" || p.Reasoning != "" || len(p.Scored) > 0 {
		l := w.line(p.Text, p.Reasoning, nil)
		if len(p.Scored) > 0 {
			l.Logprobs = openai.Logprobs(p.Scored)
		}
		out = append(out, answer.Event{Data: l})
	}
	w.calls = answer.Joined(w.calls, p.Calls)
	if whole := len(w.calls) - 1; whole > 0 {
		out = append(out, answer.Event{Data: w.line("", "", w.calls[:whole])})
		w.calls = w.calls[whole:]
	}
	if p.Finish == nil {
		return out
	}
	w.last = p.Finish.Reason
	if len(w.calls) > 0 {
		out = append(out, answer.Event{Data: w.line("", "", w.calls)})
	}
	return out
}

// End is the line with the counts.
func (w *writer) End(a *answer.Answer) []answer.Event {
	return []answer.Event{{Data: w.line("", "", nil).done(a.Tally, w.last)}}
}

// Fail is the last line of a stream that was cut.
func (*writer) Fail(_ *answer.Answer, e *problem.Error) []answer.Event {
	return []answer.Event{{Data: errorBody{e.Message}}}
}
