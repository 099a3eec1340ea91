// suite_test.go asks the official JSON Schema Test Suite: what is valid under a schema that is held can be written, what is not cannot.

package schema

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/sdk/grammar"
)

// suite is the folder of the published copy that a module carries; it is fetched if it is not there.
func suite(t *testing.T) string {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/google/jsonschema-go").Output()
	dir := filepath.Join(strings.TrimSpace(string(out)), "jsonschema", "testdata")
	if _, stat := os.Stat(filepath.Join(dir, "draft2020-12")); err != nil || stat != nil {
		t.Skip("third-party data: the module that carries the JSON Schema Test Suite is not here and cannot be fetched")
	}
	return dir
}

type suiteCase struct {
	Description string
	Schema      json.RawMessage
	Tests       []struct {
		Description string
		Data        json.RawMessage
		Valid       bool
	}
}

// unheld are files of the suite about what is refused with strict, and may be looser without. Of $dynamicRef only what leads out of the schema is.
var unheld = []string{"dynamicRef.json", "refRemote.json", "uniqueItems.json"}

func TestOfficialSuite(t *testing.T) {
	dir := suite(t)
	for draft, dialect := range map[string]string{"draft2020-12": "https://json-schema.org/draft/2020-12/schema", "draft7": "http://json-schema.org/draft-07/schema#"} {
		files, err := filepath.Glob(filepath.Join(dir, draft, "*.json"))
		if err != nil || len(files) < 30 {
			t.Fatalf("%d files of %s: %v", len(files), draft, err)
		}
		var held, refused, valid, wrong int
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var cases []suiteCase
			if err := json.Unmarshal(text, &cases); err != nil {
				t.Fatal(err)
			}
			for _, c := range cases {
				name := draft + "/" + filepath.Base(file) + ": " + c.Description
				s, err := Compile(withDialect(c.Schema, dialect), true)
				var e *Error
				if errors.As(err, &e) && (e.Keyword != "" || strings.Contains(e.Message, "nothing is fetched")) {
					refused++
					if !slices.Contains(unheld, filepath.Base(file)) {
						t.Logf("%s is refused: %v", name, err)
					}
					checkLoose(t, name, withDialect(c.Schema, dialect), c)
					continue
				}
				empty := err != nil && strings.Contains(err.Error(), "no value is valid")
				if err != nil && !empty {
					t.Errorf("%s: %v", name, err)
					continue
				}
				held++
				for _, test := range c.Tests {
					got := !empty && writes(t, s, test.Data)
					if got != test.Valid {
						t.Errorf("%s: %s: %s can be written: %v", name, test.Description, test.Data, got)
					}
					if test.Valid {
						valid++
					} else {
						wrong++
					}
				}
			}
		}
		t.Logf("%s: %d schemas are held, with %d valid and %d invalid values; %d are refused", draft, held, valid, wrong, refused)
		if least := map[string]int{"draft2020-12": 317, "draft7": 237}[draft]; held < least {
			t.Errorf("%s: only %d schemas are held, not %d", draft, held, least)
		}
	}
}

// checkLoose asks of a schema that strict refuses that every valid value can be written, and that the rest is found at the end.
func checkLoose(t *testing.T, name string, schema json.RawMessage, c suiteCase) {
	s, err := Compile(schema, false)
	if err != nil {
		return
	}
	if len(s.Loose) == 0 {
		t.Errorf("%s: strict refuses it, and nothing of it is loose", name)
	}
	for _, test := range c.Tests {
		if test.Valid && !writes(t, s, test.Data) {
			t.Errorf("%s: %s: %s cannot be written", name, test.Description, test.Data)
		}
		if err := s.Check(test.Data); (err == nil) != test.Valid {
			t.Errorf("%s: %s: %s is checked: %v", name, test.Description, test.Data, err)
		}
	}
}

// withDialect names the draft whose file a schema stands in.
func withDialect(schema json.RawMessage, dialect string) json.RawMessage {
	rest, object := strings.CutPrefix(strings.TrimSpace(string(schema)), "{")
	if !object || strings.Contains(rest, `"$schema"`) {
		return schema
	}
	head := `{"$schema": "` + dialect + `"`
	if strings.TrimSpace(rest) != "}" {
		head += ","
	}
	return json.RawMessage(head + rest)
}

// writes says that some spelling of a value, with its keys in some order, belongs to the schema's language.
func writes(t *testing.T, s *Schema, data []byte) bool {
	t.Helper()
	g, err := s.Expr.Compile()
	if err != nil {
		t.Fatal(err)
	}
	v, err := parse(data)
	if err != nil {
		t.Fatal(err)
	}
	start := g.Over(letters(t), nil).Start()
	for _, end := range spell(v, []*grammar.Matcher{start}) {
		if end.Complete() {
			return true
		}
	}
	return false
}

// spell goes on from each matcher with each spelling of a value.
func spell(v *value, from []*grammar.Matcher) []*grammar.Matcher {
	switch v.kind {
	case '[':
		to := read(from, "[")
		for i, item := range v.items {
			if i > 0 {
				to = read(to, ",")
			}
			to = spell(item, to)
		}
		return read(to, "]")
	case '{':
		return read(members(v, make([]bool, len(v.items)), read(from, "{"), 0), "}")
	}
	return read(from, spellings(v.scalar)...)
}

// members goes on with the members that are not written yet, in every order that the grammar takes.
func members(v *value, written []bool, from []*grammar.Matcher, count int) []*grammar.Matcher {
	if count == len(v.items) || len(from) == 0 {
		return from
	}
	var to []*grammar.Matcher
	for i, key := range v.keys {
		if written[i] {
			continue
		}
		at := from
		if count > 0 {
			at = read(at, ",")
		}
		if at = read(at, compact(key)+":"); len(at) == 0 {
			continue
		}
		written[i] = true
		to = append(to, members(v, written, spell(v.items[i], at), count+1)...)
		written[i] = false
	}
	return to
}

func read(from []*grammar.Matcher, texts ...string) []*grammar.Matcher {
	var to []*grammar.Matcher
	for _, m := range from {
		for _, text := range texts {
			if next := m.Clone(); next.Read(text) {
				to = append(to, next)
			}
		}
	}
	return to
}

// spellings of a number are as it stands, and without its point or exponent.
func spellings(v any) []string {
	out := []string{compact(v)}
	if n, ok := v.(json.Number); ok {
		if r, ok := rational(n); ok {
			if r.IsInt() {
				out = append(out, r.Num().String(), r.Num().String()+".0")
			} else {
				out = append(out, strings.TrimRight(r.FloatString(400), "0"))
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
