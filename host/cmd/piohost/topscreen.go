package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/inference-pio/inference-pio/sdk/client"
)

// topscreen.go is `piohost top` on a terminal.

// topEvery is how often the host is asked.
const topEvery = time.Second

// topScreen is what is on it.
type topScreen struct {
	ctx    context.Context
	host   *remote
	shown  *topDocument
	failed error // of the newest question
	height int
}

type (
	topAnswer struct {
		document *topDocument
		err      error
	}
	topTick struct{}
)

// Init implements tea.Model.
func (s topScreen) Init() tea.Cmd { return s.later() }

func (topScreen) later() tea.Cmd {
	return tea.Tick(topEvery, func(time.Time) tea.Msg { return topTick{} })
}

func (s topScreen) ask() tea.Msg {
	d, err := s.host.top(s.ctx)
	return topAnswer{d, err}
}

// Update implements tea.Model.
func (s topScreen) Update(m tea.Msg) (tea.Model, tea.Cmd) {
	switch m := m.(type) {
	case tea.KeyPressMsg:
		switch m.String() {
		case "q", "ctrl+c", "esc":
			return s, tea.Quit
		}
	case tea.WindowSizeMsg:
		s.height = m.Height
	case topTick:
		return s, s.ask
	case topAnswer:
		if s.failed = m.err; m.err == nil {
			s.shown = m.document
		}
		return s, s.later()
	}
	return s, nil
}

// View implements tea.Model.
func (s topScreen) View() tea.View {
	var text strings.Builder
	_ = s.shown.write(&text) // which does not fail
	lines := strings.Split(strings.TrimRight(text.String(), "\n"), "\n")
	if most := s.height - 3; s.height > 0 && len(lines) > most { // the rest has no place
		lines = lines[:max(0, most)]
	}
	last := fmt.Sprintf("%s, each second; q leaves", s.shown.host)
	if s.failed != nil {
		last = s.failed.Error()
	}
	v := tea.NewView(client.Printable(strings.Join(lines, "\n") + "\n\n" + last))
	v.AltScreen = true
	return v
}

// watchTop shows a document and those that follow until the person leaves.
func watchTop(ctx context.Context, r *remote, d *topDocument, in, out *os.File) error {
	_, err := tea.NewProgram(topScreen{ctx: ctx, host: r, shown: d}, tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(out), tea.WithoutSignalHandler()).Run()
	if errors.Is(err, tea.ErrProgramKilled) && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
