package chat

import "strings"

// thought watches reasoning for calls that end the answer. What a model says of calls while it thinks is its thought, however it looks; but
// some forget to end the thought before they call, and then the calls are the last thing they write.
//
// Words are held back from a call's opening on until they cannot be a call, or more words stand behind it.
type thought struct {
	open      string // what calls open with
	newParser func(before quote) *toolParser
	quote     quote
	held      strings.Builder // words that are not decided, with the newline before the opening
	begin     int             // where in them the opening stands
	trial     *toolParser     // reads them from there; nil if there was no opening
	trials    int
}

// maxTrials bounds the work on a thought that opens calls over and over.
const maxTrials = 256

// push takes words of the thought and returns those that are certain to be some.
func (t *thought) push(text string) string {
	if text == "" {
		return ""
	}
	if t.held.Len() == 0 && !strings.Contains(text, "<") && !strings.HasSuffix(text, "\n") { // nothing may begin here
		t.quote.feed(text)
		return text
	}
	t.held.WriteString(text)
	held, at := t.held.String(), 0
	if t.trial != nil {
		if t.reads(text) {
			return ""
		}
		at = t.begin + len(t.open)
	}
	for t.trial == nil {
		i := -1
		if t.trials < maxTrials {
			i = strings.Index(held[at:], t.open)
		}
		if i < 0 {
			break
		}
		i += at
		t.trials++
		q := t.quote.clone()
		q.feed(held[:i])
		t.trial, t.begin = t.newParser(q), i
		if !t.reads(held[i:]) {
			at = i + len(t.open)
		}
	}
	keep := 0
	switch {
	case t.trial != nil:
		keep = len(strings.TrimSuffix(held[:t.begin], "\n"))
	case t.trials < maxTrials:
		keep = len(held) - max(suffixOf(held[at:], "\n"+t.open), suffixOf(held[at:], t.open))
	default:
		keep = len(held)
	}
	t.begin -= keep
	return t.release(keep)
}

// reads goes on with a call; false if it is none.
func (t *thought) reads(text string) bool {
	words, _ := t.trial.push(text)
	if isBlank(words) {
		return true
	}
	t.trial = nil
	return false
}

// release returns the first n words that are held.
func (t *thought) release(n int) string {
	held := t.held.String()
	t.quote.feed(held[:n])
	t.held.Reset()
	t.held.WriteString(held[n:])
	return held[:n]
}

// close ends a thought that was closed: all that is held was part of it.
func (t *thought) close() string {
	t.trial = nil
	return t.release(t.held.Len())
}

// end ends the answer inside of the thought. What the model wrote last may be calls.
func (t *thought) end(wasWhole bool) (words, calls string) {
	if t.trial == nil || !wasWhole {
		return t.close(), ""
	}
	if text, _ := t.trial.flush(true); t.trial.calls() == 0 || !isBlank(text) {
		return t.close(), ""
	}
	held := t.held.String()
	return strings.TrimSuffix(held[:t.begin], "\n"), held[t.begin:]
}
