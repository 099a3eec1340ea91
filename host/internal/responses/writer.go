// writer.go turns the pieces of an answer into items, one open at a time, and tells of each as it begins, grows and ends.
package responses

import (
	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/openai"
	"github.com/inference-pio/inference-pio/host/internal/problem"
	"github.com/inference-pio/inference-pio/sdk"
)

// writer is one response. Only one item grows at a time: what is of another kind, or another call, ends it.
type writer struct {
	req    *request
	sent   int    // events
	output []item // those that have ended
	open   *growing
	scored []answer.Scored // of ids whose text is held back
	reason sdk.FinishReason
}

// growing is the item that is open.
type growing struct {
	kind   string // "reasoning", "message" or "function_call"
	id     string
	text   string
	scored []answer.Scored
	call   sdk.ToolCallDelta // with what has come of its arguments
	of     called            // the tool that is called
}

// Whole is the response at its end.
func (w *writer) Whole(a *answer.Answer, choices []answer.Collected) any {
	c := &choices[0]
	w.grow(answer.Piece{Reasoning: c.Reasoning.String()})
	w.grow(answer.Piece{Text: c.Text.String(), Calls: c.Calls, Scored: c.Scored[c.Thought:]})
	w.end(c.Finish)
	return w.req.ended(a, w.outputs(), c.Finish)
}

// outputs is never null.
func (w *writer) outputs() []item { return append([]item{}, w.output...) }

// Framing has names, by which some clients choose the type.
func (*writer) Framing() answer.Framing { return answer.NamedEvents }

// Begin sends the response without anything in it.
func (w *writer) Begin(a *answer.Answer) []answer.Event {
	begun := w.req.begun(a)
	var out []answer.Event
	w.tell(&out, event{Type: "response.created", Response: &begun})
	w.tell(&out, event{Type: "response.in_progress", Response: &begun})
	return out
}

// Piece sends what a piece adds to the items.
func (w *writer) Piece(_ *answer.Answer, p answer.Piece) []answer.Event {
	out := w.grow(p)
	if p.Finish != nil {
		w.reason = p.Finish.Reason
		out = append(out, w.end(w.reason)...)
	}
	return out
}

// End sends the whole response.
func (w *writer) End(a *answer.Answer) (out []answer.Event) {
	o := w.req.ended(a, w.outputs(), w.reason)
	w.tell(&out, event{Type: "response." + o.Status, Response: &o})
	return out
}

// Fail sends what there is of the response, and the error in the two shapes that clients look for.
func (w *writer) Fail(a *answer.Answer, e *problem.Error) (out []answer.Event) {
	out = w.end(sdk.FinishLength)
	o := w.req.broken(a, w.outputs(), e)
	w.tell(&out, event{Type: "response.failed", Response: &o})
	w.tell(&out, event{Type: "error", Code: o.Error.Code, Message: e.Message, Param: e.Field, Error: openai.NewErrorBody(e).Error})
	return out
}

// event is any of the stream's; the fields that are not its own are left out.
type event struct {
	Type         string            `json:"type"`
	Sequence     int               `json:"sequence_number"`
	Response     *object           `json:"response,omitempty"`
	ItemID       string            `json:"item_id,omitempty"`
	OutputIndex  *int              `json:"output_index,omitempty"`
	ContentIndex *int              `json:"content_index,omitempty"`
	SummaryIndex *int              `json:"summary_index,omitempty"`
	Item         *item             `json:"item,omitempty"`
	Part         *part             `json:"part,omitempty"`
	Delta        *string           `json:"delta,omitempty"`
	Text         *string           `json:"text,omitempty"`
	Name         string            `json:"name,omitempty"`
	Arguments    *string           `json:"arguments,omitempty"`
	Input        *string           `json:"input,omitempty"`
	Logprobs     *[]openai.Logprob `json:"logprobs,omitempty"`

	Code    string `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
	Param   string `json:"param,omitempty"`
	Error   any    `json:"error,omitempty"`
}

func (w *writer) tell(out *[]answer.Event, e event) {
	e.Sequence = w.sent
	w.sent++
	*out = append(*out, answer.Event{Name: e.Type, Data: e})
}

// ofItem is an event of the open item; of its only part, if in names where that lies.
func (w *writer) ofItem(kind string, in ...func(*event, *int)) event {
	index, first := len(w.output), 0
	e := event{Type: kind, ItemID: w.open.id, OutputIndex: &index}
	for _, at := range in {
		at(&e, &first)
	}
	return e
}

func inContent(e *event, i *int) { e.ContentIndex = i }
func inSummary(e *event, i *int) { e.SummaryIndex = i }

// grow adds a piece to the item that it belongs to.
func (w *writer) grow(p answer.Piece) (out []answer.Event) {
	if p.Reasoning != "" {
		w.be(&out, "reasoning", sdk.ToolCallDelta{})
		w.open.text += p.Reasoning
		w.scored = nil // they are of what was thought, or of its end
		e := w.ofItem("response.reasoning_summary_text.delta", inSummary)
		e.Delta = &p.Reasoning
		w.tell(&out, e)
	} else {
		w.scored = append(w.scored, p.Scored...)
	}
	if p.Text != "" {
		w.be(&out, "message", sdk.ToolCallDelta{})
		e := w.ofItem("response.output_text.delta", inContent)
		logprobs := openai.Logprobs(w.scored)
		e.Delta, e.Logprobs = &p.Text, &logprobs
		w.tell(&out, e)
		w.open.text += p.Text
		w.open.scored, w.scored = append(w.open.scored, w.scored...), nil
	}
	for _, c := range answer.Joined(nil, p.Calls) {
		w.be(&out, "function_call", c)
		w.open.call.Arguments += c.Arguments
		if w.open.of.custom { // whose input is known when its string is whole
			continue
		}
		e := w.ofItem("response.function_call_arguments.delta")
		e.Delta = &c.Arguments
		w.tell(&out, e)
	}
	return out
}

// be opens an item of a kind, unless it is open.
func (w *writer) be(out *[]answer.Event, kind string, call sdk.ToolCallDelta) {
	if o := w.open; o != nil && o.kind == kind && (kind != "function_call" || o.call.Index == call.Index) {
		return
	}
	w.close(out, completed)
	prefix, of := map[string]string{"reasoning": "rs_", "message": "msg_", "function_call": "fc_"}[kind], w.req.of(call.Name)
	if of.custom {
		prefix = "ctc_"
	}
	call.Arguments = ""
	w.open = &growing{kind: kind, id: answer.NewID(prefix), call: call, of: of}
	var begun item
	switch kind {
	case "reasoning":
		begun = newReasoning(w.open.id, inProgress)
	case "message":
		begun = newMessage(w.open.id, inProgress)
	default:
		begun = newCall(w.open.id, inProgress, of, call)
	}
	w.tell(out, w.itself("response.output_item.added", begun))
	switch kind {
	case "reasoning":
		e := w.ofItem("response.reasoning_summary_part.added", inSummary)
		e.Part = &part{Type: "summary_text"}
		w.tell(out, e)
	case "message":
		e := w.ofItem("response.content_part.added", inContent)
		empty := outputText("", nil)
		e.Part = &empty
		w.tell(out, e)
	}
}

// itself is an event that has the item in it.
func (w *writer) itself(kind string, i item) event {
	index := len(w.output)
	return event{Type: kind, OutputIndex: &index, Item: &i}
}

// close ends the open item, if there is one.
func (w *writer) close(out *[]answer.Event, status string) {
	if w.open == nil {
		return
	}
	o := w.open
	var done item
	switch o.kind {
	case "reasoning":
		e := w.ofItem("response.reasoning_summary_text.done", inSummary)
		e.Text = &o.text
		w.tell(out, e)
		e = w.ofItem("response.reasoning_summary_part.done", inSummary)
		e.Part = &part{Type: "summary_text", Text: o.text}
		w.tell(out, e)
		done = newReasoning(o.id, status, o.text)
	case "message":
		whole := outputText(o.text, append(o.scored, w.scored...)) // with those of its end
		w.scored = nil
		e := w.ofItem("response.output_text.done", inContent)
		e.Text, e.Logprobs = &o.text, whole.Logprobs
		w.tell(out, e)
		e = w.ofItem("response.content_part.done", inContent)
		e.Part = &whole
		w.tell(out, e)
		done = newMessage(o.id, status, whole)
	default:
		done = newCall(o.id, completed, o.of, o.call) // what was cut is no call
		w.called(out, done)
	}
	w.tell(out, w.itself("response.output_item.done", done))
	w.output, w.open = append(w.output, done), nil
}

// called tells that a call is whole: of a custom tool all at once.
func (w *writer) called(out *[]answer.Event, done item) {
	if done.Input == nil {
		e := w.ofItem("response.function_call_arguments.done")
		e.Name, e.Arguments = done.Name, done.Arguments
		w.tell(out, e)
		return
	}
	e := w.ofItem("response.custom_tool_call_input.delta")
	e.Delta = done.Input
	w.tell(out, e)
	e = w.ofItem("response.custom_tool_call_input.done")
	e.Input = done.Input
	w.tell(out, e)
}

// end closes the last item: an answer that was cut has cut it.
func (w *writer) end(reason sdk.FinishReason) (out []answer.Event) {
	status := completed
	if reason == sdk.FinishLength {
		status = cut
	}
	w.close(&out, status)
	return out
}
