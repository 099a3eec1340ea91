package config

// docs_test.go holds docs/config.md to the reader: every key that the reader asks for stands in the table of its section, with its
// kind and its default, and no other does.

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// documented is a row of docs/config.md.
type documented struct{ kind, fallback, meaning string }

var (
	sectionTitle = regexp.MustCompile("^## `\\[+([a-z.]+)\\]+`$")
	keyRow       = regexp.MustCompile("^\\| `([a-z0-9_]+)` \\| (.+) \\| (.+) \\| (.+) \\|$")
	exampleBlock = regexp.MustCompile("(?s)```toml\n(.*?)```")
	// a block of README.md that begins with a table
	indentedBlock = regexp.MustCompile(`(?m)^\n((?:    \[.*\n)(?:    .*\n|\n    .*\n)*)`)
)

// readDocs returns the rows of every section by "section.key".
func readDocs(t *testing.T) (rows map[string]documented, text string) {
	t.Helper()
	file, err := os.ReadFile("../../../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	rows = map[string]documented{}
	section := ""
	for n, line := range strings.Split(string(file), "\n") {
		if m := sectionTitle.FindStringSubmatch(line); m != nil {
			section = m[1]
		}
		if m := keyRow.FindStringSubmatch(line); m != nil {
			rows[section+"."+m[1]] = documented{m[2], m[3], m[4]}
		} else if strings.HasPrefix(line, "| `") {
			t.Errorf("docs/config.md:%d: a row of another form than | `key` | type | default | meaning |", n+1)
		}
	}
	return rows, string(file)
}

// asToml writes a default as it would stand in the file, "" for none.
func asToml(value any) string {
	switch value := value.(type) {
	case nil:
		return ""
	case string:
		return fmt.Sprintf("%q", value)
	case time.Duration:
		text := value.String()
		for _, zero := range []string{"m0s", "h0m"} {
			if short, ok := strings.CutSuffix(text, zero); ok {
				text = short + zero[:1]
			}
		}
		return fmt.Sprintf("%q", text)
	case []string:
		if len(value) == 0 {
			return ""
		}
		return fmt.Sprintf("[%q]", strings.Join(value, `", "`))
	}
	return fmt.Sprint(value)
}

// everyKey is what the reader asks of a file that has each kind of table.
func everyKey(t *testing.T) []question {
	t.Helper()
	r := &reader{document: &document{file: "models.toml", lines: map[string]int{}}, dir: "/", disk: anywhere}
	table := []map[string]any{{"name": "cpu", "id": "m", "path": "model"}}
	r.config(map[string]any{"model": table, "device": table, "key": table})
	var list []question
	for _, q := range r.asked {
		q.table, _, _ = strings.Cut(q.table, "[")
		if q.table != "" {
			list = append(list, q)
		}
	}
	return list
}

func TestDocsHaveEveryKeyWithItsDefault(t *testing.T) {
	rows, _ := readDocs(t)
	known := map[string]bool{}
	for _, q := range everyKey(t) {
		name := q.table + "." + q.key
		known[name] = true
		row, there := rows[name]
		switch want := asToml(q.fallback); {
		case !there:
			t.Errorf("docs/config.md has no row for %s in the table of [%s]", q.key, q.table)
		case row.kind != q.kind:
			t.Errorf("docs/config.md says that %s is a %s, the reader expects %s", name, row.kind, q.kind)
		case want != "" && row.fallback != "`"+want+"`":
			t.Errorf("docs/config.md says that the default of %s is %s, it is `%s`", name, row.fallback, want)
		case want == "" && strings.HasPrefix(row.fallback, "`"):
			t.Errorf("docs/config.md gives %s the default %s; say in words what holds without the key", name, row.fallback)
		}
	}
	if len(known) < 30 {
		t.Fatalf("the reader asked for %d keys only", len(known))
	}
	for name := range rows {
		if !known[name] {
			t.Errorf("docs/config.md has %s, which the reader does not know", name)
		}
	}
}

// The examples in docs/config.md and README.md have no mistakes.
func TestDocsExamplesAreRead(t *testing.T) {
	_, text := readDocs(t)
	blocks := exampleBlock.FindAllStringSubmatch(text, -1)
	readme, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks = append(blocks, indentedBlock.FindAllStringSubmatch(string(readme), -1)...)
	if len(blocks) < 2 {
		t.Fatal("docs/config.md and README.md have no examples")
	}
	for _, b := range blocks {
		if _, err := parse("models.toml", []byte(b[1]), anywhere); err != nil {
			t.Errorf("%v in\n%s", err, b[1])
		}
	}
}
