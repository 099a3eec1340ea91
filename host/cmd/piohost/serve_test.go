package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// endless is a host whose answers do not end: the echo plugin says the prompt over and over.
func endless(t *testing.T) (cmd *exec.Cmd, address string, log <-chan string) {
	t.Helper()
	dir := t.TempDir()
	echo, err := os.ReadFile(filepath.Join(binaries, "echo"))
	if err != nil {
		t.Fatal(err)
	}
	address, err = freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"plugins/echo":      string(echo),
		"model/config.json": `{"architectures": ["EchoForCausalLM"], "max_position_embeddings": 2147483647}`,
		"models.toml": fmt.Sprintf("[server]\nlisten = %q\ndrain = \"1h\"\n[plugins]\ndirs = [\"plugins\"]\nallow_unlocked = true\n"+
			"[[model]]\nid = \"echo\"\npath = \"model\"\n", address),
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd = exec.Command(filepath.Join(binaries, "piohost"), "--config", filepath.Join(dir, "models.toml"))
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	lines := make(chan string, 1000)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(stderr); s.Scan(); {
			lines <- s.Text()
		}
	}()
	return cmd, address, lines
}

// says waits for a line of the log.
func says(t *testing.T, log <-chan string, piece string) {
	t.Helper()
	limit := time.After(30 * time.Second)
	for {
		select {
		case line, ok := <-log:
			if !ok {
				t.Fatalf("the host has ended and not said %q", piece)
			}
			if strings.Contains(line, piece) {
				return
			}
		case <-limit:
			t.Fatalf("the host does not say %q", piece)
		}
	}
}

// The first signal lets an answer go on, the second ends it, however long server.drain is.
func TestSecondSignalEndsWhatStillRuns(t *testing.T) {
	cmd, address, log := endless(t)
	says(t, log, "listening")
	resp, err := http.Post("http://"+address+"/v1/completions", "application/json", strings.NewReader(`{"model": "echo", "prompt": "Hi", "stream": true, "ignore_eos": true, "max_tokens": 2000000000}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	events := bufio.NewScanner(resp.Body)
	more := func() {
		t.Helper()
		for range 1000 {
			if !events.Scan() {
				t.Fatalf("the answer has ended: %v", events.Err())
			}
		}
	}
	more()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	says(t, log, "draining")
	more()
	ended := make(chan error, 1)
	go func() { _, err := io.Copy(io.Discard, resp.Body); ended <- err }()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Fatal("the answer goes on after the second signal")
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the host has ended with %v", err)
	}
}

// oneConnection is a listener with one client.
type oneConnection struct {
	conns chan net.Conn
	once  sync.Once
}

func (l *oneConnection) Accept() (net.Conn, error) {
	c, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (l *oneConnection) Close() error {
	l.once.Do(func() { close(l.conns) })
	return nil
}

func (*oneConnection) Addr() net.Addr { return &net.TCPAddr{} }

// Who connects and says nothing, or never comes to the end of its headers, is cut off.
func TestSilentClientsAreCutOff(t *testing.T) {
	for _, said := range []string{"", "GET / HTTP/1.1\r\nHost: a\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"} {
		synctest.Test(t, func(t *testing.T) {
			client, conn := net.Pipe()
			l := &oneConnection{conns: make(chan net.Conn, 1)}
			l.conns <- conn
			server := newServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			go func() { _ = server.Serve(l) }()
			begin := time.Now()
			go func() { _, _ = io.WriteString(client, said) }()
			if _, err := io.Copy(io.Discard, client); err != nil {
				t.Error(err)
			}
			if passed := time.Since(begin); passed != headerTime && passed != idleTime {
				t.Errorf("%q: cut off after %v", said, passed)
			}
			_ = server.Close()
		})
	}
}
