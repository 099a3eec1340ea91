package process

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every hazard has a row, and every test that a row names exists.
func TestHazardsAreCovered(t *testing.T) {
	text, err := os.ReadFile("HAZARDS.md")
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 33; n++ {
		if !strings.Contains(string(text), fmt.Sprintf("| H%d |", n)) {
			t.Errorf("H%d has no row", n)
		}
	}
	var tests strings.Builder
	err = filepath.WalkDir("../../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		tests.Write(source)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile(`\b(Test|Fuzz)[A-Z]\w+`).FindAllString(string(text), -1) {
		if !strings.Contains(tests.String(), "func "+name+"(") {
			t.Errorf("there is no %s", name)
		}
	}
}
