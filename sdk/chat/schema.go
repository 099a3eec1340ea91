package chat

import (
	"encoding/json"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// schema.go reads which types a tool's JSON schema asks for.

// parameters is what a schema says of an object's values.
type parameters struct {
	properties map[string]valueType
	patterns   []patternType
	rest       valueType // of all others
}

const maxPattern, maxPatterns = 1000, 64 // bytes; of one object

type patternType struct {
	pattern *regexp.Regexp
	values  valueType
}

func (p *parameters) declares(key string) bool {
	if p == nil {
		return false
	}
	_, ok := p.properties[key]
	return ok
}

func (p *parameters) typeOf(key string) valueType {
	if p == nil {
		return 0
	}
	if t, ok := p.properties[key]; ok {
		return t
	}
	for _, pt := range p.patterns {
		if pt.pattern.MatchString(key) {
			return pt.values
		}
	}
	return p.rest
}

// valueType is the set of JSON types that a schema allows; none of them if it says nothing.
type valueType uint8

const (
	typeString valueType = 1 << iota
	typeInteger
	typeNumber
	typeBoolean
	typeObject
	typeArray
	typeNull
)

var typeNames = map[string]valueType{"string": typeString, "integer": typeInteger, "number": typeNumber | typeInteger, "boolean": typeBoolean, "object": typeObject, "array": typeArray, "null": typeNull}

// schema is a JSON schema.
type schema map[string]any

// UnmarshalJSON accepts whatever stands there: a schema may also be true.
func (s *schema) UnmarshalJSON(data []byte) error {
	var object map[string]any
	if json.Unmarshal(data, &object) == nil {
		*s = object
	}
	return nil
}

type schemaReader struct {
	root    schema               // what references are looked up in
	refs    map[string]valueType // those followed already: they may go in circles
	objects map[string]bool      // the same, of objects
}

// object adds what a schema of an object says of its values, in its own words and in those of the schemas that it is made of.
func (r *schemaReader) object(s any, p *parameters) {
	m, ok := s.(map[string]any)
	if !ok {
		return
	}
	properties, _ := m["properties"].(map[string]any)
	for key, s := range properties {
		p.properties[key] = both(p.properties[key], r.typeOf(s))
	}
	patterns, _ := m["patternProperties"].(map[string]any)
	for _, text := range slices.Sorted(maps.Keys(patterns)) {
		if len(text) > maxPattern || len(p.patterns) == maxPatterns {
			continue
		}
		if pattern, err := regexp.Compile(text); err == nil {
			p.patterns = append(p.patterns, patternType{pattern, r.typeOf(patterns[text])})
		}
	}
	p.rest = both(p.rest, r.typeOf(m["additionalProperties"]))
	for _, key := range []string{"allOf", "anyOf", "oneOf"} {
		list, _ := m[key].([]any)
		for _, s := range list {
			r.object(s, p)
		}
	}
	if ref, ok := m["$ref"].(string); ok && !r.objects[ref] {
		r.objects[ref] = true
		r.object(r.root.lookUp(ref), p)
	}
}

// typeOf is what a schema allows: by its own words, those of all schemas that it is made of, and those of any of its alternatives.
func (r *schemaReader) typeOf(s any) valueType {
	m, ok := s.(map[string]any)
	if !ok {
		return 0
	}
	t := declaredType(m)
	all, _ := m["allOf"].([]any)
	for _, s := range all {
		t = both(t, r.typeOf(s))
	}
	for _, key := range []string{"anyOf", "oneOf"} {
		var some valueType
		alternatives, _ := m[key].([]any)
		for _, s := range alternatives {
			some |= r.typeOf(s)
		}
		t = both(t, some)
	}
	if ref, ok := m["$ref"].(string); ok {
		t = both(t, r.follow(ref))
	}
	if t != 0 && m["nullable"] == true {
		t |= typeNull
	}
	return t
}

// both is what two schemas allow that hold at once. Where they contradict each other both are believed.
func both(a, b valueType) valueType {
	if a == 0 || b == 0 || a&b == 0 {
		return a | b
	}
	return a & b
}

func (r *schemaReader) follow(ref string) valueType {
	if t, seen := r.refs[ref]; seen {
		return t
	}
	r.refs[ref] = 0
	r.refs[ref] = r.typeOf(r.root.lookUp(ref))
	return r.refs[ref]
}

// declaredType is what a schema says itself: by "type", else by the values it lists, else by keywords that only one type has.
func declaredType(m map[string]any) valueType {
	var t valueType
	switch names := m["type"].(type) {
	case string:
		t = typeNames[names]
	case []any:
		for _, n := range names {
			name, _ := n.(string)
			t |= typeNames[name]
		}
	}
	if t == 0 {
		for _, v := range constants(m) {
			t |= typeOfValue(v)
		}
	}
	return t
}

func constants(m map[string]any) []any {
	if v, ok := m["const"]; ok {
		return []any{v}
	}
	values, _ := m["enum"].([]any)
	return values
}

func typeOfValue(v any) valueType {
	switch v.(type) {
	case nil:
		return typeNull
	case bool:
		return typeBoolean
	case string:
		return typeString
	case float64:
		return typeNumber | typeInteger
	case []any:
		return typeArray
	}
	return typeObject
}

// lookUp follows a JSON pointer, such as "#/$defs/name", from the root.
func (root schema) lookUp(ref string) any {
	path, ok := strings.CutPrefix(ref, "#")
	if !ok {
		return nil
	}
	var at any = map[string]any(root)
	if path == "" {
		return at
	}
	path, ok = strings.CutPrefix(path, "/")
	if !ok {
		return nil
	}
	for _, key := range strings.Split(path, "/") {
		if plain, err := url.PathUnescape(key); err == nil {
			key = plain
		}
		key = strings.ReplaceAll(strings.ReplaceAll(key, "~1", "/"), "~0", "~")
		switch list := at.(type) {
		case map[string]any:
			at = list[key]
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i < 0 || i >= len(list) {
				return nil
			}
			at = list[i]
		default:
			return nil
		}
	}
	return at
}
