// screen.go is the terminal of a chat: a line editor at the bottom, and what is said above it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"
)

// screen is a terminal in raw mode, until close.
type screen struct {
	*editor
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
	s := &screen{
		editor: &editor{keys: &keyboard{newSource(ctx, in)}, out: out, history: h, complete: complete, width: 80, height: 24},
		in:     in, out: out, state: state, sizes: make(chan os.Signal, 1),
	}
	fmt.Fprint(out, pasteOn)
	s.measure()
	signal.Notify(s.sizes, syscall.SIGWINCH)
	go func() {
		for range s.sizes {
			s.measure()
		}
	}()
	return s, nil
}

func (s *screen) measure() {
	if width, height, err := term.GetSize(int(s.out.Fd())); err == nil && width > 0 {
		s.resize(width, height)
	}
}

// close gives the terminal back as it was.
func (s *screen) close() {
	signal.Stop(s.sizes)
	close(s.sizes)
	fmt.Fprint(s.out, pasteOff)
	_ = term.Restore(int(s.in.Fd()), s.state)
}

// line reads a line of a message.
func (s *screen) line(prompt string) (string, error) {
	line, err := s.readLine(prompt)
	return unfold(line), err
}
