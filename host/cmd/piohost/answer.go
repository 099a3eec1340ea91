// answer.go shows an answer as it comes, and keeps it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
)

// answer is what a model said, or the part of it that came.
type answer struct {
	text, reasoning string
	finish          string // why it ended, as the API says it; "" if it did not come to its end
	figures         figures
}

// cutOff is what is said of an answer that ended before its end.
const cutOff = "cut off: max_tokens or the context is used up"

// dim and plain switch a terminal to grey and back.
const dim, plain = "\x1b[2m", "\x1b[0m"

// printer shows the pieces of one answer.
type printer struct {
	out      io.Writer
	thoughts io.Writer // a terminal for the reasoning; nil leaves it out
	terminal bool      // out is one: what the model says must not steer it
	grey     bool      // thoughts takes colours

	thinking bool // the reasoning has begun
	open     bool // the last line of out has no end yet
}

func (p *printer) say(text, reasoning string) {
	if reasoning != "" && p.thoughts != nil {
		if !p.thinking && p.grey {
			fmt.Fprint(p.thoughts, dim)
		}
		p.thinking = true
		fmt.Fprint(p.thoughts, printable(reasoning))
	}
	if text == "" {
		return
	}
	p.awake()
	if p.terminal {
		text = printable(text)
	}
	fmt.Fprint(p.out, text)
	p.open = !strings.HasSuffix(text, "\n")
}

// awake ends the reasoning.
func (p *printer) awake() {
	switch {
	case p.thinking && p.grey:
		fmt.Fprintln(p.thoughts, plain)
	case p.thinking:
		fmt.Fprintln(p.thoughts)
	}
	p.thinking = false
}

// end leaves the cursor at the start of a line, and the terminal in its own colour.
func (p *printer) end() {
	p.awake()
	if p.open {
		fmt.Fprintln(p.out)
		p.open = false
	}
}

// printable leaves out what would steer a terminal: a checkpoint is a stranger's file, and what it says may hold escape
// sequences.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, s)
}

// ask prints the answer as it comes and returns what came of it, also with an error.
func ask(ctx context.Context, r *remote, request map[string]any, p *printer) (answer, error) {
	var text, reasoning strings.Builder
	watch := stopwatch{begin: time.Now()}
	finish, tokens, err := r.chat(ctx, request, func(t, thought string) {
		if t != "" || thought != "" {
			watch.said(time.Now())
		}
		text.WriteString(t)
		reasoning.WriteString(thought)
		p.say(t, thought)
	})
	p.end()
	a := answer{text.String(), reasoning.String(), finish, watch.figures(tokens, time.Now())}
	var told *apiError
	switch {
	case errors.As(err, &told) && told.Code == "model_quarantined":
		return a, &codeError{exitLoad, err}
	case ctx.Err() != nil:
		return a, ctx.Err()
	}
	return a, err
}

// printer writes answers to stdout, and the reasoning to stderr if that is a terminal.
func (g *global) printer() *printer {
	p := &printer{out: g.std.out, terminal: isTerminal(g.std.out), grey: coloured(g.std.err)}
	if isTerminal(g.std.err) {
		p.thoughts = behind(g.std.err)
	}
	return p
}
