// Package configtest is what the tests of every model's config.json have in common: a published config with changes, what it is read
// as, what must be refused and in which words, and what the published config comes to in bytes.
//
//	var configs = configtest.Suite[Config]{Published: published, Parse: ParseConfig, ...}
//
//	func TestConfig(t *testing.T) { configs.Test(t) }
package configtest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// Config is what a model makes of config.json.
type Config interface {
	Published() bool // these are the dimensions of the published model
}

// Suite is a published config, the model's own way to read it, and what comes of it.
type Suite[C Config] struct {
	Published string // config.json
	Part      string // the object in it that describes the decoder, "" for the top level
	Parse     func(text []byte) (C, error)

	// Spellings are folders with one config in both spellings, config.json and config.v5.json, and what is so of it.
	Spellings map[string]func(c C) bool
	Forget    func(c *C) // takes away what only one spelling says; nil: nothing

	// Reads says for changes to the published config what is so of the result. An absent key means what the reference takes it for.
	Reads   map[string]func(c C) bool
	Others  []string // changes that make a legal config of it that is not the published model's
	Refused Refusals // what this model refuses besides what every decoder does

	Bounds   Bounds   // of the numbers that this model has besides those of every decoder
	Accepted []string // changes that go as far as they may

	// WholeHeads says that heads of head_dim share those of keys and values in groups, and that the rope turns all of a head.
	WholeHeads bool
}

// Test runs every test of a config, each by its name.
func (s Suite[C]) Test(t *testing.T) {
	t.Run("Read", func(t *testing.T) { s.read(t) })
	t.Run("Published", func(t *testing.T) { s.published(t) })
	t.Run("Spelled", func(t *testing.T) { s.spelled(t) })
	t.Run("Decoder", s.Decoder)
	t.Run("Refused", func(t *testing.T) { s.Refuses(t, s.Refused) })
	t.Run("Bounds", func(t *testing.T) { s.bounds(t, "", s.Bounds) })
	t.Run("Accepted", func(t *testing.T) { s.accepts(t) })
}

// Without is the change that removes keys.
func Without(keys ...string) string {
	changes := make([]string, len(keys))
	for i, key := range keys {
		changes[i] = fmt.Sprintf(`%q: "-"`, key)
	}
	return strings.Join(changes, ", ")
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

// read checks what the config is read as.
func (s Suite[C]) read(t testing.TB) {
	t.Helper()
	for change, is := range s.Reads {
		if c := s.Parsed(t, change); !is(c) {
			t.Errorf("with %s it is read as %+v", change, c)
		}
	}
}

// published tells the published model from others that can be run.
func (s Suite[C]) published(t testing.TB) {
	t.Helper()
	if c := s.Parsed(t, ""); !c.Published() {
		t.Errorf("it is not the published model: %+v", c)
	}
	if len(s.Others) == 0 {
		t.Error("the suite names no change that makes another model of it")
	}
	for _, change := range s.Others {
		if c, err := s.Parse(s.With(t, change)); err != nil || c.Published() {
			t.Errorf("with %s it is still the published model (%v)", change, err)
		}
	}
}

// spelled checks that both spellings are one config, and not the published model's.
func (s Suite[C]) spelled(t testing.TB) {
	t.Helper()
	if len(s.Spellings) == 0 {
		t.Error("the suite names no folder with both spellings")
	}
	for dir, is := range s.Spellings {
		var parsed [2]C
		for i, file := range []string{"config.json", "config.v5.json"} {
			c, err := s.file(filepath.Join(dir, file))
			if err != nil {
				t.Fatal(err)
			}
			if !is(c) || c.Published() {
				t.Errorf("%s/%s is read as %+v", dir, file, c)
			}
			if s.Forget != nil {
				s.Forget(&c)
			}
			parsed[i] = c
		}
		if !reflect.DeepEqual(parsed[0], parsed[1]) {
			t.Errorf("%s: config.json is %+v\nand config.v5.json %+v", dir, parsed[0], parsed[1])
		}
	}
}

func (s Suite[C]) file(path string) (c C, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return c, err
	}
	return s.Parse(text)
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

// Bounds are keys that take whole numbers, each from the first to the second.
type Bounds map[string][2]int

// accepts checks that nothing is refused before its border.
func (s Suite[C]) accepts(t testing.TB) {
	t.Helper()
	for _, change := range s.Accepted {
		s.Parsed(t, change)
	}
}

// bounds tries the numbers on both sides of both ends of each: only those outside are refused. What other keys then say against a
// number inside is not looked at.
func (s Suite[C]) bounds(t testing.TB, part string, all Bounds) {
	t.Helper()
	for path, ends := range all {
		least, most := ends[0], ends[1]
		key := path[strings.Index(path, ".")+1:]
		for _, n := range []int{least - 1, least, most, most + 1} {
			_, err := s.Parse(s.with(t, part, fmt.Sprintf("%q: %d", path, n)))
			told := err != nil && strings.Contains(err.Error(), fmt.Sprintf(": %s is %d; a number from %d to %d is needed", key, n, least, most))
			if told != (n < least || n > most) {
				t.Errorf("%s is %d, which is to be from %d to %d: %v", path, n, least, most, err)
			}
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
