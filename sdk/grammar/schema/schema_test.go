package schema

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/sdk/grammar"
	"github.com/inference-pio/inference-pio/sdk/grammar/grammartest"
)

func holds(t *testing.T, raw string, strict bool) *Schema {
	t.Helper()
	s, err := Compile([]byte(raw), strict)
	if err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return s
}

// A held schema, with values that are valid under it and values that are not.
type heldCase struct {
	name, raw string
	yes, no   []string
}

func (c *heldCase) test(t *testing.T) {
	t.Helper()
	s := holds(t, c.raw, true)
	g, err := s.Expr.Compile()
	if err != nil {
		t.Fatal(err)
	}
	guide := g.Over(letters(t), nil)
	check := func(text string, want bool) {
		m := guide.Start()
		if got := m.Read(text) && m.Complete(); got != want {
			t.Errorf("%s: %s can be written: %v, want %v", c.name, text, got, want)
		}
	}
	for _, text := range c.yes {
		check(text, true)
		if err := s.Check([]byte(text)); err != nil {
			t.Errorf("%s: %s: %v", c.name, text, err)
		}
	}
	for _, text := range c.no {
		check(text, false)
	}
}

// What ordinary clients send (docs/clients.md).
func TestSchemasOfClients(t *testing.T) {
	for _, c := range []heldCase{
		{"pydantic, an optional field with a default", `{"type":"object","properties":{"a":{"anyOf":[{"type":"string"},{"type":"null"}],"default":null,"title":"A"}},"title":"M"}`,
			[]string{`{}`, `{"a":null}`, `{"a": "x"}`, "{\n  \"a\": null\n}"}, []string{`{"a":1}`, `{"a" :null}`}},
		{"zod, an integer", `{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","properties":{"n":{"type":"integer","minimum":-9007199254740991,"maximum":9007199254740991}},"required":["n"],"additionalProperties":false}`,
			[]string{`{"n":9007199254740991}`, `{"n":-3}`}, []string{`{"n":9007199254740992}`, `{"n":1.5}`, `{}`, `{"n":1,"m":2}`}},
		{"AI SDK, a tuple", `{"$schema":"http://json-schema.org/draft-07/schema#","type":"array","items":[{"type":"string"},{"type":"number"}],"additionalItems":false}`,
			[]string{`["a",1]`, `["a"]`, `[]`}, []string{`[1]`, `["a",1,2]`}},
		{"a tuple without a draft", `{"type":"array","items":[{"type":"string"},{"type":"number"}],"minItems":2,"maxItems":2}`, []string{`["a",1]`}, []string{`["a"]`, `["a","b"]`}},
		{"zod's record", `{"type":"object","propertyNames":{"type":"string"},"additionalProperties":{"type":"number"}}`, []string{`{"x":1}`, `{}`}, []string{`{"x":"1"}`}},
		{"pydantic, a dict with Literal keys", `{"type":"object","propertyNames":{"enum":["a","b"]},"additionalProperties":{"type":"integer"}}`, []string{`{"a":1}`, `{"b":1,"a":2}`}, []string{`{"c":1}`}},
		{"Qwen Code's oneOf", `{"oneOf":[{"type":"string","enum":["all"]},{"type":"string","pattern":"^[0-9]+$"}]}`, []string{`"all"`, `"12"`}, []string{`"al"`, `"a1"`, `""`}},
		{"a discriminated union", `{"oneOf":[{"$ref":"#/$defs/A"},{"$ref":"#/$defs/B"}],"discriminator":{"propertyName":"k"},"$defs":{"A":{"type":"object","properties":{"k":{"const":"a"}},"required":["k"]},"B":{"type":"object","properties":{"k":{"const":"b"},"n":{"type":"integer"}},"required":["k","n"]}}}`,
			[]string{`{"k":"a"}`, `{"k":"b","n":1}`}, []string{`{"k":"b"}`, `{"k":"c"}`}},
		{"a recursive model", `{"$defs":{"N":{"type":"object","properties":{"v":{"type":"integer"},"kids":{"type":"array","items":{"$ref":"#/$defs/N"}}},"required":["v","kids"],"additionalProperties":false}},"$ref":"#/$defs/N"}`,
			[]string{`{"v":1,"kids":[{"v":2,"kids":[]}]}`}, []string{`{"v":1}`, `{"v":1,"kids":[{}]}`}},
		{"siblings of a reference", `{"$ref":"#/$defs/S","maxLength":2,"$defs":{"S":{"type":"string","minLength":1}}}`, []string{`"a"`, `"éé"`}, []string{`""`, `"abc"`}},
		{"siblings of anyOf", `{"anyOf":[{"minLength":2},{"type":"null"}],"type":["string","null"],"maxLength":3}`, []string{`"ab"`, `null`}, []string{`"a"`, `"abcd"`, `1`}},
		{"pattern and length", `{"type":"string","pattern":"b","minLength":2,"maxLength":3}`, []string{`"ab"`, `"bbb"`}, []string{`"b"`, `"aa"`, `"abbb"`}},
		{"numbers with a fraction", `{"type":"number","minimum":0.5,"exclusiveMaximum":2,"multipleOf":0.25}`, []string{`0.5`, `1`, `1.75`}, []string{`2`, `0.25`, `1.3`, `1e0`}},
		{"keys in order", `{"type":"object","properties":{"z":{},"a":{}},"required":["a"],"additionalProperties":false}`, []string{`{"z":1,"a":2}`, `{"a":2}`}, []string{`{"a":2,"z":1}`}},
		{"a format that nobody knows", `{"type":"string","format":"path"}`, []string{`"/x"`}, []string{`1`}},
		{"escapes", `{"type":"string"}`, []string{`"\u00e9\/"`, `"\ud83d\ude00"`}, []string{"\"\t\"", `"\ud83d"`}},
	} {
		c.test(t)
	}
}

func TestStrictRefusesWhatIsNotHeldByItsPlace(t *testing.T) {
	for raw, want := range map[string]string{
		`{"type":"object","properties":{"a/b":{"type":"array","uniqueItems":true}}}`:                                                                                                                   `#/properties/a~1b: "uniqueItems"`,
		`{"type":"array","uniqueItems":true,"items":{"type":"object","properties":{"a":{"type":"string"}}}}`:                                                                                           `#: "uniqueItems"`,
		`{"type":"array","uniqueItems":true,"items":{"anyOf":[{"enum":[{"b":1,"a":2}]},{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"}},"additionalProperties":false}]}}`: `#: "uniqueItems"`,
		`{"type":"array","uniqueItems":true,"items":{"$ref":"#/$defs/a"},"$defs":{"a":{"type":"array","items":{"$ref":"#/$defs/a"}}}}`:                                                                 `#: "uniqueItems"`,
		`{"not":{"format":"date"}}`:                                                                                         `#/not: "format"`,
		`{"if":{"format":"date"},"then":{"minLength":3}}`:                                                                   `#/if: "format"`,
		`{"type":"array","contains":{"const":1},"minContains":9999}`:                                                        `#: "contains"`,
		`{"type":"object","dependentRequired":{` + pairs(12) + `}}`:                                                         `#: "dependentRequired"`,
		`{"type":"object","anyOf":[` + strings.Repeat(`{"properties":{"a":{}}},`, 7) + `{}],"unevaluatedProperties":false}`: `#: "unevaluatedProperties"`,
		`{"oneOf":[{"type":"string"},{"format":"date"}]}`:                                                                   `#/oneOf/1: "format"`,
		`{"not":{"patternProperties":{"(?=a)":{"type":"string"}}}}`:                                                         `#/not: "patternProperties"`,
		`{"type":"string","pattern":"^(?!x)"}`:                                                                              `#: "pattern"`,
		`{"type":"string","pattern":"\\bx"}`:                                                                                `#: "pattern"`,
		`{"type":"object","minProperties":3,"not":{"propertyNames":{"maxLength":2}}}`:                                       `#: "minProperties"`,
		`{"type":"object","patternProperties":{"(?=a)":{}}}`:                                                                `#: "patternProperties"`,
		`{"type":"integer","multipleOf":99991}`:                                                                             `#: "multipleOf"`,
	} {
		var e *Error
		if _, err := Compile([]byte(raw), true); !errors.As(err, &e) || e.Keyword == "" || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", raw, err, want)
		}
		s := holds(t, raw, false)
		if len(s.Loose) != 1 || !strings.HasPrefix(s.Loose[0].String(), want) {
			t.Errorf("%s: without strict %v is loose, want %s", raw, s.Loose, want)
		}
	}
}

func pairs(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(`"a%d":["b%d"]`, i, i))
	}
	return strings.Join(list, ",")
}

func TestWhatIsLooseIsCheckedAtTheEnd(t *testing.T) {
	s := holds(t, `{"type":"array","items":{"type":["integer","object"]},"uniqueItems":true}`, false)
	if err := s.Check([]byte(`[1,2]`)); err != nil {
		t.Error(err)
	}
	if err := s.Check([]byte(`[1,1]`)); err == nil || !strings.Contains(err.Error(), "equal") {
		t.Errorf("equal items: %v", err)
	}
	if err := s.Check([]byte(`[1,`)); err == nil {
		t.Error("half a value is valid")
	}
	if err := holds(t, `{"properties":{"a":{"properties":{"b":{"not":{"const":1}}}}}}`, false).Check([]byte(`{"a":{"b":1}}`)); err == nil || !strings.Contains(err.Error(), "#/a/b") {
		t.Errorf("a value within: %v", err)
	}
}

func TestSchemasThatAreWrongAreRefused(t *testing.T) {
	for raw, want := range map[string]string{
		`{`:                              "not JSON",
		`{} {}`:                          "more follows",
		`{"type":"strin"}`:               "#/type",
		`{"$ref":"#/$defs/x"}`:           "#/$defs/x",
		`{"$ref":"http://example.com/"}`: "#: $ref http://example.com/ is not part of the schema, and nothing is fetched",
		`{"properties":{"a":{"$ref":"#/$defs/b"},"x/y":{"items":{"$ref":"other.json#/c"}}},"$defs":{"b":{}}}`: "#/properties/x~1y/items: $ref other.json is not part",
		`{"type":"string","pattern":"("}`:                             "pattern",
		`{"type":"integer","minimum":3,"maximum":2}`:                  "no value",
		`{"type":"object","properties":{"a":false},"required":["a"]}`: "no value",
		`{"type":"string","minLength":3,"maxLength":2}`:               "no value",
		`{"enum":[]}`:                 "no value",
		`false`:                       "no value",
		`{"const":1,"type":"string"}`: "no value",
		`{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"allOf":[{"$ref":"#/$defs/a"}]}}}`:         "no value",
		`{"type":"integer","not":{"type":"number"}}`:                                                           "no value",
		`{"required":["a"],"not":{"required":["a"]},"type":"object"}`:                                          "no value",
		`{"type":"array","contains":{"type":"string"},"items":{"type":"integer"}}`:                             "no value",
		`{"type":"array","items":{"enum":[1,1.0,2]},"uniqueItems":true,"minItems":3}`:                          "no value",
		`{"type":"array","items":{"pattern":"^[a-f]{1,2}$","type":"string"},"uniqueItems":true,"minItems":43}`: "no value",
		`{"type":"object","propertyNames":{"enum":["a","b","c"]},"properties":{"a":false},"minProperties":3}`:  "no value",
		`{"a":1,"a":2}`:           "twice",
		`{"minimum":1e999999999}`: "digits",
		`{"type":"object","additionalProperties":false,"required":["a"],"properties":{"b":{}}}`:                         "no value",
		`{"$defs":{"a":{"type":"object","properties":{"a":{"$ref":"#/$defs/a"}},"required":["a"]}},"$ref":"#/$defs/a"}`: "no value",
	} {
		if _, err := Compile([]byte(raw), false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", raw, err, want)
		}
	}
}

// hostile are schemas made to take long.
func hostile() map[string]string {
	anyOf := func(n int) string {
		return `{"anyOf":[` + strings.TrimSuffix(strings.Repeat(`{"properties":{"a":{}}},{"minimum":1},`, n/2), ",") + `]}`
	}
	return map[string]string{
		"choices of choices":                      `{"allOf":[` + strings.TrimSuffix(strings.Repeat(anyOf(10)+",", 30), ",") + `]}`,
		"nested deep":                             strings.Repeat(`{"items":`, 500) + `{}` + strings.Repeat(`}`, 500),
		"many objects":                            `{"anyOf":[` + strings.TrimSuffix(strings.Repeat(`{},`, 20000), ",") + `]}`,
		"many bytes":                              `{"description":"` + strings.Repeat("a", maxBytes) + `"}`,
		"many members of oneOf":                   `{"oneOf":[` + strings.TrimSuffix(strings.Repeat(`{"type":"object","properties":{"a":{"type":"string","pattern":"^a+b?$"}}},`, 400), ",") + `]}`,
		"patterns of keys":                        `{"patternProperties":{"a.{20}b":{},"b.{20}c":{},"c.{20}d":{},"d.{20}e":{}}}`,
		"a pattern of many states":                `{"type":"string","pattern":"^(.*a.{18})+$"}`,
		"many patterns":                           `{"allOf":[{"pattern":"a.{9}b"},{"pattern":"c.{9}d"},{"pattern":"e.{9}f"},{"pattern":"g.{9}h"}]}`,
		"counts":                                  `{"type":"array","minItems":1000000000,"items":{"type":"string","minLength":1000000000}}`,
		"a loop of references":                    `{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"allOf":[{"$ref":"#/$defs/a"}]}}}`,
		"intersections without end":               `{"$ref":"#/$defs/a","$defs":{"a":{"properties":{"x":{"allOf":[{"$ref":"#/$defs/a"},{"$ref":"#/$defs/b"}]},"y":{"$ref":"#/$defs/c"}}},"b":{"properties":{"x":{"$ref":"#/$defs/c"},"y":{"allOf":[{"$ref":"#/$defs/a"},{"$ref":"#/$defs/c"}]}}},"c":{"properties":{"x":{"$ref":"#/$defs/b"},"y":{"anyOf":[{"$ref":"#/$defs/a"},{"$ref":"#/$defs/b"}]}}}}}`,
		"many names, many counted":                `{"minProperties":500,"maxProperties":900,"properties":{` + names(1000) + `}}`,
		"ifs upon ifs":                            `{"allOf":[` + strings.TrimSuffix(strings.Repeat(`{"if":{"minProperties":1,"properties":{"a":{"type":"string"}}},"then":{"maxProperties":5},"else":{"required":["b"]}},`, 60), ",") + `]}`,
		"oneOf of alike members":                  `{"oneOf":[` + strings.TrimSuffix(strings.Repeat(`{"properties":{"a":{"minimum":1},"b":{"maxLength":3}},"required":["c"]},`, 40), ",") + `]}`,
		"not of not":                              strings.Repeat(`{"not":`, 100) + `{"properties":{"a":{"type":"string"}}}` + strings.Repeat(`}`, 100),
		"not of choices":                          `{"not":{"not":{"allOf":[` + strings.TrimSuffix(strings.Repeat(anyOf(10)+",", 30), ",") + `]}}}`,
		"counted in many ways":                    `{"type":"array","allOf":[{"contains":{"minimum":1},"minContains":200},{"contains":{"minimum":2},"maxContains":200},{"contains":{"minimum":3},"maxContains":9}],"minItems":100}`,
		"keys that are wrong":                     `{"allOf":[` + strings.TrimSuffix(strings.Repeat(`{"not":{"additionalProperties":{"type":"string"},"properties":{"a":{},"b":{},"c":{},"d":{}}}},`, 12), ",") + `],"properties":{` + names(40) + `}}`,
		"a schema that denies itself":             `{"$ref":"#/$defs/a","$defs":{"a":{"anyOf":[{"not":{"$ref":"#/$defs/a"}},{"properties":{"x":{"not":{"$ref":"#/$defs/a"}}}}]}}}`,
		"dependent on each other":                 `{"dependentSchemas":{` + dependents(40) + `}}`,
		"all different":                           `{"type":"array","uniqueItems":true,"items":{"type":"integer","minimum":0,"maximum":30},"minItems":31}`,
		"many lists of large objects that differ": `{"properties":{` + differing(60) + `}}`,
		"spoken of in many ways":                  `{"unevaluatedProperties":false,"allOf":[` + strings.TrimSuffix(strings.Repeat(anyOf(6)+",", 12), ",") + `]}`,
		"a large divisor":                         `{"multipleOf":4093,"minimum":-123456789,"maximum":123456789012345678901234567890}`,
		"a number of many digits":                 `{"minimum":1` + strings.Repeat("0", 390) + `}`,
	}
}

// differing are so many lists of objects that may not be equal: of many keys, of large bounds, and of numbers.
func differing(n int) string {
	var list []string
	for i := range n {
		var keys []string
		for k := range 2 + i {
			keys = append(keys, fmt.Sprintf(`"k%d":%s`, k, []string{`{"type":"number"}`, `{"type":"string","maxLength":40}`, `{"type":"string","maxLength":1000}`}[(i+k)%(1+i%3)]))
		}
		list = append(list, fmt.Sprintf(`"p%d":{"type":"array","uniqueItems":true,"items":{"type":"object","properties":{%s},"additionalProperties":false}}`, i, strings.Join(keys, ",")))
	}
	return strings.Join(list, ",")
}

func dependents(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(`"a%d":{"not":{"required":["a%d"]}}`, i, (i+1)%n))
	}
	return strings.Join(list, ",")
}

func names(n int) string {
	var list []string
	for i := range n {
		list = append(list, `"n`+strings.Repeat("x", i%7)+string(rune('a'+i%26))+strings.Repeat("y", i/26)+`":{"type":"integer"}`)
	}
	return strings.Join(list, ",")
}

// No schema takes long: what is too much is refused by a typed error, or is loose.
func TestHostileSchemasAreBounded(t *testing.T) {
	for name, raw := range hostile() {
		began := time.Now()
		s, err := Compile([]byte(raw), false)
		var e *Error
		switch {
		case err != nil && !errors.As(err, &e):
			t.Errorf("%s: %v is no *Error", name, err)
		case err == nil:
			if g, err := s.Expr.Compile(); err == nil {
				m := g.Over(grammartest.Vocabulary(t, grammartest.Letters()), nil).Start()
				m.Mask()
			}
		}
		t.Logf("%s: %v, %v", name, time.Since(began).Round(time.Millisecond), err)
	}
}

// FuzzCompile: a schema is refused or held, and what is held has a value that can be written.
func FuzzCompile(f *testing.F) {
	for _, raw := range agent().Tools {
		f.Add([]byte(raw), []byte{1, 200, 3, 50})
	}
	f.Add([]byte(`{"anyOf":[{"type":"string","pattern":"^a|b$"},{"$ref":"#"}],"maxLength":4}`), []byte{9, 9})
	for _, c := range turned {
		f.Add([]byte(c.raw), []byte{0, 1, 2, 3, 4, 5})
	}
	f.Fuzz(func(t *testing.T, raw, way []byte) {
		if len(raw) > 1<<12 {
			return
		}
		s, err := Compile(raw, false)
		var e *Error
		if err != nil {
			if !errors.As(err, &e) {
				t.Fatalf("%v is no *Error", err)
			}
			return
		}
		g, err := s.Expr.Compile()
		if errors.Is(err, grammar.ErrSize) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		m, text := g.Over(letters(t), nil).Start(), []byte(nil)
		for _, w := range way[:min(len(way), 200)] {
			mask, next := m.Mask(), []int32(nil)
			for id := range int32(256) {
				if mask[id/32]>>(id%32)&1 == 1 {
					next = append(next, id)
				}
			}
			if len(next) == 0 {
				break
			}
			id := next[int(w)%len(next)]
			if err := m.Advance(id); err != nil {
				t.Fatal(err)
			}
			text = append(text, byte(id))
		}
		if len(m.Mask()) == 0 || !m.Complete() {
			return
		}
		if err := s.Check(text); err != nil && len(s.Loose) == 0 {
			t.Fatalf("%s is not valid: %v", text, err)
		}
	})
}
