package chat

import (
	"encoding/json"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/inference-pio/inference-pio/sdk/jinja"
)

// schema.go turns arguments that a model wrote as bare text into the values that the tool's JSON schema asks for.

// toolTypes has what is known of the parameters of each tool. Without tools any name is a function's.
type toolTypes map[string]*parameters

// knows says whether there is a function of that name.
func (t toolTypes) knows(name string) bool {
	_, ok := t[name]
	return ok || len(t) == 0 && isCallName(name)
}

// begins says whether more words can make a function's name of s.
func (t toolTypes) begins(s string) bool {
	if i := strings.IndexByte(s, '>'); i >= 0 {
		return t.knows(strings.TrimSpace(s[:i]))
	}
	s = strings.TrimSpace(s)
	if len(t) == 0 {
		return s == "" || isCallName(s)
	}
	for name := range t {
		if strings.HasPrefix(name, s) {
			return true
		}
	}
	return false
}

// startsWith says whether s begins with a function's name.
func (t toolTypes) startsWith(s string) bool {
	if len(t) == 0 {
		return isCallName(s)
	}
	for name := range t {
		if strings.HasPrefix(s, name) {
			return true
		}
	}
	return false
}

// cutName takes a function's name from what it and a key of its parameters were written as without a tag between them.
func (t toolTypes) cutName(s string) (name, key string) {
	if i := strings.IndexAny(s, blanks); i >= 0 {
		return s[:i], strings.TrimLeft(s[i:], blanks)
	}
	for known, p := range t {
		if rest, ok := strings.CutPrefix(s, known); ok && len(known) > len(name) && p.declares(rest) {
			name, key = known, rest
		}
	}
	return name, key
}

func isCallName(s string) bool { return s != "" && !strings.ContainsAny(s, "<>{}\""+blanks) }

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

// ToolNames are the names of a request's tools, in their order.
func ToolNames(tools json.RawMessage) []string {
	var names []string
	for _, t := range readTools(tools) {
		name, _ := t.declared()
		names = append(names, name)
	}
	return names
}

// tool is {"type": "function", "function": {...}}, or what is inside of it.
type tool struct {
	function
	Function function
}

type function struct {
	Name       string
	Parameters schema
}

// readTools reads what it understands of the tools.
func readTools(tools json.RawMessage) []tool {
	var texts []json.RawMessage
	if json.Unmarshal(tools, &texts) != nil {
		return nil
	}
	list := make([]tool, len(texts))
	for i, text := range texts {
		if json.Unmarshal(text, &list[i]) != nil {
			list[i] = tool{}
		}
	}
	return list
}

func (t *tool) declared() (name string, parameters schema) {
	if t.Function.Name != "" {
		return t.Function.Name, t.Function.Parameters
	}
	return t.Name, t.Parameters
}

// readToolTypes reads what it understands of the schemas; whatever it does not is a parameter without a type.
func readToolTypes(tools json.RawMessage) toolTypes {
	types := toolTypes{}
	for _, t := range readTools(tools) {
		if name, s := t.declared(); name != "" {
			r := schemaReader{root: s, refs: map[string]valueType{}, objects: map[string]bool{}}
			types[name] = &parameters{properties: map[string]valueType{}}
			r.object(map[string]any(s), types[name])
		}
	}
	return types
}

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

// convert reads text as the first of the allowed types that it is a spelling of: JSON's, or Python's where text is not allowed. Text that is
// of none of them stays text if the schema allows that, and else if it is no JSON either: the tool will say what it thinks of it. Where the
// schema is silent, what is JSON but no string is taken as such.
func (t valueType) convert(text string) jinja.Value {
	if t == typeString {
		return text
	}
	trimmed := strings.TrimSpace(text)
	switch lower := strings.ToLower(trimmed); {
	case lower == "null" && t&typeNull != 0:
		return nil
	case (trimmed == "null" || trimmed == "None") && t&typeString == 0:
		return nil
	case lower == "true" && t&typeBoolean != 0, trimmed == "True" && t == 0:
		return true
	case lower == "false" && t&typeBoolean != 0, trimmed == "False" && t == 0:
		return false
	case (trimmed == "1" || trimmed == "0") && t&typeBoolean != 0 && t&(typeInteger|typeNumber) == 0:
		return trimmed == "1"
	}
	v, err := jinja.FromJSON([]byte(trimmed))
	if err != nil && t&(typeObject|typeArray) != 0 {
		v, err = fromPython(trimmed)
	}
	if err != nil || t&typeString != 0 && !t.allows(v) {
		return text
	}
	if _, quoted := v.(string); quoted && t == 0 {
		return text // JSON in quotes: the quotes are the model's words
	}
	if f, ok := v.(float64); ok && t&typeNumber == 0 && t.allows(v) && t != 0 {
		return int64(f) // 12.0 for an integer
	}
	return v
}

// allows says whether v, read from JSON, is of one of the types.
func (t valueType) allows(v jinja.Value) bool {
	switch v := v.(type) {
	case nil:
		return t&typeNull != 0
	case bool:
		return t&typeBoolean != 0
	case string:
		return false // JSON in quotes: the quotes are the model's words
	case float64:
		whole := v == float64(int64(v)) && v < 1<<53 && v > -1<<53
		return t == 0 || t&typeNumber != 0 || t&typeInteger != 0 && whole
	case *jinja.Dict:
		return t == 0 || t&typeObject != 0
	case *jinja.List:
		return t == 0 || t&typeArray != 0
	}
	return t == 0 || t&typeInteger != 0
}

// arguments are those of one call, in the order written.
type arguments struct{ values jinja.Dict }

func (a *arguments) add(key string, v jinja.Value) { a.values.Set(key, v) }

func (a *arguments) json() string {
	s, err := jinja.ToJSON(&a.values)
	if err != nil {
		return "{}" // only beyond the limits of size, which an answer cannot reach
	}
	return s
}
