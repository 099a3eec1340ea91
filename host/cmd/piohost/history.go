package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"
)

// How much is remembered of what was typed.
const (
	maxHistory     = 1000
	maxHistoryLine = 16 << 10
	maxHistoryFile = 1 << 20
)

// history is what was typed before, in this chat and in earlier ones; it is what the arrow keys go through. Only this user
// can read its file.
type history struct {
	lines []string // oldest first
	file  string   // "": it ends with this chat
	tell  func(error)
}

// historyPath is where the lines of earlier chats are: $XDG_STATE_HOME/piohost/history, by default in ~/.local/state. It
// is "" if there is no such place.
func historyPath(getenv func(string) string) string {
	state := getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(state) { // as the specification has it
		home := getenv("HOME")
		if !filepath.IsAbs(home) {
			return ""
		}
		state = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(state, "piohost", "history")
}

// openHistory reads what an earlier chat has left. What goes wrong with the file is told, and costs only the memory.
func openHistory(path string, tell func(error)) *history {
	h := &history{file: path, tell: tell}
	if path == "" {
		return h
	}
	data, err := readTail(path, maxHistoryFile)
	if os.IsNotExist(err) {
		return h
	}
	if err != nil {
		h.forget(err)
		return h
	}
	h.lines = parseHistory(data)
	if bytes.Count(data, []byte("\n")) > 2*maxHistory || len(data) == maxHistoryFile {
		h.rewrite()
	}
	return h
}

// readTail reads at most the last limit bytes of a file.
func readTail(path string, limit int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Size() > limit {
		if _, err := file.Seek(-limit, io.SeekEnd); err != nil {
			return nil, err
		}
	}
	return io.ReadAll(io.LimitReader(file, limit))
}

// parseHistory takes the lines that may be shown in a terminal, the last maxHistory of them.
func parseHistory(data []byte) []string {
	var lines []string
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSuffix(line, "\n"); keeps(line) {
			lines = append(lines, line)
		}
	}
	return lines[max(0, len(lines)-maxHistory):]
}

func keeps(line string) bool {
	return strings.TrimSpace(line) != "" && len(line) <= maxHistoryLine && utf8.ValidString(line) && strings.IndexFunc(line, unicode.IsControl) < 0
}

// Add keeps a line, unless it says nothing new.
func (h *history) Add(line string) {
	if !keeps(line) || len(h.lines) > 0 && h.lines[len(h.lines)-1] == line {
		return
	}
	h.lines = append(h.lines, line)
	h.lines = h.lines[max(0, len(h.lines)-maxHistory):]
	if h.file == "" {
		return
	}
	if err := appendLine(h.file, line); err != nil {
		h.forget(err)
	}
}

// Len is how many lines there are.
func (h *history) Len() int { return len(h.lines) }

// At counts from the newest line.
func (h *history) At(i int) string { return h.lines[len(h.lines)-1-i] }

// appendLine is one write, so that chats in several terminals can keep their lines in one file.
func appendLine(path, line string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(line + "\n")
	if closing := file.Close(); err == nil {
		err = closing
	}
	return err
}

// rewrite leaves only what is still remembered.
func (h *history) rewrite() {
	file, err := os.CreateTemp(filepath.Dir(h.file), "history") // mode 0600
	if err != nil {
		h.forget(err)
		return
	}
	_, err = file.WriteString(strings.Join(h.lines, "\n") + "\n")
	if closing := file.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(file.Name(), h.file)
	}
	if err != nil {
		os.Remove(file.Name())
		h.forget(err)
	}
}

// forget gives the file up.
func (h *history) forget(err error) {
	h.file = ""
	h.tell(fmt.Errorf("what you type is not kept for the next chat: %w", err))
}
