package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/sdk"
)

// script writes an executable script that becomes the test binary, after the given lines.
func script(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "plugin.sh")
	text := fmt.Sprintf("#!/bin/sh\n%s\nexec '%s'\n", strings.Join(lines, "\n"), spec(t, "").Path)
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestScriptsAreStartedPinnedAndToldWhereTheyLie(t *testing.T) {
	ownTemp(t)
	s := spec(t, "good")
	s.Path = script(t, "MINE=yes; export MINE")
	sealed, err := seal(s.Path, "")
	if err != nil {
		t.Fatal(err)
	}
	s.SHA256 = sealed.sha256
	sealed.close()
	p := start(t, s)
	environment := ask(t, p, "environment")
	for _, want := range []string{"MINE=yes", sdk.EnvFile + "=" + s.Path} {
		if !strings.Contains("\n"+environment+"\n", "\n"+want+"\n") {
			t.Errorf("its environment lacks %s:\n%s", want, environment)
		}
	}
	s.SHA256 = strings.Repeat("0", 64)
	if failure := startFails(t, s); !strings.HasPrefix(failure.Text, "its sha256 is ") {
		t.Errorf("a changed script: %s", failure.Text)
	}
}

// A compiled plugin, too, learns where its file lies; a relative path would say little to a process.
func TestPluginIsToldWhereItsFileLies(t *testing.T) {
	ownTemp(t)
	s := spec(t, "good")
	dir, name := filepath.Split(s.Path)
	t.Chdir(dir)
	s.Path = "./" + name
	if environment := ask(t, start(t, s), "environment"); !strings.Contains("\n"+environment+"\n", "\n"+sdk.EnvFile+"="+filepath.Join(dir, name)+"\n") {
		t.Errorf("its environment lacks %s:\n%s", sdk.EnvFile, environment)
	}
}

// As with compiled plugins, what was hashed is what the interpreter reads.
func TestScriptMayChangeBetweenCheckAndStart(t *testing.T) {
	path := script(t, "exit 3")
	b, err := seal(path, "")
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	if err := os.WriteFile(path, []byte("#!/bin/sh\nexit 0\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	var status *exec.ExitError
	if err := runSealed(b); !errors.As(err, &status) || status.ExitCode() != 3 {
		t.Errorf("the checked script exits with status 3; this one: %v", err)
	}
}

func TestScriptsThatCannotBeStarted(t *testing.T) {
	dir := t.TempDir()
	notExecutable := filepath.Join(dir, "interpreter")
	if err := os.WriteFile(notExecutable, []byte("#!/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ text, want string }{
		"no interpreter":   {"#!\nexit", `is a script whose first line is "#!"; it must name its interpreter by an absolute path`},
		"relative":         {"#!python3\n", `is a script whose first line is "#!python3"; it must name`},
		"no end of line":   {"#!/bin/sh", "is a script whose first line is longer than 255 bytes"},
		"long line":        {"#!/bin/sh " + strings.Repeat("x", 246) + "\n", "is a script whose first line is longer than 255 bytes"},
		"windows":          {"#!/bin/sh\r\nexit\r\n", "is a script whose first line ends in a carriage return"},
		"zero byte":        {"#!/bin/\x00sh\n", "is a script whose first line holds a zero byte"},
		"missing":          {"#!/no/such/interpreter -u\n", "cannot be executed: its interpreter /no/such/interpreter, or that one's loader, is not on this machine"},
		"not executable":   {"#! " + notExecutable + "\n", "cannot be executed: its interpreter " + notExecutable + " may not be executed"},
		"ends by itself":   {"#!/bin/sh\necho no luck >&2\nexit 3\n", "exited with status 3 before the handshake"},
		"longest possible": {"#!/bin/sh " + strings.Repeat(" ", 245) + "\nexit 4\n", "exited with status 4 before the handshake"},
	} {
		t.Run(name, func(t *testing.T) {
			s := spec(t, "good")
			s.Path = filepath.Join(dir, name)
			if err := os.WriteFile(s.Path, []byte(test.text), 0o755); err != nil {
				t.Fatal(err)
			}
			if failure := startFails(t, s); !strings.HasPrefix(failure.Text, test.want) {
				t.Errorf("got %q, want %q", failure.Text, test.want)
			}
		})
	}
}
