package main

// message is one of a conversation, as the API takes it.
type message struct {
	Role      string `json:"role"`
	Content   any    `json:"content"` // a string or []part
	Reasoning string `json:"reasoning_content,omitempty"`
}

// conversation is what has been said, and how the model is to answer.
type conversation struct {
	system string
	think  *bool // nil: as the checkpoint's template decides
	turns  []message

	attached []picture // to the next question
}

// asking is everything the model is given for its next answer.
func (c *conversation) asking(question string) []message {
	var list []message
	if c.system != "" {
		list = append(list, message{Role: "system", Content: c.system})
	}
	list = append(list, c.turns...)
	return append(list, message{Role: "user", Content: content(question, c.attached)})
}

// add keeps a question, with what was attached to it, and its answer.
func (c *conversation) add(question string, a answer) {
	c.turns = append(c.turns,
		message{Role: "user", Content: content(question, c.attached)},
		message{Role: "assistant", Content: a.text, Reasoning: a.reasoning})
	c.attached = nil
}

func (c *conversation) reset() { c.turns, c.attached = nil, nil }
