// negate.go turns a schema around: the ways in which a value is not valid under it, each said by schemas again. What "not", "if" and oneOf ask is
// held so.

package schema

import (
	"fmt"
	"math/big"
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/inference-pio/inference-pio/sdk/grammar/automaton"
)

// inverse is what became of a schema that was turned around.
type inverse struct {
	ways        [][]*jsonschema.Schema
	unheld, why string // the keyword that cannot be; "" if all can
}

// not is the schema of what is not valid under another.
func (c *compiler) not(x *jsonschema.Schema) *jsonschema.Schema {
	switch {
	case x.Bool != nil && *x.Bool:
		return never
	case x.Bool != nil:
		return always
	case c.inverted[x] != nil:
		return c.inverted[x]
	}
	s := c.once(x, "!", func() jsonschema.Schema { return jsonschema.Schema{Not: x} })
	c.inverted[s] = x
	return s
}

// otherwise are the ways in which a value is not valid under a schema; false if they cannot be told while it is written.
func (c *compiler) otherwise(x *jsonschema.Schema) ([][]*jsonschema.Schema, bool) {
	n := c.inverses[x]
	if n == nil {
		t := turner{compiler: c, of: x}
		t.turn()
		n = &t.inverse
		c.inverses[x] = n
	}
	if n.unheld != "" {
		c.lose(x, n.unheld, n.why)
	}
	return n.ways, n.unheld == ""
}

// turner turns one schema around, keyword by keyword.
type turner struct {
	*compiler
	of *jsonschema.Schema
	inverse
}

func (t *turner) turn() {
	t.kinds()
	t.constants()
	t.composed()
	t.strings()
	t.numbers()
	t.arrays()
	t.objects()
}

func (t *turner) lose(keyword, why string) { t.unheld, t.why = keyword, why }

// unturned is why most keywords cannot be turned around.
const unturned = "cannot be held the other way round, as a not, if or oneOf around it asks"

// way adds one that takes several schemas at once.
func (t *turner) way(all ...*jsonschema.Schema) { t.ways = append(t.ways, all) }

// says adds what one schema says.
func (t *turner) says(s jsonschema.Schema) *jsonschema.Schema {
	made := t.make(t.of, s)
	t.way(made)
	return made
}

func (t *turner) kinds() {
	if t.of.Types == nil {
		return
	}
	has := kindsOf(t.of)
	if rest := kindAny &^ (has | kindNumber | kindInteger); rest != 0 {
		t.says(jsonschema.Schema{Types: rest.types()})
	}
	switch {
	case has&kindNumber != 0:
	case has&kindInteger != 0:
		t.more[t.says(jsonschema.Schema{Types: kindNumber.types()})] = &more{divisors: []*big.Rat{big.NewRat(1, 1)}}
	default:
		t.says(jsonschema.Schema{Types: kindNumber.types()})
	}
}

// constants are turned around by kind: other strings, other numbers, the other boolean, arrays and objects that differ from each.
func (t *turner) constants() {
	values := constantsOf(t.of)
	if values == nil {
		return
	}
	if t.of.Const != nil && t.of.Enum != nil && !valid([]*jsonschema.Schema{{Enum: t.of.Enum}}, *t.of.Const) {
		t.way(always)
		return
	}
	var words []string
	var numbers []*big.Rat
	var arrays, objects []*jsonschema.Schema
	left := kindAny
	truths := map[bool]bool{}
	for _, v := range values {
		switch v := v.(type) {
		case nil:
			left &^= kindNull
		case bool:
			left, truths[v] = left&^kindBoolean, true
		case string:
			left, words = left&^kindString, append(words, v)
		case []any:
			left, arrays = left&^kindArray, append(arrays, t.not(t.array(v)))
		case map[string]any:
			left, objects = left&^kindObject, append(objects, t.not(t.object(v)))
		default:
			n, ok := new(big.Rat).SetString(fmt.Sprint(v))
			if !ok {
				t.lose("enum", unturned)
				return
			}
			left, numbers = left&^(kindNumber|kindInteger), append(numbers, n)
		}
	}
	if left != 0 {
		t.says(jsonschema.Schema{Types: left.types()})
	}
	if len(truths) == 1 {
		t.says(jsonschema.Schema{Const: ptr[any](!truths[true])})
	}
	if words != nil {
		set, err := automaton.Words(words...)
		t.strung("enum", &pattern{source: fmt.Sprintf("%q", words), set: set, why: err})
	}
	if numbers != nil {
		t.more[t.says(jsonschema.Schema{Types: kindNumber.types()})] = &more{numbers: numbers}
	}
	if arrays != nil {
		t.says(jsonschema.Schema{Types: kindArray.types(), AllOf: arrays})
	}
	if objects != nil {
		t.says(jsonschema.Schema{Types: kindObject.types(), AllOf: objects})
	}
}

// array is the schema of one array, object that of one object.
func (t *turner) array(items []any) *jsonschema.Schema {
	s := jsonschema.Schema{Types: kindArray.types(), MinItems: ptr(len(items)), MaxItems: ptr(len(items))}
	for _, v := range items {
		s.PrefixItems = append(s.PrefixItems, t.make(t.of, jsonschema.Schema{Const: &v}))
	}
	return t.make(t.of, s)
}

func (t *turner) object(members map[string]any) *jsonschema.Schema {
	s := jsonschema.Schema{Types: kindObject.types(), Required: sorted(members), Properties: map[string]*jsonschema.Schema{}, AdditionalProperties: false}
	for name, v := range members {
		s.Properties[name] = t.make(t.of, jsonschema.Schema{Const: &v})
	}
	return t.make(t.of, s)
}

// strung adds the strings that a pattern does not match.
func (t *turner) strung(keyword string, p *pattern) {
	set, err := p.set, p.why
	if err == nil {
		set, err = everyKey().Without(set)
	}
	if err != nil {
		t.lose(keyword, unturned+": "+err.Error())
		return
	}
	t.says(jsonschema.Schema{Types: kindString.types(), Pattern: &pattern{source: "not " + p.source, set: set}})
}

func (t *turner) composed() {
	x := t.of
	if x.Ref != nil {
		t.way(t.not(x.Ref))
	}
	if d := x.DynamicRef; d != nil && d.Anchor == "" {
		t.way(t.not(d.Ref))
	} else if d != nil {
		t.lose("$dynamicRef", unturned)
	}
	if r := x.RecursiveRef; r != nil && !r.RecursiveAnchor {
		t.way(t.not(r))
	} else if r != nil {
		t.lose("$recursiveRef", unturned)
	}
	if x.Not != nil {
		t.way(x.Not)
	}
	for _, a := range x.AllOf {
		t.way(t.not(a))
	}
	if len(x.AnyOf) > 0 {
		t.way(t.nots(x.AnyOf)...)
	}
	if len(x.OneOf) > 0 {
		t.way(t.nots(x.OneOf)...)
		t.two()
	}
	if x.If != nil && x.Then != nil {
		t.way(x.If, t.not(x.Then))
	}
	if x.If != nil && x.Else != nil {
		t.way(t.not(x.If), t.not(x.Else))
	}
}

func (t *turner) nots(list []*jsonschema.Schema) []*jsonschema.Schema {
	out := make([]*jsonschema.Schema, len(list))
	for i, s := range list {
		out[i] = t.not(s)
	}
	return out
}

// two are the ways in which two members of oneOf are valid.
func (t *turner) two() {
	for i, a := range t.of.OneOf {
		for _, b := range t.of.OneOf[i+1:] {
			if t.probe || !t.apart(a, b) {
				t.way(a, b)
			}
		}
	}
	if len(t.ways) > maxOverlaps {
		t.lose("oneOf", unturned)
	}
}

func (t *turner) strings() {
	x := t.of
	if x.MinLength != nil && *x.MinLength > 0 {
		t.says(jsonschema.Schema{Types: kindString.types(), MaxLength: ptr(*x.MinLength - 1)})
	}
	if x.MaxLength != nil {
		t.says(jsonschema.Schema{Types: kindString.types(), MinLength: ptr(*x.MaxLength + 1)})
	}
	if p, ok := x.Pattern.(*pattern); ok {
		t.strung("pattern", p)
	}
	if _, known := formats[t.format(x)]; known || x.Format != nil { // of which rare members are left out
		t.lose("format", unturned)
	}
}

func (t *turner) numbers() {
	x, number := t.of, kindNumber.types()
	if x.Minimum != nil {
		t.says(jsonschema.Schema{Types: number, ExclusiveMaximum: x.Minimum})
	}
	if x.Maximum != nil {
		t.says(jsonschema.Schema{Types: number, ExclusiveMinimum: x.Maximum})
	}
	if x.ExclusiveMinimum != nil {
		t.says(jsonschema.Schema{Types: number, Maximum: x.ExclusiveMinimum})
	}
	if x.ExclusiveMaximum != nil {
		t.says(jsonschema.Schema{Types: number, Minimum: x.ExclusiveMaximum})
	}
	if x.MultipleOf != nil {
		t.more[t.says(jsonschema.Schema{Types: number})] = &more{divisors: []*big.Rat{x.MultipleOf}}
	}
}

func (t *turner) arrays() {
	x, array := t.of, kindArray.types()
	if x.MinItems != nil && *x.MinItems > 0 {
		t.says(jsonschema.Schema{Types: array, MaxItems: ptr(*x.MinItems - 1)})
	}
	if x.MaxItems != nil {
		t.says(jsonschema.Schema{Types: array, MinItems: ptr(*x.MaxItems + 1)})
	}
	for i, p := range tuple(x) {
		if wrong := t.not(p); wrong != never {
			list := slices.Repeat([]*jsonschema.Schema{always}, i+1)
			list[i] = wrong
			t.says(jsonschema.Schema{Types: array, MinItems: ptr(i + 1), PrefixItems: list})
		}
	}
	for _, r := range itemsAt([]*jsonschema.Schema{x}, len(tuple(x))) {
		if wrong := t.not(r); wrong != never {
			t.more[t.says(jsonschema.Schema{Types: array, Contains: wrong})] = &more{from: len(tuple(x))}
		}
	}
	if x.Contains != nil {
		switch least := minContains(x); least {
		case 0:
		case 1:
			t.says(jsonschema.Schema{Types: array, Items2020: t.not(x.Contains)})
		default:
			t.says(jsonschema.Schema{Types: array, Contains: x.Contains, MinContains: ptr(0), MaxContains: ptr(least - 1)})
		}
		if x.MaxContains != nil {
			t.says(jsonschema.Schema{Types: array, Contains: x.Contains, MinContains: ptr(*x.MaxContains + 1)})
		}
	}
	if x.UniqueItems {
		t.lose("uniqueItems", unturned)
	}
	if demands(x.UnevaluatedItems) {
		t.lose("unevaluatedItems", unturned)
	}
}

func (t *turner) objects() {
	x, object := t.of, kindObject.types()
	if x.MinProperties != nil && *x.MinProperties > 0 {
		t.says(jsonschema.Schema{Types: object, MaxProperties: ptr(*x.MinProperties - 1)})
	}
	if x.MaxProperties != nil {
		t.says(jsonschema.Schema{Types: object, MinProperties: ptr(*x.MaxProperties + 1)})
	}
	without := func(name string) jsonschema.Schema {
		return jsonschema.Schema{Types: object, Properties: map[string]*jsonschema.Schema{name: never}}
	}
	for _, name := range x.Required {
		t.says(without(name))
	}
	for _, name := range sorted(x.Properties) {
		if wrong := t.not(x.Properties[name]); wrong != never {
			t.way(t.having(x, name, wrong))
		}
	}
	needs := func(name string, names []string) {
		for _, needed := range names {
			s := without(needed)
			s.Required = []string{name}
			t.says(s)
		}
	}
	for _, name := range sorted(x.DependentRequired) {
		needs(name, x.DependentRequired[name])
	}
	for _, name := range sorted(x.DependentSchemas) {
		t.way(t.needing(x, name), t.not(x.DependentSchemas[name]))
	}
	for _, name := range sorted(x.Dependencies) {
		switch d := x.Dependencies[name].(type) {
		case []string:
			needs(name, d)
		case *jsonschema.Schema:
			t.way(t.needing(x, name), t.not(d))
		}
	}
	if demands(x.UnevaluatedProperties) {
		t.lose("unevaluatedProperties", unturned)
	}
	t.others()
}

// others are objects with a key that is wrong, whichever it is.
func (t *turner) others() {
	x := t.of
	if n := x.PropertyNames; demands(n) {
		before := t.losses
		right, ok := t.names(n)
		wrong := everyKey()
		if ok {
			var err error
			wrong, err = wrong.Without(right)
			ok = err == nil
		}
		if !ok || t.losses > before {
			t.lose("propertyNames", unturned)
			return
		}
		t.there(&some{named: func(name string) bool { return n.Validate(name) != nil }, keys: wrong})
	}
	var rest *automaton.Text // nil: all keys
	for _, p := range patterns(x) {
		err := p.why
		if rest == nil {
			rest = everyKey()
		}
		if err == nil {
			rest, err = rest.Without(p.set)
		}
		if err != nil {
			t.lose("patternProperties", unturned+": "+err.Error())
			return
		}
		if wrong := t.not(x.PatternProperties[p]); wrong != never {
			t.there(&some{named: p.MatchString, keys: p.set, value: wrong})
		}
	}
	for _, a := range additional(x.AdditionalProperties) {
		if wrong := t.not(a); wrong != never {
			t.there(&some{names: sorted(x.Properties), value: wrong, keys: rest, named: func(name string) bool {
				return x.Properties[name] == nil && !slices.ContainsFunc(patterns(x), func(p *pattern) bool { return p.MatchString(name) })
			}})
		}
	}
}

func (t *turner) there(s *some) {
	t.more[t.says(jsonschema.Schema{Types: kindObject.types()})] = &more{some: s}
}

func minContains(s *jsonschema.Schema) int {
	if s.MinContains == nil {
		return 1
	}
	return *s.MinContains
}
