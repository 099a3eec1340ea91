package openai

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/host/internal/body"
)

// docs/api.md says of every field in the tables what becomes of it, and of no other.
func TestTheDocumentedFieldsAreTheTables(t *testing.T) {
	text, err := os.ReadFile("../../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]map[string]string{"chat": {}, "completions": {}}
	for _, kind := range []string{"Honoured", "Refused", "No effect"} {
		_, section, _ := strings.Cut(string(text), "\n## "+kind+"\n")
		section, _, _ = strings.Cut(section, "\n## ")
		for _, line := range strings.Split(section, "\n") {
			for endpoint := range documented {
				for _, name := range fieldNames(kind, line, endpoint) {
					if was, twice := documented[endpoint][name]; twice {
						t.Errorf("%s of %s is documented as %s and as %s", name, endpoint, was, kind)
					}
					documented[endpoint][name] = kind
				}
			}
		}
	}
	for endpoint, own := range map[string]fields{"chat": chatFields, "completions": completionFields} {
		for name, want := range kinds(own, common) {
			if got := documented[endpoint][name]; got != want {
				t.Errorf("%s of %s is documented as %q; it is %q", name, endpoint, got, want)
			}
			delete(documented[endpoint], name)
		}
		for name := range documented[endpoint] {
			t.Errorf("%s of %s is documented, but nobody knows it", name, endpoint)
		}
	}
}

// What the sections of the smaller endpoints say is their tables as well.
func TestTheSectionsNameTheirFields(t *testing.T) {
	text, err := os.ReadFile("../../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	for heading, tables := range map[string][]fields{"/v1/embeddings": {embeddingFields}, "Sequences": {openFields, forwardFields}, "/tokenize and /detokenize": {tokenizeFields, detokenizeFields}} {
		_, section, found := strings.Cut(string(text), "\n## "+heading+"\n")
		section, _, _ = strings.Cut(section, "\n## ")
		for _, table := range tables {
			for name := range table {
				if !strings.Contains(section, "`"+name+"`") && !strings.Contains(section, `"`+name+`"`) {
					t.Errorf("%s: the field %s is not told of (%v)", heading, name, found)
				}
			}
		}
	}
}

var code = regexp.MustCompile("`([a-z_]+)`")

// fieldNames are those that a line of the section names for an endpoint.
func fieldNames(kind, line, endpoint string) []string {
	named := line
	if kind != "No effect" {
		cells := strings.Split(line, "|")
		if len(cells) < 5 || strings.TrimSpace(cells[map[string]int{"chat": 2, "completions": 3}[endpoint]]) != "yes" {
			return nil
		}
		named = cells[1]
	}
	var list []string
	for _, m := range code.FindAllStringSubmatch(named, -1) {
		list = append(list, m[1])
	}
	return list
}

// kinds tells of every field of the tables what becomes of it, an endpoint's own table first.
func kinds(tables ...fields) map[string]string {
	out := map[string]string{}
	for _, table := range slices.Backward(tables) {
		for name, read := range table {
			out[name] = kindOf(read)
		}
	}
	return out
}

// kindOf gives the field a value that nobody accepts, and sees why not.
func kindOf(read body.Reader[request]) string {
	if read == nil {
		return "No effect"
	}
	if err := read(&request{}, json.RawMessage(`["?"]`)); err != nil && strings.Contains(err.Error(), "this host does not support") {
		return "Refused"
	}
	return "Honoured"
}
