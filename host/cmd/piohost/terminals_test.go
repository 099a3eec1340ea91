package main

// terminals_test.go: what people ask of their terminals in the environment, and pipes on which nothing comes.

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const counted = `data: {"choices":[{"delta":{},"finish_reason":"stop"}]}` + "\n\n" +
	`data: {"choices":[],"usage":{"prompt_tokens":12,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":8}}}` + "\n\ndata: [DONE]\n\n"

func TestFigures(t *testing.T) {
	tokens := &tokenCount{In: 12, Out: 41}
	tokens.Details.Cached = 8
	for want, f := range map[string]figures{
		"12 tokens in, 8 of them cached; 41 out; the first after 0.25 s; 20.0 tokens/s": {tokens, 250 * time.Millisecond, 2 * time.Second},
		"1 tokens in, 0 of them cached; 1 out; the first after 0.25 s":                  {&tokenCount{In: 1, Out: 1}, 250 * time.Millisecond, time.Second},
		"1 tokens in, 0 of them cached; 0 out":                                          {&tokenCount{In: 1}, 0, 0},
		"":                                                                              {nil, time.Second, time.Second},
	} {
		if got := f.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	begin := time.Unix(100, 0)
	w := stopwatch{begin: begin}
	w.said(begin.Add(time.Second))
	w.said(begin.Add(2 * time.Second))
	if f := w.figures(tokens, begin.Add(5*time.Second)); f.first != time.Second || f.rest != 4*time.Second {
		t.Errorf("%+v", f)
	}
}

func TestFiguresInAChat(t *testing.T) {
	h, p := chatting(t)
	h.answers("Yes.", "", counted)
	p.types("Well?\r")
	h.question(t, "user: Well?")
	p.sees("Yes.\r\n" + dim + "12 tokens in, 8 of them cached; 3 out")
	p.sees(promptFirst)
	p.types("\x04")
	p.leaves(0)
}

// With NO_COLOR nothing is grey; the line is still edited.
func TestNoColor(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	h, p := chatting(t)
	h.answers("It is Tokyo.", "Japan has one.", ended)
	p.types("Welll\x7f?\r")
	h.question(t, "user: Well?")
	p.sees("Japan has one.\r\nIt is Tokyo.\r\n" + promptFirst)
	p.types("/system x\r")
	p.sees("\r\nsystem message set\r\n" + promptFirst)
	p.types("\x04")
	p.leaves(0)

	p = sitDown(t, "run", "tiny", "Well?", "--config", h.config)
	h.answers("It is Tokyo.", "Japan has one.", ended)
	if seen := p.sees("It is Tokyo.\r\n"); seen != "Japan has one.\r\nIt is Tokyo.\r\n" {
		t.Errorf("on the screen %q", seen)
	}
	p.leaves(0)
}

// A dumb terminal gets no escape sequence at all, from no command.
func TestDumbTerminal(t *testing.T) {
	t.Setenv("TERM", "dumb")
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	h := newFakeHost(t)
	p := sitDown(t, "chat", "--config", h.config)
	all := p.sees(promptFirst)
	h.answers("It is Tokyo.", "Japan has one.", filled)
	p.types("Well?\n")
	h.question(t, "user: Well?")
	all += p.sees("Japan has one.\r\nIt is Tokyo.\r\ncut off: max_tokens or the context is used up\r\n" + promptFirst)
	p.types("/sytem\n")
	all += p.sees("did you mean /system?")
	all += p.sees(promptFirst)
	p.types("\x04")
	p.leaves(0)
	if all += p.rest(); strings.ContainsAny(all, "\x1b") {
		t.Errorf("escape sequences in %q", all)
	}
}

// Neither does loading a model draw a line of progress there, or where colours are not wanted.
func TestNoProgressWhereItIsNotWanted(t *testing.T) {
	_, slave := openTerminal(t)
	for variable, value := range map[string]string{"TERM": "dumb", "NO_COLOR": "1"} {
		t.Run(variable, func(t *testing.T) {
			t.Setenv(variable, value)
			if c := newConsole(slave); c.terminal {
				t.Error("there would be a line of progress")
			}
		})
	}
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	if c := newConsole(slave); !c.terminal {
		t.Error("there would be no line of progress")
	}
}

// lineWriter tells when something is written.
type lineWriter struct{ lines chan string }

func (w lineWriter) Write(p []byte) (int, error) {
	w.lines <- string(p)
	return len(p), nil
}

// A pipe on which nothing comes is waited for, which is said, and an interrupt ends it.
func TestPipeOnWhichNothingComes(t *testing.T) {
	h := newFakeHost(t)
	for _, arguments := range [][]string{{"run", "tiny", "Well?"}, {"run", "tiny"}} {
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		errs := lineWriter{make(chan string, 8)}
		ctx, interrupt := context.WithCancel(context.Background())
		code := make(chan int, 1)
		go func() { code <- command(ctx, append(arguments, "--config", h.config), stdio{read, io.Discard, errs}) }()
		if said := <-errs.lines; !strings.HasPrefix(said, "reading stdin, where nothing has come yet") {
			t.Errorf("said %q", said)
		}
		interrupt()
		if got := <-code; got != exitInterrupted {
			t.Errorf("exit code %d", got)
		}
		write.Close()
		read.Close()
	}
}

// The writer of a pipe may be slow.
func TestSlowPipe(t *testing.T) {
	h := newFakeHost(t)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	errs := lineWriter{make(chan string, 8)}
	var out bytes.Buffer
	code := make(chan int, 1)
	go func() {
		code <- command(context.Background(), []string{"run", "tiny", "Well?", "--config", h.config}, stdio{read, &out, errs})
	}()
	<-errs.lines
	fmt.Fprint(write, "One.\n")
	fmt.Fprint(write, "Two.\n")
	write.Close()
	h.answers("Yes.", "", ended)
	h.question(t, "user: One.\nTwo.\n\nWell?")
	if got := <-code; got != 0 || out.String() != "Yes.\n" {
		t.Errorf("exit code %d, %q", got, out.String())
	}
}

// A host behind TLS is asked; one whose certificate nobody vouches for is not.
func TestHostBehindTLS(t *testing.T) {
	h := newFakeHost(t)
	server := httptest.NewTLSServer(h)
	defer server.Close()
	trusted := filepath.Join(t.TempDir(), "certificates.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(trusted, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	ask := func(env string) (string, error) {
		cmd := exec.Command(filepath.Join(binaries, "piohost"), "run", "tiny", "Well?", "--host", server.URL)
		cmd.Env = append(os.Environ(), env)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := ask("SSL_CERT_FILE=" + os.DevNull); err == nil || !strings.Contains(out, "no host answers at "+server.URL+" (--host): tls: failed to verify certificate") {
		t.Errorf("%v: %s", err, out)
	}
	h.answers("Yes.", "", ended)
	if out, err := ask("SSL_CERT_FILE=" + trusted); err != nil || out != "Yes.\n" {
		t.Errorf("%v: %s", err, out)
	}
	h.question(t, "user: Well?")
}

func TestAddressesOfHosts(t *testing.T) {
	for text, want := range map[string]string{
		"example.com": "http://example.com:8080", "example.com:1": "http://example.com:1", "http://example.com": "http://example.com",
		"https://example.com/pio/": "https://example.com/pio", "https://example.com/pio/v1/": "https://example.com/pio", "[::1]": "http://[::1]:8080",
		"[::1]:9": "http://[::1]:9",
	} {
		if r, err := overURL(text, "--host"); err != nil || r.base != want {
			t.Errorf("%s: %+v, %v", text, r, err)
		}
	}
	for _, text := range []string{"http://", "ftp://example.com", "http://a?b", "http://a#b", "http://a b", ":8080", "http://%"} {
		if r, err := overURL(text, "--host"); err == nil || !strings.Contains(err.Error(), "expected") {
			t.Errorf("%s: %+v, %v", text, r, err)
		}
	}
	if r, err := overURL("http://ada:secret@example.com", "PIO_HOST"); err != nil || strings.Contains(r.named, "secret") {
		t.Errorf("%+v, %v", r, err)
	}
}
