// arrays.go is arrays: places that have schemas of their own, then the rest.

package schema

import (
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/inference-pio/inference-pio/sdk/grammar"
)

// array are the arrays that satisfy all schemas.
func (c *compiler) array(flat []*jsonschema.Schema) *grammar.Expr {
	least, most := limits(flat, func(s *jsonschema.Schema) (*int, *int) { return s.MinItems, s.MaxItems })
	places := 0
	for _, s := range flat {
		places = max(places, len(tuple(s)))
		if m := c.more[s]; m != nil && m.rest != nil {
			places = max(places, m.rest.places())
		}
	}
	if a := c.counted(flat, least, most, places); a != nil {
		if unique := uniqueOf(flat); unique != nil && (most < 0 || most > 1) {
			c.lose(unique, "uniqueItems", "takes a memory of all items")
		}
		return grammar.Seq(grammar.Literal("["), a.from(0, make([]int, len(a.demands))))
	}
	if unique := uniqueOf(flat); unique != nil && (most < 0 || most > 1) {
		if e := c.distinct(flat, least, most, places); e != nil {
			return e
		}
		if e := c.unlike(flat, least, most, places); e != nil {
			return e
		}
		if !c.differ(flat, most, places) {
			c.lose(unique, "uniqueItems", "takes a memory of all items")
		}
	}
	rest := nothing()
	if most < 0 || most > places {
		rest = c.goal(c.itemsAt(flat, places))
	}
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
		item := []*grammar.Expr{c.blank(), c.goal(c.itemsAt(flat, i)), tail}
		if i > 0 {
			item = append([]*grammar.Expr{grammar.Literal(",")}, item...)
		}
		tail = grammar.Seq(item...)
		if i >= least {
			tail = grammar.Optional(tail)
		}
	}
	return grammar.Seq(grammar.Literal("["), tail, c.blank(), grammar.Literal("]"))
}

// tuple are the schemas of single places.
func tuple(s *jsonschema.Schema) []*jsonschema.Schema {
	if list, ok := s.Items.([]*jsonschema.Schema); ok {
		return list
	}
	return s.PrefixItems
}

// itemsAt are the schemas of the item at a place.
func (c *compiler) itemsAt(flat []*jsonschema.Schema, at int) []*jsonschema.Schema {
	out := itemsAt(flat, at)
	for _, s := range flat {
		m := c.more[s]
		if m == nil || m.rest == nil || !demands(m.rest.of.UnevaluatedItems) {
			continue
		}
		if n := m.rest.places(); n >= 0 && at >= n {
			out = append(out, m.rest.item)
		}
	}
	return out
}

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

// ---- items that are all different

func uniqueOf(flat []*jsonschema.Schema) *jsonschema.Schema {
	if i := slices.IndexFunc(flat, func(s *jsonschema.Schema) bool { return s.UniqueItems }); i >= 0 {
		return flat[i]
	}
	return nil
}

// distinct are arrays of different items of which there are but a few; nil if there are more.
func (c *compiler) distinct(flat []*jsonschema.Schema, least, most, places int) *grammar.Expr {
	if places > 0 {
		return nil
	}
	values := c.finite(c.itemsAt(flat, 0))
	if values == nil {
		return nil
	}
	return c.allDifferent(grammar.Distinct(c.comma(), max(least, 1), most, values...), least)
}

// finite are the values that satisfy all of the schemas, each once, if these are constants and no more than can be told apart; else nil.
func (c *compiler) finite(list []*jsonschema.Schema) []*grammar.Expr {
	list = c.ordered(list)
	if len(list) == 0 {
		return nil
	}
	out := []*grammar.Expr{}
	seen := map[string]bool{}
	add := func(v any, e func() *grammar.Expr) {
		if key := same(v); !seen[key] {
			seen[key] = true
			out = append(out, e())
		}
	}
	for _, flat := range c.flatten(list) {
		at := slices.IndexFunc(flat, func(s *jsonschema.Schema) bool { return constantsOf(s) != nil })
		values, few := few(flat)
		if at >= 0 {
			values, few = constantsOf(flat[at]), true
		}
		if !few {
			return nil
		}
		for i, v := range values {
			if !c.spend(len(flat)) {
				return nil
			}
			if !valid(flat, v) {
				continue
			}
			if add(v, func() *grammar.Expr {
				if at < 0 {
					return grammar.Literal(compact(v))
				}
				return c.constant(c.written(flat[at], i, v))
			}); len(out) > grammar.MaxDistinct {
				return nil
			}
		}
	}
	return out
}

// few are null, the booleans and whole numbers within bounds; false if a value may be something else, or the bounds are wide.
func few(flat []*jsonschema.Schema) ([]any, bool) {
	values, allowed := []any{nil, true, false}, kinds(flat)
	if allowed&^(kindNull|kindBoolean|kindInteger) != 0 || allowed&kindInteger == 0 {
		return values, allowed&^(kindNull|kindBoolean) == 0
	}
	var least, most *big.Rat
	for _, s := range flat {
		for _, b := range []*big.Rat{s.Minimum, s.ExclusiveMinimum} {
			if b != nil && (least == nil || b.Cmp(least) > 0) {
				least = b
			}
		}
		for _, b := range []*big.Rat{s.Maximum, s.ExclusiveMaximum} {
			if b != nil && (most == nil || b.Cmp(most) < 0) {
				most = b
			}
		}
	}
	if least == nil || most == nil || new(big.Rat).Sub(most, least).Cmp(big.NewRat(2*grammar.MaxDistinct, 1)) > 0 {
		return nil, false
	}
	for n := new(big.Int).Div(least.Num(), least.Denom()); new(big.Rat).SetInt(n).Cmp(most) <= 0; n = new(big.Int).Add(n, big.NewInt(1)) {
		values = append(values, json.Number(n.String()))
	}
	return values, true
}

// same is a text that equal values have and no others.
func same(v any) string {
	switch v := v.(type) {
	case []any:
		var s strings.Builder
		for _, item := range v {
			s.WriteString(same(item) + ",")
		}
		return "[" + s.String() + "]"
	case map[string]any:
		var s strings.Builder
		for _, name := range sorted(v) {
			s.WriteString(compact(name) + ":" + same(v[name]) + ",")
		}
		return "{" + s.String() + "}"
	case string, bool, nil:
		return compact(v)
	}
	if n, ok := new(big.Rat).SetString(fmt.Sprint(v)); ok {
		return n.String()
	}
	return compact(v)
}

// maxDiffering is the most places of which it is looked at whether their items can be equal.
const maxDiffering = 8

// differ says that no two places can have equal items.
func (c *compiler) differ(flat []*jsonschema.Schema, most, places int) bool {
	if most < 0 || most > maxDiffering || places == 0 {
		return false
	}
	for i := range most {
		for j := range i {
			p := newCompiler(c.doc, false)
			p.probe, p.probes, p.singles, p.work = true, c.probes, c.singles, c.work
			if !p.empty(append(c.itemsAt(flat, i), c.itemsAt(flat, j)...)...) {
				return false
			}
		}
	}
	return true
}
