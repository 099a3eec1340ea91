// screen.go is the terminal of a chat: a line editor at the bottom, and what is said above it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/term"
)

// errInterrupted ends a line that Ctrl-C was typed on while it was empty.
var errInterrupted = errors.New("interrupted")

// screen is a terminal in raw mode, until close.
type screen struct {
	*term.Terminal
	keys  *keyboard
	in    *os.File
	out   *os.File
	state *term.State
	sizes chan os.Signal
}

// openScreen takes over a terminal. complete finishes the word before the cursor, or returns "".
func openScreen(ctx context.Context, in, out *os.File, h *history, complete func(word string) string) (*screen, error) {
	state, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return nil, fmt.Errorf("the terminal cannot be used for editing: %w", err)
	}
	keys := &keyboard{source: newSource(ctx, in)}
	s := &screen{
		Terminal: term.NewTerminal(struct {
			io.Reader
			io.Writer
		}{keys, out}, ""),
		keys: keys, in: in, out: out, state: state, sizes: make(chan os.Signal, 1),
	}
	s.History = h
	s.AutoCompleteCallback = func(line string, pos int, key rune) (string, int, bool) {
		return s.key(line, pos, key, complete)
	}
	s.SetBracketedPasteMode(true)
	s.resize()
	signal.Notify(s.sizes, syscall.SIGWINCH)
	go func() {
		for range s.sizes {
			s.resize()
		}
	}()
	return s, nil
}

func (s *screen) resize() {
	if width, height, err := term.GetSize(int(s.out.Fd())); err == nil && width > 0 {
		_ = s.SetSize(width, height) // what cannot be written now fails again later
	}
}

// close gives the terminal back as it was.
func (s *screen) close() {
	signal.Stop(s.sizes)
	close(s.sizes)
	s.SetBracketedPasteMode(false)
	_ = term.Restore(int(s.in.Fd()), s.state)
}

// key handles what the editor has no meaning for. It is not called for pasted text.
func (s *screen) key(line string, pos int, key rune, complete func(string) string) (string, int, bool) {
	switch key {
	case keyInterrupt:
		s.keys.left = line == ""
		return "", 0, true
	case '\t':
		if whole := complete(line[:pos]); whole != "" {
			return whole + line[pos:], len(whole), true
		}
	}
	return "", 0, false
}

// line reads a line. io.EOF is Ctrl-D on an empty one.
func (s *screen) line(prompt string) (string, error) {
	s.SetPrompt(prompt)
	line, err := s.ReadLine()
	switch {
	case errors.Is(err, term.ErrPasteIndicator):
		err = nil
	case err != nil: // the prompt stays where it is, and the next one begins a line
		s.SetPrompt("")
		fmt.Fprintln(s, strings.TrimRight(prompt, " "))
	}
	return unfold(line), err
}
