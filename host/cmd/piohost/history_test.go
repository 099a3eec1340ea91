package main

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode"
)

// quiet fails the test if something is told.
func quiet(t *testing.T) func(error) {
	return func(err error) { t.Error(err) }
}

func TestHistoryIsKeptAndBounded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state", "piohost", "history")
	h := openHistory(file, quiet(t))
	for i := range 3 * maxHistory {
		h.Add(fmt.Sprint("line ", i))
	}
	for _, line := range []string{fmt.Sprint("line ", 3*maxHistory-1), "", "  ", "a\x1b[2Jb", strings.Repeat("x", maxHistoryLine+1), "\xff"} {
		h.Add(line)
	}
	if h.Len() != maxHistory || h.At(0) != fmt.Sprint("line ", 3*maxHistory-1) || h.At(maxHistory-1) != fmt.Sprint("line ", 2*maxHistory) {
		t.Errorf("%d lines, from %q to %q", h.Len(), h.At(h.Len()-1), h.At(0))
	}
	again := openHistory(file, quiet(t))
	if !reflect.DeepEqual(again.lines, h.lines) {
		t.Errorf("%d lines are read again, of %d", again.Len(), h.Len())
	}
	data, err := os.ReadFile(file)
	if err != nil || strings.Count(string(data), "\n") != maxHistory {
		t.Errorf("the file has %d lines, %v", strings.Count(string(data), "\n"), err)
	}
	for path, want := range map[string]os.FileMode{file: 0o600, filepath.Dir(file): 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, %v", path, info.Mode(), err)
		}
	}
}

// Two chats at once write to one file; neither loses its lines.
func TestHistoryOfTwoChats(t *testing.T) {
	file := filepath.Join(t.TempDir(), "history")
	one, two := openHistory(file, quiet(t)), openHistory(file, quiet(t))
	one.Add("one")
	two.Add("two")
	one.Add("three")
	if got := openHistory(file, quiet(t)).lines; !reflect.DeepEqual(got, []string{"one", "two", "three"}) {
		t.Errorf("%q", got)
	}
}

// A file that cannot be written costs the memory, not the chat; it is told once.
func TestHistoryWithoutAPlace(t *testing.T) {
	var told []string
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h := openHistory(filepath.Join(blocked, "history"), func(err error) { told = append(told, err.Error()) })
	h.Add("one")
	h.Add("two")
	if h.Len() != 2 || len(told) != 1 || !strings.Contains(told[0], "not kept for the next chat") {
		t.Errorf("%d lines; told %q", h.Len(), told)
	}
}

func TestHistoryPath(t *testing.T) {
	for _, c := range []struct{ state, home, want string }{
		{"/s", "/h", "/s/piohost/history"},
		{"", "/h", "/h/.local/state/piohost/history"},
		{"relative", "/h", "/h/.local/state/piohost/history"},
		{"", "", ""},
	} {
		env := map[string]string{"XDG_STATE_HOME": c.state, "HOME": c.home}
		if got := historyPath(func(name string) string { return env[name] }); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

// Whatever is in the file, what is recalled from it is bounded and does not steer the terminal.
func FuzzHistory(f *testing.F) {
	for _, seed := range []string{"", "one\ntwo\n", "one\r\n", "\x1b[2J\n", "\xff\xfe\n", strings.Repeat("a\n", 3*maxHistory), "␤\n\n \n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		lines := parseHistory(data)
		if len(lines) > maxHistory {
			t.Fatalf("%d lines", len(lines))
		}
		for _, line := range lines {
			if len(line) > maxHistoryLine || strings.ContainsFunc(line, unicode.IsControl) {
				t.Fatalf("%q is recalled", line)
			}
		}
		if again := parseHistory([]byte(strings.Join(lines, "\n") + "\n")); !reflect.DeepEqual(again, lines) {
			t.Fatalf("%q is read again as %q", lines, again)
		}
	})
}
