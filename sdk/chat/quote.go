package chat

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// quote says whether what comes next is quoted: stands in a block or span of code, or behind a quotation mark. It is fed the words
// before, in any pieces.
type quote struct {
	line    []byte // the beginning of the line, as much of it as tells a fence
	run     int    // of backticks that have just been read
	span    int    // length of the run that opened a span of code on this line; 0 outside of one
	fence   string // that opened a block of code; "" outside of one
	before  byte   // the last
	last    byte   // of what was read
	pending []byte // a character that is not whole
}

const maxFence = 64 // bytes of a line that are looked at for a fence

func (q *quote) feed(s string) {
	if s != "" && isPlain(s) { // as nearly all words are
		q.closeRun()
		q.line = append(q.line, s[:min(len(s), maxFence-len(q.line))]...)
		q.before, q.last = q.last, s[len(s)-1]
		if len(s) > 1 {
			q.before = s[len(s)-2]
		}
		return
	}
	for i := range len(s) {
		c := s[i]
		q.count(c)
		switch {
		case c == '\n':
			q.endLine()
		case len(q.line) < maxFence:
			q.line = append(q.line, c)
		}
		q.before, q.last = q.last, c
		if c >= utf8.RuneSelf {
			if utf8.RuneStart(c) {
				q.pending = q.pending[:0]
			}
			q.pending = append(q.pending, c)
		}
	}
}

// isPlain says that no sign in s has a meaning here.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c >= utf8.RuneSelf || c == '`' || c == '\n' {
			return false
		}
	}
	return true
}

// count follows spans of code, which end at a run of as many backticks as opened them, or with the line.
func (q *quote) count(c byte) {
	if c == '`' {
		q.run++
		return
	}
	q.closeRun()
}

func (q *quote) closeRun() {
	switch {
	case q.run == 0:
	case q.span == 0:
		q.span = q.run
	case q.span == q.run:
		q.span = 0
	}
	q.run = 0
}

func (q *quote) endLine() {
	line := strings.TrimLeft(string(q.line), " \t")
	switch mark := fenceOf(line); {
	case q.fence == "" && mark != "" && !strings.Contains(line[len(mark):], "`"):
		q.fence = mark
	case q.fence != "" && strings.HasPrefix(mark, q.fence) && isBlank(line[len(mark):]):
		q.fence = ""
	}
	q.line, q.span = q.line[:0], 0
}

// fenceOf is the run of three or more marks that a line of a fence begins with.
func fenceOf(line string) string {
	for _, mark := range []string{"`", "~"} {
		if n := len(line) - len(strings.TrimLeft(line, mark)); n >= 3 {
			return line[:n]
		}
	}
	return ""
}

// quotes says whether what comes next is quoted.
func (q *quote) quotes() bool {
	switch {
	case q.fence != "":
		return true
	case q.run > 0:
		return q.span != q.run // this run ends the span, or opens one
	case q.span > 0:
		return true
	}
	if q.last == '"' || q.last == '\'' { // behind a word it ends a quotation
		return q.before == 0 || strings.IndexByte(blanks+"([{:=,", q.before) >= 0
	}
	return q.last >= utf8.RuneSelf && strings.Contains("“‘«„‚", string(q.pending))
}

func (q *quote) clone() quote {
	c := *q
	c.line, c.pending = slices.Clone(q.line), slices.Clone(q.pending)
	return c
}

// atWord says whether a word may begin here.
func (q *quote) atWord() bool { return q.last == 0 || strings.IndexByte(blanks, q.last) >= 0 }
