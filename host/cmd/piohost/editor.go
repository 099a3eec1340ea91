// editor.go is the last line of a terminal, while it is edited. What is written meanwhile appears above it.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
)

// errInterrupted ends a line that Ctrl-C was typed on while it was empty.
var errInterrupted = errors.New("interrupted")

// editor reads lines. Its fields belong to whoever holds mu.
type editor struct {
	keys     *keyboard
	out      io.Writer
	history  *history
	complete func(word string) string // finishes the word before the cursor, or returns ""

	mu            sync.Mutex
	width, height int
	prompt, line  string
	pos           int    // of the cursor in line: a border between characters
	back          int    // which line of the history is shown, from the newest; 0: none
	draft         string // the line before one of the history was shown
	drawn         drawing
}

// drawing is what the screen shows of the line.
type drawing struct {
	shown       bool
	rows        []row
	row, column int // of the cursor
}

// readLine reads a line. io.EOF is Ctrl-D on an empty one, errInterrupted Ctrl-C.
func (e *editor) readLine(prompt string) (string, error) {
	e.begin(prompt)
	for {
		k, text, err := e.keys.next()
		line, done, err := e.typed(k, text, err)
		if done {
			return line, err
		}
	}
}

func (e *editor) begin(prompt string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.prompt, e.line, e.pos, e.back, e.draft = prompt, "", 0, 0, ""
	e.draw()
}

// typed handles a key, or that there will be none.
func (e *editor) typed(k key, text string, err error) (line string, done bool, _ error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case err != nil:
	case k == keyEnter || k == keyNewline:
		done = true
	case k == keyInterrupt && e.line == "":
		err = errInterrupted
	case k == keyDelete && e.line == "":
		err = io.EOF
	default:
		e.edit(k, text)
		if len(e.keys.ready) == 0 { // more has come already: one drawing shows all
			e.draw()
		}
		return "", false, nil
	}
	e.pos = len(e.line)
	e.finish()
	if done {
		e.history.Add(e.line)
	}
	return e.line, true, err
}

// edit handles a key that does not end the line.
func (e *editor) edit(k key, text string) {
	switch k {
	case keyText:
		e.insert(text)
	case keyLeft:
		e.pos = before(e.line, e.pos)
	case keyRight:
		e.pos = after(e.line, e.pos)
	case keyHome:
		e.pos = 0
	case keyEnd:
		e.pos = len(e.line)
	case keyWordLeft:
		e.pos = wordBefore(e.line, e.pos)
	case keyWordRight:
		e.pos = wordAfter(e.line, e.pos)
	case keyBackspace, keyCtrlH:
		e.remove(before(e.line, e.pos), e.pos)
	case keyDelete, keyDeleteForward:
		e.remove(e.pos, after(e.line, e.pos))
	case keyKillWord:
		e.remove(wordBefore(e.line, e.pos), e.pos)
	case keyKillStart:
		e.remove(0, e.pos)
	case keyKillEnd:
		e.remove(e.pos, len(e.line))
	case keyInterrupt:
		e.remove(0, len(e.line))
	case keyUp:
		e.recall(e.back + 1)
	case keyDown:
		e.recall(e.back - 1)
	case keyTab:
		if whole := e.complete(e.line[:e.pos]); whole != "" {
			e.line, e.pos = whole+e.line[e.pos:], len(whole)
		}
	case keyClear:
		fmt.Fprint(e.out, "\x1b[H\x1b[2J")
		e.drawn = drawing{}
	}
}

// insert puts text before the cursor. It may join what stands there to one character, as an accent does.
func (e *editor) insert(text string) {
	if len(e.line)+len(text) > maxLine {
		fmt.Fprint(e.out, "\a")
		return
	}
	e.line = e.line[:e.pos] + text + e.line[e.pos:]
	e.pos = atBorder(e.line, e.pos+len(text))
}

func (e *editor) remove(from, to int) {
	e.line = e.line[:from] + e.line[to:]
	e.pos = atBorder(e.line, from)
}

// recall shows a line of the history, counted from the newest; 0 is what was typed before.
func (e *editor) recall(back int) {
	if back < 0 || back > e.history.Len() {
		return
	}
	if e.back == 0 {
		e.draft = e.line
	}
	if e.back = back; back == 0 {
		e.line = e.draft
	} else {
		e.line = e.history.At(back - 1)
	}
	e.pos = len(e.line)
}

// draw shows the line as it is now: of one that is higher than the screen the part with the cursor.
func (e *editor) draw() {
	rows, r, column := layout(e.prompt, e.line, e.pos, e.width)
	from := max(0, r-e.height+1)
	rows = rows[from:min(len(rows), from+e.height)]
	e.show(drawing{true, rows, r - from, column})
}

// finish leaves the whole line standing, and the cursor below it.
func (e *editor) finish() {
	rows, r, column := layout(e.prompt, e.line, e.pos, e.width)
	e.show(drawing{true, rows, r, column})
	if column > 0 || r == 0 {
		fmt.Fprint(e.out, "\r\n")
	}
	e.drawn = drawing{}
}

func (e *editor) show(d drawing) {
	var b bytes.Buffer
	e.erase(&b)
	for i, row := range d.rows {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(row.text)
	}
	if last := len(d.rows) - 1; d.row < last || d.column < d.rows[last].width {
		if d.row < last {
			fmt.Fprintf(&b, "\x1b[%dA", last-d.row)
		}
		b.WriteString("\r")
		if d.column > 0 {
			fmt.Fprintf(&b, "\x1b[%dC", d.column)
		}
	}
	_, _ = e.out.Write(b.Bytes()) // a terminal that is gone ends the input
	e.drawn = d
}

// erase removes what is drawn. A terminal that has become narrower has broken its rows anew.
func (e *editor) erase(b *bytes.Buffer) {
	if !e.drawn.shown {
		return
	}
	up := e.drawn.column / e.width
	for _, row := range e.drawn.rows[:e.drawn.row] {
		up += max(1, (row.width+e.width-1)/e.width)
	}
	b.WriteString("\r")
	if up > 0 {
		fmt.Fprintf(b, "\x1b[%dA", up)
	}
	b.WriteString("\x1b[J")
}

// Write shows p, above the line if one is being edited.
func (e *editor) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var b bytes.Buffer
	e.erase(&b)
	b.Write(bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n")))
	if e.drawn.shown && !bytes.HasSuffix(p, []byte("\n")) {
		b.WriteString("\r\n")
	}
	if _, err := e.out.Write(b.Bytes()); err != nil {
		return 0, err
	}
	if e.drawn.shown {
		e.drawn = drawing{}
		e.draw()
	}
	return len(p), nil
}

// resize tells the size of the screen.
func (e *editor) resize(width, height int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.width, e.height = max(width, 2), max(height, 1)
	if e.drawn.shown {
		e.draw()
	}
}
