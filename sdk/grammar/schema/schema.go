// schema.go is the way from a schema to a grammar and to what checks a value.

package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/inference-pio/inference-pio/sdk/grammar"
)

// Schema is a schema and what became of it.
type Schema struct {
	Expr  *grammar.Expr // the values that are valid, and others as far as Loose says; nil from Members
	Loose []Loose       // what the grammar does not hold
	check *jsonschema.Schema
}

// home is the address that a schema has while it is resolved, beside what is named without a host; nothing is fetched from there.
const (
	beside = "schema:///"
	home   = beside + "request"
)

// Compile reads a schema. With strict it refuses what the grammar would not hold. Its errors are *Error.
func Compile(raw []byte, strict bool) (*Schema, error) { return compile(raw, strict, false) }

// Arguments is Compile for a tool's parameters: of the values that are valid the objects, whatever the schema says of types.
func Arguments(raw []byte, strict bool) (*Schema, error) { return compile(raw, strict, true) }

// objects is the schema of all objects.
var objects = &jsonschema.Schema{Types: kindObject.types(), Location: inferred + "#"}

func compile(raw []byte, strict, object bool) (*Schema, error) {
	doc, err := parse(raw)
	if err != nil {
		return nil, err
	}
	root, err := resolve(doc)
	if err != nil {
		return nil, err
	}
	c := newCompiler(doc, strict)
	all := []*jsonschema.Schema{settled(root)}
	if object && kinds(all) != kindObject {
		all = append(all, objects)
	}
	e := c.goal(all)
	switch {
	case c.err != nil:
		return nil, c.err
	case grammar.Empty(e):
		return nil, invalid("#", "no value is valid under the schema")
	}
	return &Schema{Expr: e, Loose: c.loose, check: root}, nil
}

// Check says what is wrong with a complete value.
func (s *Schema) Check(text []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("the value is not JSON: %w", err)
	}
	err = s.check.Validate(v)
	var wrong *jsonschema.ValidationError
	if errors.As(err, &wrong) {
		for len(wrong.Causes) > 0 {
			wrong = wrong.Causes[0]
		}
		return fmt.Errorf("the value at #%s: %s", pointer(wrong.InstanceLocation), strings.TrimSpace(afterColon(wrong.Error())))
	}
	return err
}

func pointer(tokens []string) string {
	var s strings.Builder
	for _, t := range tokens {
		s.WriteString("/" + escapePointer(t))
	}
	return s.String()
}

// afterColon drops the library's "at '/a': " before what it found.
func afterColon(s string) string {
	if i := strings.LastIndex(s, "': "); i >= 0 {
		return s[i+3:]
	}
	return s
}

// resolve has the library read a schema.
func resolve(doc *value) (*jsonschema.Schema, error) {
	c := jsonschema.NewCompiler()
	c.UseLoader(noLoader{})
	c.UseRegexpEngine(newPattern)
	c.AssertFormat()
	if doc.any(isTuple) { // as clients write it who say no draft
		c.DefaultDraft(jsonschema.Draft2019)
	}
	if err := c.AddResource(home, doc.plain()); err != nil {
		return nil, invalid("#", "%v", err)
	}
	root, err := c.Compile(home)
	if err != nil {
		return nil, described(err, doc)
	}
	return root, nil
}

func isTuple(v *value) bool {
	items := v.get("items")
	return items != nil && items.kind == '['
}

// noLoader fetches nothing.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("%s is not part of the schema, and nothing is fetched", strings.TrimPrefix(url, beside))
}

// described says in a sentence what the library found, and where.
func described(err error, doc *value) error {
	var fault *jsonschema.SchemaValidationError
	var wrong *jsonschema.ValidationError
	var load *jsonschema.LoadURLError
	switch {
	case errors.As(err, &fault) && errors.As(fault.Err, &wrong):
		for len(wrong.Causes) > 0 {
			wrong = wrong.Causes[0]
		}
		return invalid("#"+pointer(wrong.InstanceLocation), "it is no valid schema: %s", strings.TrimSpace(afterColon(wrong.Error())))
	case errors.As(err, &load):
		path, _ := doc.refTo(load.URL, "#")
		return invalid(path, "$ref %v", load.Err)
	}
	return invalid("#", "%s", strings.ReplaceAll(err.Error(), home, ""))
}

// refTo is the path of the first reference whose address ends as its text does; it leads away from the schema, or nowhere.
func (v *value) refTo(url, path string) (at string, found bool) {
	for i, item := range v.items {
		key := strconv.Itoa(i)
		if v.kind == '{' {
			key = v.keys[i]
			text, _ := item.scalar.(string)
			if text, _, _ = strings.Cut(text, "#"); key == "$ref" && text != "" && strings.HasSuffix(url, text) {
				return path, true
			}
		}
		if at, found := item.refTo(url, path+"/"+escapePointer(key)); found {
			return at, true
		}
	}
	return "#", false
}

// path is where a schema stands, or the one that it was made of: "#/properties/a".
func path(s *jsonschema.Schema) string {
	location := strings.TrimPrefix(s.Location, inferred)
	if rest, ours := strings.CutPrefix(location, home); ours {
		if plain, err := url.PathUnescape(rest); err == nil {
			return plain
		}
	}
	return location
}

// pointerOf is where a schema stands in the text: "/properties/a". Those that were made, or stand elsewhere, are not there.
func pointerOf(s *jsonschema.Schema) (string, bool) {
	if strings.HasPrefix(s.Location, inferred) {
		return "", false
	}
	return strings.CutPrefix(path(s), "#")
}

// compact is JSON as it is written for a constant.
func compact(v any) string {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "null" // only of values that are no JSON, and these were parsed
	}
	text := strings.TrimSuffix(out.String(), "\n")
	// what package json escapes besides, for JavaScript
	return strings.NewReplacer(`\u2028`, "\u2028", `\u2029`, "\u2029").Replace(text)
}
