package chat

import (
	"encoding/json"
	"strings"
)

// Delta is what became certain with a push.
type Delta struct {
	Text, Reasoning string // words of the answer, and of its reasoning
	Calls           []CallDelta
}

// Output reads an answer: reasoning first, then text and tool calls.
type Output struct {
	reasoning *reasoning
	thought   *thought // of the reasoning; nil without tools
	tools     *toolParser
}

// OutputConfig says how an answer is written.
type OutputConfig struct {
	Prompt      string // as rendered; it may end inside the reasoning
	Open, Close string // the tags around the reasoning; empty if the model knows none
	Format      ToolFormat
	Tools       json.RawMessage        // the request's; without tools nothing is taken for a call
	Single      bool                   // the first call ends the answer
	Forced      string                 // the function whose call the answer was made to begin with; "" for none
	NewID       func(index int) string // names calls; nil means random names
}

// HasTools says whether tools, a request's array, has any.
func HasTools(tools json.RawMessage) bool {
	s, array := strings.CutPrefix(strings.TrimSpace(string(tools)), "[")
	return array && strings.TrimSpace(s) != "]"
}

// NewOutput begins an answer.
func NewOutput(c OutputConfig) *Output {
	if !HasTools(c.Tools) {
		c.Format = NoTools
	}
	parser := newToolParser(c.Format, c.Tools, c.NewID)
	o := &Output{reasoning: newReasoning(c.Prompt, c.Open, c.Close), tools: parser}
	parser.forceFirst(c.Forced)
	parser.single = c.Single
	if c.Format != NoTools {
		o.thought = &thought{open: toolOpen, newParser: func(before quote) *toolParser {
			return &toolParser{syntax: parser.syntax, tools: parser.tools, quote: before, newID: func(int) string { return "" }}
		}}
	}
	return o
}

// Push takes the next words of the answer, tags included.
func (o *Output) Push(text string) Delta {
	p := o.reasoning.push(text)
	var d Delta
	d.Reasoning = p.Reasoning
	if o.thought != nil {
		d.Reasoning = o.thought.push(p.Reasoning)
		if !o.reasoning.inside() {
			d.Reasoning += o.thought.close()
		}
	}
	d.Text, d.Calls = o.tools.push(p.Text)
	return d
}

// Flush ends the answer. whole says that the model ended it itself; an answer that was cut off makes no call of what is not closed.
func (o *Output) Flush(whole bool) Delta {
	inside := o.reasoning.inside()
	p := o.reasoning.flush()
	var d Delta
	d.Reasoning = p.Reasoning
	if o.thought != nil && inside {
		d.Reasoning = o.thought.push(p.Reasoning)
		words, calls := o.thought.end(whole)
		d.Reasoning, p.Text = d.Reasoning+words, calls
	}
	d.Text, d.Calls = o.tools.push(p.Text)
	text, calls := o.tools.flush(whole)
	d.Text, d.Calls = d.Text+text, append(d.Calls, calls...)
	return d
}

// InReasoning says that the answer is in its reasoning so far.
func (o *Output) InReasoning() bool { return o.reasoning.inside() }

// Calls is how many tool calls there were so far; an answer with any ends with the reason "tool_calls".
func (o *Output) Calls() int { return o.tools.calls() }
