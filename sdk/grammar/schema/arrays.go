// arrays.go is arrays: places that have schemas of their own, then the rest.

package schema

import (
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/inference-pio/inference-pio/sdk/grammar"
)

// array are the arrays that satisfy all schemas.
func (c *compiler) array(flat []*jsonschema.Schema) *grammar.Expr {
	least, most := limits(flat, func(s *jsonschema.Schema) (*int, *int) { return s.MinItems, s.MaxItems })
	places := 0
	for _, s := range flat {
		places = max(places, len(tuple(s)))
	}
	for _, s := range flat {
		if s.UniqueItems && (most < 0 || most > 1) {
			c.lose(s, "uniqueItems", "takes a memory of all items")
		}
		if s.Contains != nil && !(s.MinContains != nil && *s.MinContains == 0 && s.MaxContains == nil) {
			c.lose(s, "contains", "cannot be held while an array is written")
		}
		if s.UnevaluatedItems != nil && (s.UnevaluatedItems.Bool == nil || !*s.UnevaluatedItems.Bool) {
			c.lose(s, "unevaluatedItems", "depends on what other keywords found valid")
		}
	}
	rest := c.goal(itemsAt(flat, places))
	if places == 0 {
		return c.list("[", "]", rest, least, most)
	}
	// from the last place to the first: what may follow when so many items are written
	tail := c.further(rest, max(least-places, 0), -1)
	if most >= 0 {
		tail = c.further(rest, max(least-places, 0), max(most-places, 0))
	}
	for i := places - 1; i >= 0; i-- {
		if !c.spend(1) {
			return nothing()
		}
		if most >= 0 && i >= most {
			tail = grammar.Seq()
			continue
		}
		item := []*grammar.Expr{blank(), c.goal(itemsAt(flat, i)), tail}
		if i > 0 {
			item = append([]*grammar.Expr{grammar.Literal(",")}, item...)
		}
		tail = grammar.Seq(item...)
		if i >= least {
			tail = grammar.Optional(tail)
		}
	}
	return grammar.Seq(grammar.Literal("["), tail, blank(), grammar.Literal("]"))
}

// tuple are the schemas of single places.
func tuple(s *jsonschema.Schema) []*jsonschema.Schema {
	if list, ok := s.Items.([]*jsonschema.Schema); ok {
		return list
	}
	return s.PrefixItems
}

// itemsAt are the schemas of the item at a place.
func itemsAt(flat []*jsonschema.Schema, at int) []*jsonschema.Schema {
	var out []*jsonschema.Schema
	for _, s := range flat {
		if list := tuple(s); at < len(list) {
			out = append(out, list[at])
			continue
		}
		if s.Items2020 != nil {
			out = append(out, s.Items2020)
		}
		if all, ok := s.Items.(*jsonschema.Schema); ok {
			out = append(out, all)
		}
		if _, list := s.Items.([]*jsonschema.Schema); list {
			out = append(out, additional(s.AdditionalItems)...)
		}
	}
	return out
}

// never is the schema of no value.
var never = &jsonschema.Schema{Bool: new(bool)}

// additional reads what may be a bool or a schema.
func additional(v any) []*jsonschema.Schema {
	switch v := v.(type) {
	case bool:
		if !v {
			return []*jsonschema.Schema{never}
		}
	case *jsonschema.Schema:
		return []*jsonschema.Schema{v}
	}
	return nil
}
