package main

// terminal_test.go is a person at a terminal: a pseudo-terminal in which piohost runs, and a host that answers as the test
// says.

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// heard is what the host got for one answer.
type heard struct {
	Messages []message
	Kwargs   map[string]any `json:"chat_template_kwargs"`
}

// fakeHost answers by what the test puts into replies.
type fakeHost struct {
	config  string // a models.toml that leads to it
	url     string
	models  string // what it says of its models; "": it has "tiny"
	asked   chan heard
	replies chan func(say func(text, reasoning string), gone <-chan struct{}) (end string)
}

func newFakeHost(t *testing.T) *fakeHost {
	t.Helper()
	h := &fakeHost{asked: make(chan heard, 8), replies: make(chan func(func(string, string), <-chan struct{}) string, 8)}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	h.url = server.URL
	dir := t.TempDir()
	h.config = filepath.Join(dir, "models.toml")
	text := fmt.Sprintf("[server]\nlisten = %q\n[plugins]\ndirs = [%q]\n[[model]]\nid = \"tiny\"\npath = %q\n", strings.TrimPrefix(server.URL, "http://"), dir, dir)
	if err := os.WriteFile(h.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *fakeHost) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		fmt.Fprint(w, cmp.Or(h.models, `{"data":[{"id":"tiny","owned_by":"inference-pio"}]}`))
		return
	}
	var a heard
	_ = json.NewDecoder(r.Body).Decode(&a)
	h.asked <- a
	say := func(text, reasoning string) {
		piece, _ := json.Marshal(map[string]any{"choices": []any{map[string]any{"delta": map[string]string{"content": text, "reasoning_content": reasoning}}}})
		fmt.Fprintf(w, "data: %s\n\n", piece)
		w.(http.Flusher).Flush()
	}
	fmt.Fprint(w, (<-h.replies)(say, r.Context().Done()))
}

const (
	ended  = `data: {"choices":[{"delta":{},"finish_reason":"stop"}]}` + "\n\ndata: [DONE]\n\n"
	filled = `data: {"choices":[{"delta":{},"finish_reason":"length"}]}` + "\n\ndata: [DONE]\n\n"
	broken = `data: {"error":{"message":"the prompt is too long","code":"context_length_exceeded"}}` + "\n\n"
)

// answers queues an answer that is said in one piece.
func (h *fakeHost) answers(text, reasoning, end string) {
	h.replies <- func(say func(string, string), _ <-chan struct{}) string {
		say(text, reasoning)
		return end
	}
}

// person has a terminal before them.
type person struct {
	t      *testing.T
	master *os.File
	slave  *os.File
	before unix.Termios
	stop   context.CancelFunc // as a signal does
	code   int
	over   chan struct{} // closed when code is there, and all has been read that was written

	drained chan struct{}

	mu   sync.Mutex
	seen bytes.Buffer // not yet looked for
	more chan struct{}
}

// openTerminal is a pseudo-terminal of 80 columns, closed with the test.
func openTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		master.Close()
		slave.Close()
	})
	if err := pty.Setsize(master, &pty.Winsize{Rows: 24, Cols: 80}); err != nil {
		t.Fatal(err)
	}
	return master, slave
}

func sitDown(t *testing.T, args ...string) *person {
	t.Helper()
	master, slave := openTerminal(t)
	ctx, cancel := context.WithCancel(context.Background())
	p := &person{t: t, master: master, slave: slave, stop: cancel, over: make(chan struct{}), drained: make(chan struct{}), more: make(chan struct{})}
	p.before = p.mode()
	go p.read()
	go func() {
		defer close(p.over)
		p.code = command(ctx, args, stdio{slave, slave, slave})
		_, _ = slave.Write([]byte{0}) // no command does
		<-p.drained
	}()
	t.Cleanup(cancel)
	return p
}

func (p *person) mode() unix.Termios {
	p.t.Helper()
	mode, err := unix.IoctlGetTermios(int(p.slave.Fd()), unix.TCGETS)
	if err != nil {
		p.t.Fatal(err)
	}
	return *mode
}

func (p *person) read() {
	defer close(p.drained)
	buf := make([]byte, 4096)
	for {
		n, err := p.master.Read(buf)
		text, last := bytes.CutSuffix(buf[:n], []byte{0})
		p.mu.Lock()
		p.seen.Write(text)
		close(p.more)
		p.more = make(chan struct{})
		p.mu.Unlock()
		if err != nil || last {
			return
		}
	}
}

// sees waits until all of that has come, and returns what came with it. What is looked for next must come after it.
func (p *person) sees(piece string) string {
	p.t.Helper()
	limit, over := time.After(30*time.Second), false
	for {
		p.mu.Lock()
		i := bytes.Index(p.seen.Bytes(), []byte(piece))
		if i >= 0 {
			defer p.mu.Unlock()
			return string(p.seen.Next(i + len(piece)))
		}
		more := p.more
		p.mu.Unlock()
		if over {
			p.t.Fatalf("%q does not appear before the end; the rest is %q", piece, p.rest())
		}
		select {
		case <-more:
		case <-p.over:
			over = true // what came last has still to be looked at
		case <-limit:
			p.t.Fatalf("%q does not appear; the rest is %q", piece, p.rest())
		}
	}
}

func (p *person) rest() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen.String()
}

func (p *person) types(keys string) {
	p.t.Helper()
	if _, err := p.master.WriteString(keys); err != nil {
		p.t.Fatal(err)
	}
}

// hangsUp closes the terminal's window, and waits for the end.
func (p *person) hangsUp() {
	p.t.Helper()
	p.master.Close()
	_, _ = p.slave.WriteString(".") // ends the read that keeps it open
	select {
	case <-p.over:
	case <-time.After(30 * time.Second):
		p.t.Fatal("the chat outlives its terminal")
	}
}

// leaves waits for the end and checks that the terminal is as it was.
func (p *person) leaves(code int) {
	p.t.Helper()
	select {
	case <-p.over:
		if p.code != code {
			p.t.Errorf("exit code %d, want %d; on the screen %q", p.code, code, p.rest())
		}
	case <-time.After(30 * time.Second):
		p.t.Fatalf("the chat does not end; on the screen %q", p.rest())
	}
	if after := p.mode(); !reflect.DeepEqual(after, p.before) {
		p.t.Errorf("the terminal is not as it was:\n%+v\n%+v", after, p.before)
	}
}

// question waits for what the host is asked, and compares the words "role: content (reasoning)".
func (h *fakeHost) question(t *testing.T, want ...string) heard {
	t.Helper()
	select {
	case a := <-h.asked:
		var got []string
		for _, m := range a.Messages {
			word := m.Role + ": " + said(m.Content)
			if m.Reasoning != "" {
				word += " (" + m.Reasoning + ")"
			}
			got = append(got, word)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("asked %q, want %q", got, want)
		}
		return a
	case <-time.After(30 * time.Second):
		t.Fatal("the host is not asked")
	}
	return heard{}
}

// said is a message's content: the words, or the parts in JSON.
func said(content any) string {
	if words, plain := content.(string); plain {
		return words
	}
	parts, _ := json.Marshal(content) // it came as JSON
	return string(parts)
}
