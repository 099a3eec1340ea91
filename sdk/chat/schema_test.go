package chat

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// TestSchemasKeepTheirTypes: wherever a schema says what a parameter is, a value written as bare text becomes that.
func TestSchemasKeepTheirTypes(t *testing.T) {
	for _, c := range []struct{ name, schema, key, text, want string }{
		{"a property", `{"properties": {"k": {"type": "string"}}}`, "k", "12345", `"12345"`},
		{"a root $ref", `{"$ref": "#/$defs/in", "$defs": {"in": {"properties": {"k": {"type": "string"}}}}}`, "k", "12345", `"12345"`},
		{"a root allOf", `{"allOf": [{"properties": {"other": {}}}, {"$ref": "#/definitions/in"}], "definitions": {"in": {"properties": {"k": {"type": "string"}}}}}`, "k", "12345", `"12345"`},
		{"a root anyOf", `{"anyOf": [{"properties": {"k": {"type": "string"}}}, {"properties": {"j": {}}}]}`, "k", "12345", `"12345"`},
		{"a root $ref in a circle", `{"$ref": "#", "properties": {"k": {"type": "string"}}}`, "k", "1", `"1"`},
		{"a name with a slash", `{"properties": {"k": {"$ref": "#/$defs/a~1b"}}, "$defs": {"a/b": {"type": "string"}}}`, "k", "12345", `"12345"`},
		{"a name with a tilde", `{"properties": {"k": {"$ref": "#/$defs/a~01b"}}, "$defs": {"a~1b": {"type": "string"}}}`, "k", "12345", `"12345"`},
		{"a name with a blank", `{"properties": {"k": {"$ref": "#/$defs/a%20b"}}, "$defs": {"a b": {"type": "string"}}}`, "k", "12345", `"12345"`},
		{"an element of a list", `{"properties": {"k": {"$ref": "#/allOf/1"}}, "allOf": [{}, {"type": "string"}]}`, "k", "12345", `"12345"`},
		{"additionalProperties", `{"additionalProperties": {"type": "string"}}`, "any", "12345", `"12345"`},
		{"additionalProperties by reference", `{"$ref": "#/$defs/in", "$defs": {"in": {"additionalProperties": {"$ref": "#/$defs/s"}}, "s": {"type": "string"}}}`, "any", "12345", `"12345"`},
		{"properties before additional ones", `{"properties": {"n": {"type": "integer"}}, "additionalProperties": {"type": "string"}}`, "n", "12345", `12345`},
		{"additionalProperties that are allowed", `{"additionalProperties": true}`, "any", "12345", `12345`},
		{"patternProperties", `{"patternProperties": {"^x-": {"type": "string"}}}`, "x-id", "12345", `"12345"`},
		{"patternProperties of others", `{"patternProperties": {"^x-": {"type": "string"}}}`, "id", "12345", `12345`},
		{"allOf narrows", `{"properties": {"k": {"type": ["string", "integer"], "allOf": [{"type": "string"}, {"minLength": 1}]}}}`, "k", "12345", `"12345"`},
		{"anyOf narrows", `{"properties": {"k": {"type": "string", "anyOf": [{"type": "integer"}, {"type": "string"}]}}}`, "k", "12345", `"12345"`},
		{"siblings of a $ref", `{"properties": {"k": {"$ref": "#/$defs/s", "description": "d"}}, "$defs": {"s": {"type": "string"}}}`, "k", "12345", `"12345"`},
		{"an optional string", `{"properties": {"k": {"anyOf": [{"type": "string"}, {"type": "null"}]}}}`, "k", "12345", `"12345"`},
		{"an optional string that is null", `{"properties": {"k": {"anyOf": [{"type": "string"}, {"type": "null"}]}}}`, "k", "Null", `null`},
		{"None is a word where text is allowed", `{"properties": {"k": {"type": ["string", "null"]}}}`, "k", "None", `"None"`},
		{"None for a number", `{"properties": {"k": {"type": "integer"}}}`, "k", "None", `null`},
		{"an empty integer", `{"properties": {"k": {"type": "integer"}}}`, "k", "", `""`},
		{"an empty object", `{"properties": {"k": {"type": "object"}}}`, "k", "\n", `"\n"`},
		{"an empty boolean", `{"properties": {"k": {"type": ["boolean", "null"]}}}`, "k", "", `""`},
		{"1 for a boolean", `{"properties": {"k": {"type": "boolean"}}}`, "k", "1", `true`},
		{"TRUE", `{"properties": {"k": {"type": "boolean"}}}`, "k", " TRUE", `true`},
		{"yes is no boolean", `{"properties": {"k": {"type": "boolean"}}}`, "k", "yes", `"yes"`},
		{"another number than was asked for", `{"properties": {"k": {"type": "integer"}}}`, "k", "1.5", `1.5`},
		{"a list that was not asked for", `{"properties": {"k": {"type": "integer"}}}`, "k", "[1]", `[1]`},
		{"an infinite number", `{"properties": {"k": {"type": "number"}}}`, "k", "inf", `"inf"`},
		{"Python's object", `{"properties": {"k": {"type": "object"}}}`, "k", `{'a': True, "b": (None, 1.5, 'it\'s "x"\n'), 'c': [],}`, `{"a": true, "b": [null, 1.5, "it's \"x\"\n"], "c": []}`},
		{"Python's list", `{"properties": {"k": {"type": ["array", "null"]}}}`, "k", `['a', False]`, `["a", false]`},
		{"Python's list where text is allowed", `{"properties": {"k": {"type": ["array", "string"]}}}`, "k", `['a']`, `["a"]`},
		{"no literal of Python", `{"properties": {"k": {"type": "object"}}}`, "k", `{a: open('x')}`, `"{a: open('x')}"`},
	} {
		tools := json.RawMessage(`[{"name": 7}, {"type": "function", "function": {"name": "f", "parameters": ` + c.schema + `}}]`)
		conf := OutputConfig{Format: GLM, Tools: tools}
		g := gather(t, conf, "<tool_call>f<arg_key>"+c.key+"</arg_key><arg_value>"+c.text+"</arg_value></tool_call>")
		if want := fmt.Sprintf("{%q: %s}", c.key, c.want); len(g.Calls) != 1 || g.Calls[0].Arguments != want {
			t.Errorf("%s: %+v, want %s", c.name, g, want)
		}
	}
}

// TestReferencesToNothingAreTypesOfNothing: none of them ends in an error, and the value is read as where the schema is silent.
func TestReferencesToNothingAreTypesOfNothing(t *testing.T) {
	for _, ref := range []string{"#/$defs/none", "#x", "other.json", "#/allOf/9", "#/allOf/-1", "#/type/x", "#/%zz", ""} {
		tools := `[{"name": "f", "parameters": {"type": "object", "allOf": [{}], "properties": {"k": {"$ref": "` + ref + `"}}}}]`
		g := gather(t, OutputConfig{Format: Qwen3Coder, Tools: json.RawMessage(tools)}, "<tool_call><function=f><parameter=k>[1]</parameter></function></tool_call>")
		if len(g.Calls) != 1 || g.Calls[0].Arguments != `{"k": [1]}` {
			t.Errorf("%q: %+v", ref, g)
		}
	}
}

// A hostile schema is read in time: references in circles, alternatives in alternatives, many patterns.
func TestHostileSchemasEnd(t *testing.T) {
	circles := `{"$ref": "#", "allOf": [{"$ref": "#"}, {"$ref": "#/allOf/0"}], "properties": {"k": {"anyOf": [{"$ref": "#"}, {"$ref": "#/properties/k"}]}}}`
	deep := strings.Repeat(`{"allOf":[`, 4000) + "{}" + strings.Repeat("]}", 4000)
	var patterns []string
	for i := range 10_000 {
		patterns = append(patterns, fmt.Sprintf(`"^(a|b)*%d": {}`, i))
	}
	for _, schema := range []string{circles, deep, `{"patternProperties": {` + strings.Join(patterns, ",") + `}}`} {
		types := readToolTypes(json.RawMessage(`[{"name": "f", "parameters": ` + schema + `}]`))
		if p := types["f"]; p == nil || len(p.patterns) > maxPatterns {
			t.Errorf("%.60s: %v", schema, p)
		}
	}
}
