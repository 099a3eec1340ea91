package configtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/nn"
)

// recorder is a test that fails without anyone's being disturbed.
type recorder struct {
	testing.TB
	failed []string
}

func (r *recorder) Helper()           {}
func (r *recorder) Error(args ...any) { r.failed = append(r.failed, fmt.Sprint(args...)) }
func (r *recorder) Errorf(format string, args ...any) {
	r.failed = append(r.failed, fmt.Sprintf(format, args...))
}

// keys are a config: of the published model if "b" is 2.
type keys map[string]any

func (k keys) Published() bool {
	part, _ := k["text_config"].(map[string]any)
	return part["b"] == 2.0
}

// careless reads one key and refuses one mistake.
var careless = Suite[keys]{
	Published: `{"a": 1, "text_config": {"b": 2}}`,
	Part:      "text_config",
	Parse: func(text []byte) (c keys, err error) {
		if err := json.Unmarshal(text, &c); err != nil {
			return nil, fmt.Errorf("config.json: is broken JSON: %w", err)
		}
		if c["a"] != 1.0 {
			return nil, errors.New("config.json: a is wrong")
		}
		return c, nil
	},
}

func TestKeysAreSetAndRemoved(t *testing.T) {
	for change, want := range map[string]string{
		``:                                       `{"a":1,"text_config":{"b":2}}`,
		`"a": "-"`:                               `{"text_config":{"b":2}}`,
		`"b": null, "text_config.c": {"d": "-"}`: `{"a":1,"b":null,"text_config":{"b":2,"c":{"d":"-"}}}`,
		`"text_config.b": "-", "text_config.e": 1`: `{"a":1,"text_config":{"e":1}}`,
	} {
		if got := string(careless.With(t, change)); got != want {
			t.Errorf("%s: %s, not %s", change, got, want)
		}
	}
	if got := string(careless.with(t, "text_config", `"b": 3, "c": {"d": 4}`)); got != `{"a":1,"text_config":{"b":3,"c":{"d":4}}}` {
		t.Errorf("inside: %s", got)
	}
}

func TestWhatIsNotRefusedFails(t *testing.T) {
	r := &recorder{TB: t}
	careless.Refuses(r, Refusals{{`"a": 2`, "a is wrong"}})
	if len(r.failed) != 0 {
		t.Errorf("a good refusal fails: %q", r.failed)
	}
	careless.Refuses(r, Refusals{{`"a": 2`, "a is 2"}, {`"b": 1`, "b is 1"}})
	if len(r.failed) != 2 || !strings.Contains(r.failed[0], "a is wrong\nwant config.json: ... a is 2") || !strings.Contains(r.failed[1], `with "b": 1: <nil>`) {
		t.Errorf("other words, and none: %q", r.failed)
	}
	r.failed = nil
	careless.refuses(r, careless.Part, ofDecoders)
	if len(r.failed) != len(ofDecoders) {
		t.Errorf("%d of %d keys that are not looked at fail", len(r.failed), len(ofDecoders))
	}
}

func TestTwoSpellingsAreCompared(t *testing.T) {
	dir, spelled := t.TempDir(), careless
	for file, text := range map[string]string{"config.json": `{"a": 1}`, "config.v5.json": `{"a": 1, "new": 2}`} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all, none := func(keys) bool { return true }, func(keys) bool { return false }
	for _, tt := range []struct {
		spellings map[string]func(keys) bool
		forget    func(*keys)
		failures  int
	}{
		{map[string]func(keys) bool{dir: all}, func(c *keys) { delete(*c, "new") }, 0},
		{map[string]func(keys) bool{dir: all}, nil, 1},
		{map[string]func(keys) bool{dir: none}, func(c *keys) { delete(*c, "new") }, 2},
		{nil, nil, 1},
	} {
		r := &recorder{TB: t}
		spelled.Spellings, spelled.Forget = tt.spellings, tt.forget
		if spelled.spelled(r); len(r.failed) != tt.failures {
			t.Errorf("%d failures, not %d: %q", len(r.failed), tt.failures, r.failed)
		}
	}
}

func TestWhatIsReadOtherwiseFails(t *testing.T) {
	s := careless
	s.Reads = map[string]func(keys) bool{
		``:                     func(c keys) bool { return c["a"] == 1.0 },
		Without("text_config"): func(c keys) bool { return len(c) == 1 },
		`"c": 3`:               func(c keys) bool { return c["c"] == 4.0 },
	}
	r := &recorder{TB: t}
	if s.read(r); len(r.failed) != 1 || !strings.Contains(r.failed[0], `with "c": 3 it is read as`) {
		t.Errorf("%q", r.failed)
	}
}

func TestThePublishedModelIsToldFromOthers(t *testing.T) {
	for failures, s := range map[int]Suite[keys]{
		0: {Published: careless.Published, Parse: careless.Parse, Others: []string{`"text_config.b": 3`}},
		1: {Published: careless.Published, Parse: careless.Parse, Others: []string{`"c": 3`}},
		2: {Published: `{"a": 1, "text_config": {}}`, Parse: careless.Parse},
		3: {Published: careless.Published, Parse: careless.Parse, Others: []string{`"a": 3`, `"c": 3`, `"d": 3`}},
	} {
		r := &recorder{TB: t}
		if s.published(r); len(r.failed) != failures {
			t.Errorf("%d failures, not %d: %q", len(r.failed), failures, r.failed)
		}
	}
}

func TestRowsOfTables(t *testing.T) {
	file, r := filepath.Join(t.TempDir(), "README.md"), &recorder{TB: t}
	if err := os.WriteFile(file, []byte("| few | 999 |\n| many | 1,002,003 |\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	Table(t, file, map[string]int64{"few": 999, "many": 1002003})
	Table(r, file, map[string]int64{"few": 99})
	if len(r.failed) != 1 || !strings.Contains(r.failed[0], `lacks the line "| few | 99 |"`) {
		t.Errorf("%q", r.failed)
	}
}

// layers is a model of two.
type layers struct {
	Layers []nn.SwiGLU `weight:"layers"`
}

func (layers) Caches() []nn.CacheSpec {
	return []nn.CacheSpec{nn.KeysValues(1, 4, 4), {Fixed: []nn.Fixed{nn.DeltaState("delta", 2, 4, 4)}}}
}

func TestSizesAreCounted(t *testing.T) {
	s := SizesOf(t, &layers{[]nn.SwiGLU{nn.NewSwiGLU(4, 8), nn.NewSwiGLU(4, 8)}})
	if s.Parameters != 2*3*32 || s.Elements["layers.1"] != 3*32 || s.Under("layers") != 2*3*32 || s.Under("layers.1") != 3*32 || s.Under("layer") != 0 || s.Position != 8*4 || s.Sequence != 2*16*4 {
		t.Errorf("%+v", s)
	}
}

// from2to5 is a config of one number.
type from2to5 struct{ In struct{ N int } }

func (from2to5) Published() bool { return true }

// A border that is one off on either side is told, and so is a key that nobody looks at.
func TestBordersThatAreOffFail(t *testing.T) {
	suite := Suite[from2to5]{Published: `{"in": {"n": 3}}`, Part: "in", Parse: func(text []byte) (c from2to5, err error) {
		if err := json.Unmarshal(text, &c); err != nil {
			return c, err
		}
		if n := c.In.N; n < 2 || n > 5 {
			return c, fmt.Errorf("config.json: in: n is %d; a number from 2 to 5 is needed", n)
		}
		return c, nil
	}}
	suite.bounds(t, "", Bounds{"in.n": {2, 5}})
	suite.bounds(t, "in", Bounds{"n": {2, 5}})
	for _, off := range []Bounds{{"in.n": {1, 5}}, {"in.n": {3, 5}}, {"in.n": {2, 4}}, {"in.n": {2, 6}}, {"in.m": {2, 5}}} {
		r := &recorder{TB: t}
		if suite.bounds(r, "", off); len(r.failed) == 0 {
			t.Errorf("%v passes", off)
		}
	}
	r := &recorder{TB: t}
	suite.Accepted = []string{`"in.n": 5`, `"in.n": 6`}
	if suite.accepts(r); len(r.failed) != 1 {
		t.Errorf("%q", r.failed)
	}
}
