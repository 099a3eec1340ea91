package main

// message is one of a conversation, as the API takes it.
type message struct {
	Role      string `json:"role"`
	Content   string `json:"content"`
	Reasoning string `json:"reasoning_content,omitempty"`
}

// conversation is what has been said, and how the model is to answer.
type conversation struct {
	system string
	think  *bool // nil: as the checkpoint's template decides
	turns  []message
}

// asking is everything the model is given for its next answer.
func (c *conversation) asking(question string) []message {
	var list []message
	if c.system != "" {
		list = append(list, message{Role: "system", Content: c.system})
	}
	list = append(list, c.turns...)
	return append(list, message{Role: "user", Content: question})
}

// add keeps a question with its answer.
func (c *conversation) add(question string, a answer) {
	c.turns = append(c.turns,
		message{Role: "user", Content: question},
		message{Role: "assistant", Content: a.text, Reasoning: a.reasoning})
}

func (c *conversation) reset() { c.turns = nil }
