// made.go is schemas that no text has: what follows from others, made once for each so that rules can be known again.

package schema

import (
	"math/big"
	"reflect"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/inference-pio/inference-pio/sdk/grammar/automaton"
)

// made remembers such schemas.
type made struct {
	known    map[string]*jsonschema.Schema
	inverted map[*jsonschema.Schema]*jsonschema.Schema // of "not": what is not to be valid
	inverses map[*jsonschema.Schema]*inverse           // by that
	more     map[*jsonschema.Schema]*more
	dropped  map[dropped]bool
	blind    map[*jsonschema.Schema]bool // whose unevaluatedProperties and unevaluatedItems are not held
}

func newMade() made {
	return made{map[string]*jsonschema.Schema{}, map[*jsonschema.Schema]*jsonschema.Schema{}, map[*jsonschema.Schema]*inverse{}, map[*jsonschema.Schema]*more{},
		map[dropped]bool{}, map[*jsonschema.Schema]bool{}}
}

// more is what a schema says for which there is no keyword.
type more struct {
	divisors []*big.Rat // by none of these a number may be divided
	numbers  []*big.Rat // none of these a number may be
	from     int        // the place from which contains counts
	some     *some      // a key that there must be
	rest     *rest      // of what no other schema speaks of
}

// some is that there is a key of a kind, with a value of a kind behind it.
type some struct {
	names []string           // keys that are not of this kind although keys may tell them
	named func(string) bool  // says it of a key
	keys  *automaton.Text    // are the keys of this kind that no schema names; nil: all
	value *jsonschema.Schema // nil: any
}

// rest is what holds for keys and items of which none of some schemas speaks.
type rest struct {
	of       *jsonschema.Schema // has unevaluatedProperties, unevaluatedItems
	speaking []*jsonschema.Schema
	item     *jsonschema.Schema // of items that may count as contained
}

// inferred marks the location of a schema that was made of the one there.
const inferred = "~"

// make is a schema that follows from another. What the library keeps of that one to itself, to follow references, goes with it.
func (c *compiler) make(from *jsonschema.Schema, s jsonschema.Schema) *jsonschema.Schema {
	s.Location, s.DraftVersion = inferred+strings.TrimPrefix(from.Location, inferred), 2020
	out := *from
	to, says := reflect.ValueOf(&out).Elem(), reflect.ValueOf(s)
	for i := range to.NumField() {
		if field := to.Field(i); field.CanSet() {
			field.Set(says.Field(i))
		}
	}
	return &out
}

// once makes a schema, or gives the one that was made by that name.
func (c *compiler) once(from *jsonschema.Schema, name string, s func() jsonschema.Schema) *jsonschema.Schema {
	key := string(c.key([]*jsonschema.Schema{from})) + name
	if t := c.known[key]; t != nil {
		return t
	}
	t := c.make(from, s())
	c.known[key] = t
	return t
}

// always is the schema of every value, never that of none.
var (
	always = &jsonschema.Schema{Bool: ptr(true)}
	never  = &jsonschema.Schema{Bool: ptr(false)}
)

func ptr[T any](v T) *T { return &v }

// lacking are objects without a key, and all that is no object.
func (c *compiler) lacking(from *jsonschema.Schema, name string) *jsonschema.Schema {
	return c.once(from, "-"+name, func() jsonschema.Schema {
		return jsonschema.Schema{Properties: map[string]*jsonschema.Schema{name: never}}
	})
}

// needing are objects with some keys.
func (c *compiler) needing(from *jsonschema.Schema, names ...string) *jsonschema.Schema {
	return c.once(from, "+"+strings.Join(names, "\x00"), func() jsonschema.Schema {
		return jsonschema.Schema{Types: kindObject.types(), Required: names}
	})
}

// having are objects with a key behind which a schema holds.
func (c *compiler) having(from *jsonschema.Schema, name string, value *jsonschema.Schema) *jsonschema.Schema {
	return c.once(from, "="+string(c.key([]*jsonschema.Schema{value}))+name, func() jsonschema.Schema {
		return jsonschema.Schema{Types: kindObject.types(), Required: []string{name}, Properties: map[string]*jsonschema.Schema{name: value}}
	})
}

// rest is the schema of what is said of keys and items of which none of the others speaks.
func (c *compiler) rest(of *jsonschema.Schema, speaking []*jsonschema.Schema) *jsonschema.Schema {
	s := c.once(of, "rest"+string(c.key(speaking)), func() jsonschema.Schema { return jsonschema.Schema{} })
	if c.more[s] != nil {
		return s
	}
	r := &rest{of: of, speaking: speaking}
	if r.item = of.UnevaluatedItems; demands(of.UnevaluatedItems) {
		ways := []*jsonschema.Schema{of.UnevaluatedItems}
		for _, t := range speaking {
			if t.Contains != nil && t.DraftVersion >= 2020 { // what is contained counts as spoken of
				ways = append(ways, t.Contains)
			}
		}
		if len(ways) > 1 {
			r.item = c.make(of, jsonschema.Schema{AnyOf: ways})
		}
	}
	c.more[s] = &more{rest: r}
	return s
}

// member are the schemas that r has for what stands behind a key: none if one of the others speaks of it.
func (r *rest) member(name string, named bool, matches func(*pattern) bool) []*jsonschema.Schema {
	if !demands(r.of.UnevaluatedProperties) {
		return nil
	}
	for _, t := range r.speaking {
		if t.AdditionalProperties != nil || t != r.of && t.UnevaluatedProperties != nil || named && t.Properties[name] != nil || slices.ContainsFunc(patterns(t), matches) {
			return nil
		}
	}
	return []*jsonschema.Schema{r.of.UnevaluatedProperties}
}

// places is up to which place the others speak of items, -1 if of all.
func (r *rest) places() int {
	n := 0
	for _, t := range r.speaking {
		_, all := t.Items.(*jsonschema.Schema)
		_, some := t.Items.([]*jsonschema.Schema)
		if all || some && t.AdditionalItems != nil || t.Items2020 != nil || t != r.of && t.UnevaluatedItems != nil {
			return -1
		}
		n = max(n, len(tuple(t)))
	}
	return n
}
