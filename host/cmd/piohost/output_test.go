package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

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

// What a host, a plugin or a checkpoint says of itself steers no terminal, in an error, a list or a log.
func TestNobodySteersTheTerminal(t *testing.T) {
	h := newFakeHost(t)
	h.models = `{"data":[{"id":"a\u001b]0;b\u0007c\u009b","state":"rea\u001b[2Jdy","owned_by":"inference-pio"}]}`
	p := sitDown(t, "models", "--host", h.url)
	p.leaves(0)
	if got := p.rest(); !strings.Contains(got, "a]0;bc  ") || !strings.Contains(got, "rea[2Jdy") || strings.ContainsAny(got, "\x1b\x07\u009b") {
		t.Errorf("on the screen %q", got)
	}
	h.models = ""
	p = sitDown(t, "run", "tiny", "Well?", "--config", h.config)
	h.answers("", "", `data: {"error":{"message":"bad\u001b[2J luck"}}`+"\n\n")
	p.leaves(exitFailure)
	if got := p.rest(); !strings.HasPrefix(got, "piohost: bad") || !strings.HasSuffix(got, " luck\r\n") || strings.Contains(got, "\x1b") {
		t.Errorf("on the screen %q", got)
	}
	master, slave := openTerminal(t)
	c := newConsole(slave)
	c.show("m: \x1b[5mmap")
	fmt.Fprint(c, "a log\x1b[2J line\n")
	buf := make([]byte, 200)
	n, _ := master.Read(buf)
	for !strings.Contains(string(buf[:n]), "line") {
		more, err := master.Read(buf[n:])
		if err != nil {
			t.Fatal(err)
		}
		n += more
	}
	if got := strings.ReplaceAll(string(buf[:n]), clearLine, ""); strings.Contains(got, "\x1b") {
		t.Errorf("on the screen %q", got)
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

// Who closes the pipe has had enough: the command ends without a word, and leaves nothing behind.
func TestPipeThatNobodyReads(t *testing.T) {
	dir, config := t.TempDir(), newFakeHost(t).config
	model, err := filepath.Abs("../../../sdk/examples/echo/testdata/model")
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("[server]\nlisten = \"127.0.0.1:1\"\n[plugins]\ndirs = [%q]\nallow_unlocked = true\n[[model]]\nid = \"echo\"\nplugin = \"echo\"\npath = %q\n", binaries, model)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"run", "echo", "Hi"}, {"models", "--json"}} {
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		read.Close()
		cmd := exec.Command(filepath.Join(binaries, "piohost"), append(args, "--config", config)...)
		var said strings.Builder
		cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), "TMPDIR="+dir), write, &said
		err = cmd.Run()
		write.Close()
		if cmd.ProcessState.ExitCode() != exitPipe || strings.Contains(said.String(), "piohost:") {
			t.Errorf("%q: %v, %s", args, err, &said)
		}
	}
	for _, places := range []string{"piohost-*", "pio-*/*"} { // of this command, of its plugins
		if left, err := filepath.Glob(filepath.Join(dir, places)); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}
}
