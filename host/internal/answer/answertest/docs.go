package answertest

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/host/internal/body"
)

var named = regexp.MustCompile("`([a-z0-9_]+)`")

// Documented holds a section of docs/api.md to a protocol's tables: fields that are honoured stand in a row of a table, those that are refused in
// the paragraph that begins with "Refused", those without effect in the one that begins with "No effect". page is where docs/api.md lies.
func Documented[R any](t *testing.T, page, heading string, tables ...body.Fields[R]) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("docs/api.md has no section %s", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	documented := map[string]map[string]bool{"Honoured": {}, "Refused": {}, "No effect": {}}
	for _, paragraph := range strings.Split(section, "\n\n") {
		kind := map[bool]string{true: "Honoured"}[strings.HasPrefix(paragraph, "|")]
		for _, k := range []string{"Refused", "No effect"} {
			if strings.HasPrefix(paragraph, k) {
				kind = k
			}
		}
		for _, m := range named.FindAllStringSubmatch(paragraph, -1) {
			if kind != "" {
				documented[kind][m[1]] = true
			}
		}
	}
	seen := 0
	for _, table := range tables {
		for name, read := range table {
			seen++
			if kind := kindOf(read); !documented[kind][name] {
				t.Errorf("%s: the field %s is %s, and the page does not say so", heading, name, strings.ToLower(kind))
			}
			for _, k := range []string{"Refused", "No effect"} {
				if documented[k][name] && kindOf(read) != k {
					t.Errorf("%s: the page has the field %s under %s; it is %s", heading, name, k, strings.ToLower(kindOf(read)))
				}
			}
		}
	}
	if seen < 5 {
		t.Errorf("%s: only %d fields", heading, seen)
	}
}

// kindOf gives the field a value that nobody accepts, and sees why not.
func kindOf[R any](read body.Reader[R]) string {
	if read == nil {
		return "No effect"
	}
	if err := read(new(R), json.RawMessage(`["?"]`)); err != nil && regexp.MustCompile("this host (does not support|keeps no)").MatchString(err.Error()) {
		return "Refused"
	}
	return "Honoured"
}
