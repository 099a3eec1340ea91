package pio

// formats_test.go holds docs/formats.md to its word: each row of what a file says names the test that holds it, and that test is there.

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// namedTest is a test by its function, or by how that begins and two dots, perhaps with the package before it and a case behind it.
var namedTest = regexp.MustCompile("(?:`([a-z0-9_/]+)` )?(Test[A-Za-z0-9]+)(\\.\\.)?")

func TestFormatsNameTheirTests(t *testing.T) {
	text, err := os.ReadFile("docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	sources := testSources(t)
	rows, column := 0, -1
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.ReplaceAll(strings.TrimSpace(line), `\|`, ""), "|"), "|")
		switch {
		case !strings.HasPrefix(line, "|"):
			column = -1
		case strings.TrimSpace(cells[len(cells)-1]) == "test":
			column = len(cells) - 1
		case column >= 0 && !strings.HasPrefix(line, "|---"):
			rows++
			if len(cells) != column+1 {
				t.Errorf("%d cells, not %d: %s", len(cells), column+1, line)
				continue
			}
			for i, cell := range cells {
				if strings.TrimSpace(cell) == "" {
					t.Errorf("cell %d is empty: %s", i+1, line)
				}
			}
			tests := namedTest.FindAllStringSubmatch(cells[column], -1)
			if len(tests) == 0 && !strings.HasPrefix(strings.TrimSpace(cells[column]), "the same") {
				t.Errorf("no test is named: %s", line)
			}
			for _, found := range tests {
				if !sources.have(found[1], found[2], found[3] != "") {
					t.Errorf("there is no %s: %s", found[0], line)
				}
			}
		}
	}
	if rows < 60 {
		t.Errorf("%d rows that name tests", rows)
	}
}

// folders have the sources of tests of each, joined.
type folders map[string][]byte

func testSources(t *testing.T) folders {
	t.Helper()
	f := folders{}
	for _, room := range []string{"internal", "cuda", "sdk", "host", "plugins"} {
		err := filepath.WalkDir(room, func(path string, _ os.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			f[filepath.Dir(path)] = append(f[filepath.Dir(path)], text...)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// have says whether a folder, or with "" any, has a test of that name, or of one that begins so.
func (f folders) have(folder, name string, begins bool) bool {
	want := "func " + name
	if !begins {
		want += "("
	}
	for path, text := range f {
		if (folder == "" || path == folder || path == "plugins/"+folder) && bytes.Contains(text, []byte(want)) {
			return true
		}
	}
	return false
}
