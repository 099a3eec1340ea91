// Package configtest is what the tests of every model's config.json have in common: a published config with changes, what must be
// refused and in which words, and the README's table of what the published config comes to in bytes.
package configtest

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
)

// Suite is a published config and the model's own way to read it.
type Suite[C any] struct {
	Published string // config.json
	Part      string // the object in it that describes the decoder, "" for the top level
	Parse     func(text []byte) (C, error)
}

// With is the published config with keys set, or removed where the value is "-"; "text_config.hidden_size" is a key inside.
func (s Suite[C]) With(t testing.TB, changes string) []byte {
	t.Helper()
	return s.with(t, "", changes)
}

// with changes keys inside of an object, if one is named.
func (s Suite[C]) with(t testing.TB, part, changes string) []byte {
	t.Helper()
	var keys, change map[string]any
	if err := json.Unmarshal([]byte(s.Published), &keys); err != nil {
		t.Fatalf("the published config: %v", err)
	}
	if err := json.Unmarshal([]byte("{"+changes+"}"), &change); err != nil {
		t.Fatalf("%s: %v", changes, err)
	}
	for path, value := range change {
		object, key, inside := strings.Cut(path, ".")
		if !inside {
			object, key = part, path
		}
		in := keys
		if object != "" {
			in = keys[object].(map[string]any)
		}
		if in[key] = value; value == "-" {
			delete(in, key)
		}
	}
	text, err := json.Marshal(keys)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Parsed reads the published config with changes, which must be right.
func (s Suite[C]) Parsed(t testing.TB, changes string) C {
	t.Helper()
	c, err := s.Parse(s.With(t, changes))
	if err != nil {
		t.Errorf("with %s: %v", changes, err)
	}
	return c
}

// Same says whether two files are one config but for what forget takes from both.
func (s Suite[C]) Same(t testing.TB, a, b string, forget func(*C)) {
	t.Helper()
	var parsed [2]C
	for i, file := range []string{a, b} {
		text, err := os.ReadFile(file)
		if err == nil {
			parsed[i], err = s.Parse(text)
		}
		if err != nil {
			t.Fatal(err)
		}
		forget(&parsed[i])
	}
	if !reflect.DeepEqual(parsed[0], parsed[1]) {
		t.Errorf("%s: %+v\n%s: %+v", a, parsed[0], b, parsed[1])
	}
}

// Refusals are pairs of a change to the published config and what the error must say.
type Refusals [][2]string

// Refuses checks that each change is refused in its words, behind the name of the file.
func (s Suite[C]) Refuses(t testing.TB, all Refusals) {
	t.Helper()
	s.refuses(t, "", all)
}

func (s Suite[C]) refuses(t testing.TB, part string, all Refusals) {
	t.Helper()
	for _, pair := range all {
		change, want := pair[0], pair[1]
		_, err := s.Parse(s.with(t, part, change))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "config.json: ") {
			t.Errorf("with %s: %v\nwant config.json: ... %s", change, err, want)
		}
	}
}

// Fuzz checks whatever is accepted, beginning with the published config.
func (s Suite[C]) Fuzz(f *testing.F, accepted func(t *testing.T, c C), seeds ...[]byte) {
	f.Add([]byte(s.Published))
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if c, err := s.Parse(text); err == nil {
			accepted(t, c)
		}
	})
}
