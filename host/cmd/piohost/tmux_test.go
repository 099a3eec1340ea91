package main

// tmux_test.go types Chinese into a chat in a terminal that other people wrote.

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tmux is a server of its own with one window.
type tmux struct {
	t      *testing.T
	socket string
}

func (m *tmux) do(args ...string) string {
	m.t.Helper()
	out, err := exec.Command("tmux", append([]string{"-u", "-S", m.socket, "-f", "/dev/null"}, args...)...).CombinedOutput()
	if err != nil {
		m.t.Fatalf("tmux %q: %v: %s", args, err, out)
	}
	return string(out)
}

// shows waits for the screen to end in these lines, with the cursor in that column of the last.
func (m *tmux) shows(want string, column int) {
	m.t.Helper()
	limit := time.Now().Add(30 * time.Second)
	for {
		screen, at := strings.TrimRight(m.do("capture-pane", "-p"), "\n"), strings.TrimSpace(m.do("display-message", "-p", "#{cursor_x}"))
		if strings.HasSuffix("\n"+screen, "\n"+want) && at == fmt.Sprint(column) {
			return
		}
		if time.Now().After(limit) {
			m.t.Fatalf("the cursor is in column %s, want %d; the screen is\n%s\nwant at its end\n%s", at, column, screen, want)
		}
		time.Sleep(20 * time.Millisecond) // another process, which has no event to wait for
	}
}

func TestChineseInTmux(t *testing.T) {
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip("capability: no tmux here")
	}
	h := newFakeHost(t)
	m := &tmux{t, filepath.Join(t.TempDir(), "tmux")}
	command := fmt.Sprintf("XDG_STATE_HOME=%s exec %s chat --config %s", t.TempDir(), filepath.Join(binaries, "piohost"), h.config)
	start := exec.Command("tmux", "-u", "-S", m.socket, "-f", "/dev/null", "new-session", "-d", "-x", "20", "-y", "12", command)
	start.Env = append(os.Environ(), "LANG=C.UTF-8", "TERM=xterm-256color")
	if out, err := start.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("tmux", "-S", m.socket, "kill-server").Run() })
	m.shows(">>>", 4)

	m.do("send-keys", "-l", "日本の首都はどこですか") // a row has room for eight beside the prompt
	m.shows(">>> 日本の首都はどこ\nですか", 6)
	m.do("send-keys", "Left", "Left", "Left", "Left", "BSpace")
	m.shows(">>> 日本の首都はこで\nすか", 16)
	m.do("send-keys", "-l", "ど")
	m.shows(">>> 日本の首都はどこ\nですか", 18)
	m.do("send-keys", "Home", "Delete", "Delete")
	m.shows(">>> の首都はどこです\nか", 4)
	m.do("send-keys", "C-u", "C-k")
	m.shows(">>>", 4)

	m.do("send-keys", "-l", "中国的首都是哪里？")
	h.answers("北京。", "", ended)
	m.do("send-keys", "Enter")
	h.question(t, "user: 中国的首都是哪里？")
	m.shows(">>> 中国的首都是哪里\n？\n北京。\n>>>", 4)
	m.do("send-keys", "Up", "BSpace")
	m.shows(">>> 中国的首都是哪里", 0) // the cursor is below, where the next would be
}
