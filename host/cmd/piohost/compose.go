// compose.go reads messages from lines: of a terminal or a pipe.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// What a terminal shows before a message, and before its further lines.
const (
	promptFirst = ">>> "
	promptMore  = "... "

	blockMark = `"""`
)

// errGivenUp ends a message of several lines that is not to be sent.
var errGivenUp = errors.New("message given up")

// compose reads the next message. literal is one that must not be taken for a command.
func (c *chat) compose() (text string, literal bool, err error) {
	line, err := c.input.line(promptFirst)
	if err != nil {
		return "", false, err
	}
	if rest, ok := strings.CutPrefix(strings.TrimSpace(line), blockMark); ok {
		text, err = c.block(rest)
		return text, true, c.unfinished(err, blockMark)
	}
	text, err = c.continued(line)
	return strings.TrimSpace(text), strings.HasPrefix(text, " "), c.unfinished(err, `\`)
}

// block reads up to the mark at the end of a line, to the letter but for the line ends beside the marks.
func (c *chat) block(line string) (string, error) {
	var b strings.Builder
	for {
		if last, ok := strings.CutSuffix(strings.TrimRight(line, " \t"), blockMark); ok {
			b.WriteString(last)
			return strings.Trim(b.String(), "\n"), nil
		}
		b.WriteString(line + "\n")
		var err error
		if line, err = c.more(&b); err != nil {
			return "", err
		}
	}
}

// continued reads on while a line ends in a backslash.
func (c *chat) continued(line string) (string, error) {
	var b strings.Builder
	for {
		first, ok := strings.CutSuffix(line, `\`)
		b.WriteString(first)
		if !ok {
			return b.String(), nil
		}
		b.WriteString("\n")
		var err error
		if line, err = c.more(&b); err != nil {
			return "", err
		}
	}
}

func (c *chat) more(so *strings.Builder) (string, error) {
	if so.Len() > maxPrompt {
		return "", fmt.Errorf("the message is longer than %d MB", maxPrompt>>20)
	}
	return c.input.line(promptMore)
}

// unfinished says what an error in the midst of a message means: an interrupt gives the message up, not the chat.
func (c *chat) unfinished(err error, mark string) error {
	switch {
	case errors.Is(err, errInterrupted):
		return errGivenUp
	case errors.Is(err, io.EOF):
		return fmt.Errorf("the input ends within a message that %s has begun", mark)
	}
	return err
}

// piped is the input of a program, or of a terminal that takes no escape sequences: one turn per line.
type piped struct {
	in      *bufio.Reader
	prompts io.Writer // nil: nobody needs them
}

func (p *piped) line(prompt string) (string, error) {
	if p.prompts != nil {
		fmt.Fprint(p.prompts, prompt)
	}
	var b strings.Builder
	for {
		part, err := p.in.ReadSlice('\n')
		b.Write(part)
		switch {
		case b.Len() > maxPrompt:
			return "", fmt.Errorf("a line on stdin is longer than %d MB", maxPrompt>>20)
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && b.Len() > 0, err == nil:
			return strings.TrimRight(b.String(), "\r\n"), nil
		}
		return "", err
	}
}

// watch: a program that has heard enough closes the pipe or sends a signal.
func (*piped) watch(ctx context.Context) (context.Context, func()) { return ctx, func() {} }

type terminalLines struct{ *screen }

func (t terminalLines) watch(ctx context.Context) (context.Context, func()) { return t.keys.watch(ctx) }
