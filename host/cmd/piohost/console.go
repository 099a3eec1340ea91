// console.go shares stderr between the log and one line of progress below it.
package main

import (
	"fmt"
	"io"
	"sync"

	"github.com/inference-pio/inference-pio/host/internal/schedule"
)

// console is stderr. On a terminal its last line may be a progress line, which log lines push down; elsewhere, and where the user
// wants no such things, there is no progress line.
type console struct {
	mu       sync.Mutex
	w        io.Writer
	terminal bool // it has a progress line
	plain    bool // what is written must not steer it
	line     string
}

func newConsole(w io.Writer) *console {
	return &console{w: behind(w), terminal: coloured(w), plain: isTerminal(w)}
}

const clearLine = "\r\x1b[K"

// Write writes whole log lines above the progress line.
func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := string(p)
	if c.plain {
		text = printable(text)
	}
	if c.line != "" {
		text = clearLine + text + c.line
	}
	if _, err := io.WriteString(c.w, text); err != nil {
		return 0, err
	}
	return len(p), nil
}

// redirect sends what follows to w, which has a last line of its own. It returns what undoes that.
func (c *console) redirect(w io.Writer) func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	before, terminal := c.w, c.terminal
	c.w, c.terminal = w, false
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.w, c.terminal = before, terminal
	}
}

// show replaces the progress line; "" removes it.
func (c *console) show(line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if line = printable(line); !c.terminal || line == c.line {
		return
	}
	fmt.Fprint(c.w, clearLine+line)
	c.line = line
}

// progressLine says how a model that is coming up stands, "" for one that is not.
func progressLine(s schedule.Status) string {
	switch s.State {
	case schedule.StateStarting:
		return s.ID + ": starting"
	case schedule.StateRestarting:
		return s.ID + ": restarting; " + firstLine(s.Reason)
	case schedule.StateLoading:
		if s.Progress.Total > 0 {
			text := fmt.Sprintf("%s: %s %d%% of %s", s.ID, s.Progress.Stage, 100*s.Progress.Done/s.Progress.Total, megabytes(s.Progress.Total))
			if left := s.Left(); left > 0 {
				text += fmt.Sprintf(", %s/s, %v left", megabytes(int64(s.LoadRate)), left)
			}
			return text
		}
		return s.ID + ": loading " + s.Progress.Stage
	}
	return ""
}

func firstLine(s string) string {
	for i, r := range s {
		if r == '\n' {
			return s[:i]
		}
	}
	return s
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
