package chat

import (
	"encoding/json"
	"strings"

	"github.com/inference-pio/inference-pio/sdk/chat/jinja"
)

// schema.go turns arguments that a model wrote as bare text into the values that the tool's JSON schema asks for.

// toolTypes has the type of each parameter of each tool.
type toolTypes map[string]map[string]valueType

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

func readTools(tools json.RawMessage) []tool {
	var list []tool
	if json.Unmarshal(tools, &list) != nil {
		return nil
	}
	return list
}

func (t *tool) declared() (name string, parameters schema) {
	if t.Function.Name != "" {
		return t.Function.Name, t.Function.Parameters
	}
	return t.Name, t.Parameters
}

// readToolTypes reads what it understands of the tools; whatever it does not is a parameter without a type.
func readToolTypes(tools json.RawMessage) toolTypes {
	types := toolTypes{}
	for _, t := range readTools(tools) {
		name, parameters := t.declared()
		r := schemaReader{root: parameters, refs: map[string]valueType{}}
		properties, _ := r.root["properties"].(map[string]any)
		types[name] = map[string]valueType{}
		for key, s := range properties {
			types[name][key] = r.typeOf(s)
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
	root schema               // what references are looked up in
	refs map[string]valueType // those followed already: they may go in circles
}

func (r *schemaReader) typeOf(s any) valueType {
	m, ok := s.(map[string]any)
	if !ok {
		return 0
	}
	t := declaredType(m)
	for _, key := range []string{"anyOf", "oneOf", "allOf"} {
		alternatives, _ := m[key].([]any)
		for _, a := range alternatives {
			t |= r.typeOf(a)
		}
	}
	if ref, ok := m["$ref"].(string); ok {
		t |= r.follow(ref)
	}
	return t
}

func (r *schemaReader) follow(ref string) valueType {
	if t, seen := r.refs[ref]; seen {
		return t
	}
	r.refs[ref] = 0
	r.refs[ref] = r.typeOf(r.root.lookUp(ref))
	return r.refs[ref]
}

// declaredType is what a schema says itself: by "type", else by the values it lists.
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
	if m["nullable"] == true {
		t |= typeNull
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

// lookUp follows "#/$defs/name" from the root.
func (root schema) lookUp(ref string) any {
	path, ok := strings.CutPrefix(ref, "#/")
	if !ok {
		return nil
	}
	var at any = map[string]any(root)
	for _, key := range strings.Split(path, "/") {
		m, _ := at.(map[string]any)
		at = m[key]
	}
	return at
}

// convert reads text as the first of the allowed types that it is a spelling of. Text that is of none of them stays
// text: the tool will say what it thinks of it. Where the schema is silent, what is JSON but no string is taken as such.
func (t valueType) convert(text string) jinja.Value {
	if t == typeString {
		return text
	}
	trimmed := strings.TrimSpace(text)
	switch trimmed {
	case "null", "None":
		if t&typeString == 0 || t&typeNull != 0 {
			return nil
		}
	case "true", "True", "false", "False":
		if t == 0 || t&typeBoolean != 0 {
			return strings.ToLower(trimmed) == "true"
		}
	}
	v, err := jinja.FromJSON([]byte(trimmed))
	if err != nil || !t.allows(v) {
		return text
	}
	if f, ok := v.(float64); ok && t&typeNumber == 0 && t != 0 {
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
