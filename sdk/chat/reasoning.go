package chat

import "strings"

// piece is what became certain with a push: words of the answer and words of its reasoning.
type piece struct{ Text, Reasoning string }

// reasoning splits an answer into the block it begins with, if there is one, and the rest. The block is opened by the
// template, at the end of the prompt, or by the model with its first word; later tags are words like any other.
//
// One newline after the opening tag, one before the closing tag and two after it belong to the tags. What may be a part
// of a tag is held back until it is decided.
type reasoning struct {
	open, close string
	state       reasoningState
	newlines    int // that the last tag still takes
	held        string
}

type reasoningState uint8

const (
	undecided reasoningState = iota // nothing but white space and the beginning of a tag so far
	inside
	outside
)

// newReasoning begins an answer to the rendered prompt.
func newReasoning(prompt string, open, close string) *reasoning {
	r := &reasoning{open: open, close: close}
	trimmed := strings.TrimRight(prompt, " \t\r\n")
	switch {
	case open == "" || close == "":
		r.state = outside
	case strings.HasSuffix(trimmed, open):
		r.state = inside
		if trimmed == prompt {
			r.newlines = 1
		}
	}
	return r
}

// inside says that the answer is in its reasoning so far.
func (r *reasoning) inside() bool { return r.state == inside }

// push takes the next words.
func (r *reasoning) push(text string) piece {
	r.held += text
	var p piece
	if r.state == undecided {
		r.decide()
	}
	if r.state == inside {
		r.reason(&p)
	}
	if r.state == outside && r.takeNewlines() {
		p.Text, r.held = r.held, ""
	}
	return p
}

// flush ends the answer. A beginning of a tag that is still held was none.
func (r *reasoning) flush() piece {
	rest := r.held
	r.held = ""
	if r.state == inside {
		return piece{Reasoning: rest}
	}
	r.state = outside
	return piece{Text: rest}
}

func (r *reasoning) decide() {
	trimmed := strings.TrimLeft(r.held, " \t\r\n")
	if rest, ok := strings.CutPrefix(trimmed, r.open); ok {
		r.state, r.held, r.newlines = inside, rest, 1
	} else if !strings.HasPrefix(r.open, trimmed) {
		r.state = outside
	}
}

// takeNewlines drops the newlines that belong to the tag before; false if more of them may come.
func (r *reasoning) takeNewlines() bool {
	for r.newlines > 0 && r.held != "" {
		if r.held[0] != '\n' {
			r.newlines = 0
			break
		}
		r.held = r.held[1:]
		r.newlines--
	}
	return r.newlines == 0 || r.held != ""
}

// reason moves what is certainly reasoning to p, and changes to outside at the end of the block.
func (r *reasoning) reason(p *piece) {
	if !r.takeNewlines() {
		return
	}
	end := strings.Index(r.held, r.close)
	if end < 0 {
		keep := max(suffixOf(r.held, "\n"+r.close), suffixOf(r.held, r.close))
		p.Reasoning, r.held = r.held[:len(r.held)-keep], r.held[len(r.held)-keep:]
		return
	}
	p.Reasoning = strings.TrimSuffix(r.held[:end], "\n")
	r.held = r.held[end+len(r.close):]
	r.state, r.newlines = outside, 2
}

// suffixOf is the length of the longest end of s that begins tag, but is not all of it.
func suffixOf(s, tag string) int {
	for n := min(len(s), len(tag)-1); n > 0; n-- {
		if strings.HasSuffix(s, tag[:n]) {
			return n
		}
	}
	return 0
}
