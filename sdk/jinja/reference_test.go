package jinja

import (
	"context"
	"encoding/json"
	"os"
	"testing"
	"time"
)

// referenceCase is one template with what the reference makes of it.
type referenceCase struct {
	Template string  `json:"template"`
	Text     *string `json:"text"`
	Error    string  `json:"error"`
	Message  string  `json:"message"`
}

func render(t testing.TB, template string, vars map[string]Value) (string, error) {
	t.Helper()
	tmpl, err := Parse(template)
	if err != nil {
		return "", err
	}
	return tmpl.Render(context.Background(), Input{Vars: vars, Now: func() time.Time { return time.Date(2026, 3, 4, 15, 6, 7, 0, time.UTC) }})
}

func readCases(t testing.TB, path string) (map[string]Value, []referenceCase) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Context json.RawMessage
		Cases   []referenceCase
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	v, err := FromJSON(file.Context)
	if err != nil {
		t.Fatal(err)
	}
	vars := map[string]Value{}
	d := v.(*Dict)
	for i, k := range d.keys {
		vars[k.(string)] = d.values[i]
	}
	return vars, file.Cases
}

// TestTemplatesRenderAsTheReference compares every case of what jinja2, set up as in doc.go, printed or refused.
// testdata/reference.py made more.json and random.json.
func TestTemplatesRenderAsTheReference(t *testing.T) {
	for _, path := range []string{"testdata/jinja.json", "testdata/more.json", "testdata/random.json"} {
		vars, cases := readCases(t, path)
		if len(cases) < 100 {
			t.Fatalf("%s: only %d cases", path, len(cases))
		}
		for _, c := range cases {
			got, err := render(t, c.Template, vars)
			switch e, _ := err.(*Error); {
			case c.Text != nil && err != nil:
				t.Errorf("%q\n  got  %v\n  want %q", c.Template, err, *c.Text)
			case c.Text != nil && got != *c.Text:
				t.Errorf("%q\n  got  %q\n  want %q", c.Template, got, *c.Text)
			case c.Text == nil && err == nil:
				t.Errorf("%q\n  got  %q\n  want %s: %s", c.Template, got, c.Error, c.Message)
			case c.Text == nil && c.Error != "any" && string(e.Kind) != c.Error:
				t.Errorf("%q\n  got  %v\n  want %s: %s", c.Template, err, c.Error, c.Message)
			case c.Text == nil && e.Kind == Raised && e.Message != c.Message:
				t.Errorf("%q\n  got  %q\n  want %q", c.Template, e.Message, c.Message)
			}
		}
	}
}
