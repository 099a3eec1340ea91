// walk_test.go writes random values under random schemas, token by token, and has other validators look at them.

package schema

import (
	"encoding/json"
	"errors"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	second "github.com/google/jsonschema-go/jsonschema"

	"github.com/inference-pio/inference-pio/sdk/grammar"
	"github.com/inference-pio/inference-pio/sdk/grammar/grammartest"
)

type obj = map[string]any

// inventor makes schemas.
type inventor struct{ *rand.Rand }

func (v inventor) one(of ...any) any    { return of[v.IntN(len(of))] }
func (v inventor) often(n, of int) bool { return v.IntN(of) < n }

func (v inventor) schema(depth int) any {
	kind := v.IntN(23)
	if depth == 0 {
		kind = v.IntN(6)
	}
	switch kind {
	case 0:
		return v.string()
	case 1:
		return v.number("integer")
	case 2:
		return v.number("number")
	case 3:
		return v.one(obj{"type": "boolean"}, obj{"type": "null"}, obj{}, true, obj{"type": []any{"string", "null"}})
	case 4:
		return obj{"enum": []any{"a", "long enough", 1, 2.5, nil, obj{"k": []any{1, obj{}}}, "é\"\n", true}[:1+v.IntN(8)]}
	case 5:
		return obj{"const": v.one("x", 0, -1.5, obj{"b": 1, "a": "2"}, []any{}, "ünï")}
	case 6, 7:
		return v.array(depth)
	case 8:
		return obj{"$ref": v.one("#/$defs/node", "#/$defs/leaf", "#/$defs/leaf")}
	case 9:
		return obj{"anyOf": []any{v.schema(depth - 1), v.schema(depth - 1)}, "description": "one of them"}
	case 10:
		return obj{"oneOf": []any{
			obj{"type": "object", "properties": obj{"kind": obj{"const": "a"}, "x": v.schema(depth - 1)}, "required": []any{"kind"}},
			obj{"type": "object", "properties": obj{"kind": obj{"const": "b"}, "y": v.schema(depth - 1)}, "required": []any{"kind", "y"}},
		}}
	case 11:
		return obj{"allOf": []any{obj{"type": "object", "properties": obj{"p": v.string()}, "required": []any{"p"}}, obj{"properties": obj{"q": v.schema(depth - 1)}}}, "maxProperties": 4}
	case 12:
		return obj{"allOf": []any{v.schema(depth - 1), obj{"not": v.denied()}}}
	case 13:
		return obj{"type": "object", "properties": obj{"kind": obj{"enum": []any{"a", "b", "c"}}, "x": v.schema(depth - 1), "y": v.schema(0)}, "required": []any{"kind"},
			"if": obj{"properties": obj{"kind": obj{"const": v.one("a", "b")}}}, "then": obj{"required": []any{"x"}}, "else": v.one(obj{"required": []any{"y"}}, obj{"properties": obj{"x": false}}, obj{"maxProperties": 2})}
	case 14:
		o, _ := v.object(depth).(obj)
		o["dependentRequired"] = obj{"name": []any{v.one("z", "nested", "extra")}, "z": []any{"nested"}}
		return o
	case 15:
		o, _ := v.object(depth).(obj)
		o["dependentSchemas"] = obj{"z": obj{"required": []any{"name"}}, "nested": obj{"properties": obj{"z": v.number("integer")}, "minProperties": 2}}
		return o
	case 16:
		return v.counting()
	case 17:
		s := obj{"type": "array", "items": v.one(obj{"enum": []any{"a", "b", 1, nil, []any{1}, obj{"k": 2}}}, obj{"type": "boolean"}, obj{"type": "integer", "minimum": -2, "exclusiveMaximum": 9}), "uniqueItems": true}
		if v.often(1, 2) {
			s["minItems"], s["maxItems"] = v.IntN(3), 2+v.IntN(3)
		}
		return s
	case 18:
		return obj{"oneOf": []any{v.denied(), v.denied()}, "type": v.one("object", "integer", "string")}
	case 19:
		return obj{"type": "object", "properties": obj{"a": v.schema(0)}, "allOf": []any{obj{"properties": obj{"b": v.schema(depth - 1)}}}, "unevaluatedProperties": v.one(false, obj{"type": "null"}),
			"anyOf": []any{obj{"properties": obj{"c": v.schema(0)}, "required": []any{"c"}}, obj{"properties": obj{"d": v.schema(0)}}}, "maxProperties": 5}
	case 20:
		return obj{"$ref": v.one("http://example.com/tree", "http://example.com/closed")}
	}
	return v.object(depth)
}

// differing are arrays and objects that are told apart by their bytes.
func (v inventor) differing() any {
	small := v.one(obj{"type": "integer", "minimum": 0, "maximum": 3}, obj{"enum": []any{"a", 1, 1.0, nil, "é\""}}, obj{"type": "string", "maxLength": 2}, obj{"type": "number"}, obj{"type": []any{"boolean", "null"}})
	return v.one(
		obj{"type": "object", "properties": obj{"z": small, "a": v.string()}, "required": []any{v.one("z", "a")}, "additionalProperties": false},
		obj{"type": "array", "prefixItems": []any{small, v.number("number")}, "minItems": 1 + v.IntN(2), "maxItems": 2},
		obj{"type": "array", "items": obj{"anyOf": []any{small, obj{"type": "object", "properties": obj{"k": small}, "additionalProperties": false}}}, "maxItems": 2},
		obj{"anyOf": []any{obj{"enum": []any{obj{"a": 1.0, "b": 2}, []any{"x"}, "x"}}, obj{"type": "object", "properties": obj{"a": v.number("number"), "b": small}, "required": []any{"a"}, "additionalProperties": false}}})
}

// denied are schemas that can be turned around.
func (v inventor) denied() any {
	return v.one(obj{"const": v.one("x", 1, nil, obj{"a": 1}, []any{1, 2})}, obj{"enum": []any{"a", 1, 2.5, true, "é"}}, obj{"type": v.one("string", "integer", "number", []any{"null", "object"})},
		obj{"required": []any{v.one("name", "z")}}, obj{"properties": obj{"name": obj{"type": "string"}, "z": obj{"minimum": 3}}}, obj{"pattern": v.one("^a", "[0-9]", "z$")}, obj{"minimum": v.IntN(20)},
		obj{"multipleOf": 2 + v.IntN(5)}, obj{"maxLength": v.IntN(6)}, obj{"properties": obj{"name": true}, "additionalProperties": false}, obj{"maxItems": 1}, obj{"items": obj{"type": "string"}},
		obj{"propertyNames": obj{"maxLength": 3}}, obj{"anyOf": []any{obj{"minimum": 5}, obj{"type": "string"}}})
}

// counting is an array that must have some items.
func (v inventor) counting() any {
	s := obj{"type": "array", "items": v.one(obj{"type": "integer", "minimum": 0, "maximum": 50}, obj{"enum": []any{1, 30, "a", "b"}}, obj{"type": []any{"string", "integer"}, "maxLength": 5}),
		"contains": v.one(obj{"minimum": 20, "type": "integer"}, obj{"const": 30}, obj{"type": "integer"})}
	if v.often(1, 2) {
		s["minContains"], s["maxContains"] = v.IntN(3), 2+v.IntN(2)
	}
	if v.often(1, 3) {
		s["maxItems"] = 3 + v.IntN(3)
	}
	if v.often(1, 4) {
		s["prefixItems"] = []any{v.schema(0)}
	}
	return s
}

func (v inventor) string() any {
	s := obj{"type": "string"}
	switch v.IntN(6) {
	case 0:
		s["minLength"], s["maxLength"] = v.IntN(4), 4+v.IntN(30)
	case 1:
		s["pattern"] = v.one(`^[a-z]{2,5}$`, `^\d{4}-\d{2}$`, `foo|bar`, `^(a|é)+$`, `x$`, `^\S+@\S+$`)
	case 2:
		s["pattern"], s["maxLength"] = `^[A-Z][a-z]*$`, 12
	case 3:
		s["format"] = v.one("date-time", "date", "time", "duration", "email", "hostname", "ipv4", "ipv6", "uri", "uuid", "unheard-of")
	}
	return s
}

func (v inventor) number(kind string) any {
	s := obj{"type": kind}
	switch v.IntN(5) {
	case 0:
		s["minimum"], s["maximum"] = -v.IntN(50), v.IntN(5000)
	case 1:
		s["exclusiveMinimum"] = v.one(0, -9007199254740991, 0.5, 99)
	case 2:
		s["multipleOf"], s["minimum"] = v.one(5, 3, 100, 7), 0
	case 3:
		s["exclusiveMaximum"] = v.one(0.25, -3, 1000)
	}
	return s
}

func (v inventor) array(depth int) any {
	s := obj{"type": "array", "items": v.schema(depth - 1), "maxItems": 4}
	if v.often(1, 3) {
		s["minItems"] = 1 + v.IntN(2)
	}
	if v.often(1, 3) {
		s["prefixItems"] = []any{v.schema(depth - 1), v.schema(0)}
	}
	if v.often(1, 4) {
		s["items"] = false
		delete(s, "minItems")
	}
	if v.often(1, 3) {
		s["uniqueItems"], s["items"] = true, obj{"anyOf": []any{v.string(), v.number("number"), obj{"enum": []any{"a", 1, 1.5, nil, "b"}}}[:1+v.IntN(3)]}
		if v.often(1, 2) {
			s["items"] = v.differing()
		}
		delete(s, "prefixItems")
	}
	return s
}

func (v inventor) object(depth int) any {
	properties, required := obj{}, []any{}
	for _, name := range []string{"name", "a\"b", "ключ", "z", "nested"}[:v.IntN(6)] {
		properties[name] = v.schema(depth - 1)
		if v.often(1, 2) {
			required = append(required, name)
		}
	}
	s := obj{"type": "object", "properties": properties, "required": required}
	switch v.IntN(7) {
	case 0, 1:
		s["additionalProperties"] = false
	case 6:
		s["additionalProperties"], s["minProperties"], s["maxProperties"] = v.schema(0), 2+len(properties), 6
	case 2:
		s["additionalProperties"], s["maxProperties"] = v.schema(0), 6
	case 3:
		s["patternProperties"], s["additionalProperties"] = obj{`^x-`: v.schema(0), `\d$`: obj{"type": "integer"}}, false
	case 4:
		s["propertyNames"], s["maxProperties"] = v.one(obj{"type": "string"}, obj{"maxLength": 8}, obj{"pattern": "^[a-zк-юа-я\"]+$"}), 7
	}
	return s
}

func (v inventor) document() []byte {
	root, ok := v.schema(3).(obj)
	if !ok {
		root = obj{"type": "array"}
	}
	root["$defs"] = obj{
		"leaf": v.string(),
		// whose kids are like the schema that it was entered by
		"tree":   obj{"$id": "http://example.com/tree", "$dynamicAnchor": "kid", "type": "object", "properties": obj{"value": v.number("integer"), "kids": obj{"type": "array", "items": obj{"$dynamicRef": "#kid"}, "maxItems": 2}}, "required": []any{"value"}},
		"closed": obj{"$id": "http://example.com/closed", "$dynamicAnchor": "kid", "$ref": "http://example.com/tree", "properties": obj{"name": v.string()}, "unevaluatedProperties": false},
		"node":   obj{"type": "object", "properties": obj{"value": v.number("integer"), "next": obj{"anyOf": []any{obj{"$ref": "#/$defs/node"}, obj{"type": "null"}}}}, "required": []any{"next"}},
	}
	text, err := json.Marshal(root)
	if err != nil {
		panic(err)
	}
	return text
}

// walk chooses tokens until the text is complete: at first any, then those that bring it to an end.
func walk(t *testing.T, r *rand.Rand, m *grammar.Matcher, words []string) (text string, whole bool) {
	t.Helper()
	var out []byte
	var next []int32
	for step := range 500 {
		if m.Complete() && (step > 40 || r.IntN(8) == 0) || m.Final() {
			return string(out), true
		}
		mask := m.Mask()
		next = next[:0]
		for at, w := range mask {
			for ; w != 0; w &= w - 1 {
				if id := int32(at*32 + bits.TrailingZeros32(w)); step < 40 || len(words[id]) < 3 {
					next = append(next, id)
				}
			}
		}
		if len(next) == 0 {
			t.Fatalf("behind %q nothing is allowed", out)
		}
		id := next[r.IntN(len(next))]
		if step > 40 && r.IntN(4) > 0 {
			for _, word := range []string{`"`, "}", "]", "null", "1", "0", "a"} {
				if at := slices.IndexFunc(next, func(id int32) bool { return words[id] == word }); at >= 0 {
					id = next[at]
					break
				}
			}
		}
		if err := m.Advance(id); err != nil {
			t.Fatalf("behind %q token %q: %v", out, words[id], err)
		}
		out = append(out, words[id]...)
	}
	return string(out), false
}

// judge has both validators look at a value. The second knows no formats.
func judge(t *testing.T, raw []byte, s *Schema, other *second.Resolved, text string) {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Errorf("%s\n%s: %v", raw, text, err)
		return
	}
	if err := other.Validate(v); err != nil {
		t.Errorf("%s\n%s: the second validator: %v", raw, text, err)
	}
	if err := s.Check([]byte(text)); err != nil {
		t.Errorf("%s\n%s: %v", raw, text, err)
	}
}

func resolveSecond(t *testing.T, raw []byte) *second.Resolved {
	t.Helper()
	var s second.Schema
	if err := json.Unmarshal(raw, &s); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	r, err := s.Resolve(nil)
	if err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return r
}

func randomWalks(t *testing.T, v *grammar.Vocabulary, words []string, schemas int) {
	var whole, cut, unsatisfiable, refused int
	var compile time.Duration
	for seed := range uint64(schemas) {
		r := rand.New(rand.NewPCG(seed, 42))
		raw := inventor{r}.document()
		began := time.Now()
		s, err := Compile(raw, true)
		if err != nil && strings.Contains(err.Error(), "no value is valid") {
			unsatisfiable++
			continue
		}
		var e *Error
		if errors.As(err, &e) && e.Keyword != "" { // what is denied has something that cannot be turned around
			refused++
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		g, err := s.Expr.Compile()
		if err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		compile += time.Since(began)
		guide, other := g.Over(v, nil), resolveSecond(t, raw)
		for range 2 {
			text, ended := walk(t, r, guide.Start(), words)
			if !ended {
				cut++
				continue
			}
			whole++
			judge(t, raw, s, other, text)
		}
		if t.Failed() {
			break
		}
	}
	t.Logf("%d values, %d cut off, %d schemas that nothing satisfies, %d refused, %v to compile one", whole, cut, unsatisfiable, refused, compile/time.Duration(schemas))
	if whole < schemas*3/2 {
		t.Errorf("only %d values came to an end", whole)
	}
	if refused > schemas/20 {
		t.Errorf("%d schemas are refused", refused)
	}
}

func TestRandomWalksAreValid(t *testing.T) {
	words := grammartest.Words(`{"name": "long enough", "a\"b": [1, -2.5, true], "x-1":null}, {"kind":"a"}`, 4)
	randomWalks(t, grammartest.Vocabulary(t, words), words, 400)
}

func TestRandomWalksOverTheRealVocabularyAreValid(t *testing.T) {
	words := grammartest.Qwen3(t).Words()
	v, err := grammar.NewVocabulary(words, grammartest.Rows)
	if err != nil {
		t.Fatal(err)
	}
	randomWalks(t, v, words, 1000)
}
