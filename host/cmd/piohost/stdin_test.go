package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
)

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
