package main

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// longest bounds what another process takes; a test that needs it fails.
const longest = time.Minute

// served is a real host, with what it writes to stderr.
type served struct {
	t      *testing.T
	cmd    *exec.Cmd
	url    string
	stderr *os.File
	lines  *bufio.Reader // of it
	ended  chan error
}

// serving starts a host of one echo model whose context holds an answer without an end. keys are of [server].
func serving(t *testing.T, keys string) *served {
	t.Helper()
	dir := t.TempDir()
	address, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{
		"checkpoint/config.json": `{"architectures": ["EchoForCausalLM"], "max_position_embeddings": 1000000000}`,
		"models.toml": fmt.Sprintf("[server]\nlisten = %q\n%s\n[plugins]\ndirs = [%q]\nallow_unlocked = true\n[[model]]\nid = \"echo\"\npath = \"checkpoint\"\nplugin = \"echo\"\n",
			address, keys, filepath.Join(dir, "plugins")),
	} {
		path := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	echo, err := os.ReadFile(filepath.Join(binaries, "echo"))
	if err == nil {
		err = os.MkdirAll(filepath.Join(dir, "plugins"), 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "plugins/echo"), echo, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s := &served{t: t, url: "http://" + address, stderr: r, lines: bufio.NewReader(r), ended: make(chan error, 1)}
	s.cmd = exec.Command(filepath.Join(binaries, "piohost"), "--config", filepath.Join(dir, "models.toml"))
	s.cmd.Stderr = w
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	go func() { s.ended <- s.cmd.Wait() }()
	t.Cleanup(func() {
		s.cmd.Process.Kill()
		r.Close()
	})
	return s
}

// log reads stderr up to a line with that piece.
func (s *served) log(piece string) {
	s.t.Helper()
	s.stderr.SetReadDeadline(time.Now().Add(longest))
	seen := ""
	for {
		line, err := s.lines.ReadString('\n')
		seen += line
		if strings.Contains(line, piece) {
			return
		}
		if err != nil {
			s.t.Fatalf("no line with %q (%v) in:\n%s", piece, err, seen)
		}
	}
}

// status asks until there is an answer, and for as long as it is another one than want.
func (s *served) status(path string, want int) {
	s.t.Helper()
	var got any
	for limit := time.Now().Add(longest); time.Now().Before(limit); time.Sleep(20 * time.Millisecond) { // another process
		resp, err := http.Get(s.url + path)
		if err != nil {
			got = err
			continue
		}
		resp.Body.Close()
		if got = resp.StatusCode; got == want {
			return
		}
	}
	s.t.Fatalf("%s: %v, want %d", path, got, want)
}

// ends waits for the exit code.
func (s *served) ends(code int) {
	s.t.Helper()
	select {
	case <-s.ended:
		if got := s.cmd.ProcessState.ExitCode(); got != code {
			s.t.Errorf("it ended with %v, want exit code %d", s.cmd.ProcessState, code)
		}
	case <-time.After(longest):
		s.t.Fatal("it does not end")
	}
}

// Whoever reads the log may leave, and the terminal may go: the host serves on.
func TestAHostOutlivesTheReaderOfItsLogAndItsTerminal(t *testing.T) {
	s := serving(t, "")
	s.log("listening")
	s.stderr.Close()
	s.status("/readyz", http.StatusOK) // told to nobody
	for range 3 {
		s.cmd.Process.Signal(syscall.SIGHUP)
		s.status("/readyz/echo", http.StatusOK)
	}
	s.cmd.Process.Signal(syscall.SIGTERM)
	s.ends(0)
}
