// objects.go is objects: the keys that schemas name, in their order, then others.

package schema

import (
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/inference-pio/inference-pio/sdk/grammar"
	"github.com/inference-pio/inference-pio/sdk/grammar/automaton"
)

// object is what is known of the objects that satisfy a list.
type object struct {
	*compiler
	flat        []*jsonschema.Schema
	names       []string
	required    map[string]bool
	least, most int
	extra       *grammar.Expr // a key that is not among the names, and its value; nil if there is none
	extras      []other       // the kinds of these
	last        *grammar.Expr // one that there must be; nil if there need not
	rules       map[[2]int]*grammar.Rule
}

const (
	maxNames = 2048
	// maxPatterns bounds the patterns of one object's keys: each way to match some of them is looked at.
	maxPatterns = 6
)

// object are the objects that satisfy all schemas.
func (c *compiler) object(flat []*jsonschema.Schema) *grammar.Expr {
	var out []*grammar.Expr
	for _, w := range c.somewhere(flat) {
		out = append(out, c.members(w))
	}
	return grammar.Alt(out...)
}

// keyed is schemas of an object and, if there must be a key of some kind that none of them names, that kind. It is the last one: a key that
// comes twice has the value that comes last.
type keyed struct {
	flat []*jsonschema.Schema
	last *some
}

// somewhere gives the ways in which there can be keys of the kinds that there must be.
func (c *compiler) somewhere(flat []*jsonschema.Schema) []keyed {
	at := slices.IndexFunc(flat, func(s *jsonschema.Schema) bool { return c.more[s] != nil && c.more[s].some != nil })
	if at < 0 {
		return []keyed{{flat, nil}}
	}
	if !c.spend(len(flat)) {
		return nil
	}
	source := flat[at]
	k, others := c.more[source].some, slices.Delete(slices.Clone(flat), at, at+1)
	behind := k.value
	if behind == nil {
		behind = always
	}
	o := &object{compiler: c, flat: others, required: map[string]bool{}}
	o.collect(k)
	var out []keyed
	for _, name := range o.names {
		if k.named(name) {
			out = append(out, c.somewhere(append(slices.Clone(others), c.having(source, name, behind)))...)
		}
	}
	if len(out) > maxBranches {
		c.fail(tooLarge(path(source), "it leaves too many keys to choose"))
		return nil
	}
	for _, w := range c.somewhere(others) {
		if w.last != nil {
			c.lose(source, "not", "demands two keys that have no name")
		} else {
			w.last = k
		}
		out = append(out, w)
	}
	return out
}

// members are the objects of one way.
func (c *compiler) members(w keyed) *grammar.Expr {
	flat := w.flat
	o := &object{compiler: c, flat: flat, required: map[string]bool{}, rules: map[[2]int]*grammar.Rule{}}
	o.least, o.most = limits(flat, func(s *jsonschema.Schema) (*int, *int) { return s.MinProperties, s.MaxProperties })
	o.collect(w.last)
	if len(o.names) > maxNames {
		c.fail(tooLarge(path(flat[0]), "an object has more than %d names", maxNames))
		return nothing()
	}
	o.extras = o.kinds(nil)
	if extra := o.any(o.extras); !grammar.Empty(extra) {
		o.extra = extra
		c.single.fail()
	}
	c.single.order(o.names)
	if w.last != nil {
		o.last = o.any(o.kinds(w.last))
	}
	if needed := o.least - len(o.required); needed > 1 && o.extra != nil && o.last != nil {
		for _, s := range flat {
			if s.MinProperties != nil {
				c.lose(s, "minProperties", "counts keys where the last one is demanded by what is denied")
			}
		}
	}
	return grammar.Seq(grammar.Literal("{"), o.from(0, 0))
}

// collect finds the names, in the order of the text, and which are required.
func (o *object) collect(last *some) {
	seen := map[string]bool{}
	add := func(name string) {
		if !seen[name] {
			seen[name] = true
			o.names = append(o.names, name)
		}
	}
	for _, s := range o.flat {
		for _, name := range o.order(s) {
			add(name)
		}
	}
	for _, s := range o.flat {
		for _, name := range s.Required {
			add(name)
			o.required[name] = true
		}
	}
	if last != nil {
		for _, name := range last.names {
			add(name)
		}
	}
}

// order are the keys of a schema's properties as its text has them.
func (o *object) order(s *jsonschema.Schema) []string {
	if pointer, ours := pointerOf(s); ours && o.doc != nil {
		if v := o.doc.at(pointer).get("properties"); v != nil && len(v.keys) == len(s.Properties) {
			return v.keys
		}
	}
	return sorted(s.Properties)
}

// patterns are those of a schema's patternProperties, in a fixed order.
func patterns(s *jsonschema.Schema) []*pattern {
	var out []*pattern
	for re := range s.PatternProperties {
		if p, ok := re.(*pattern); ok {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b *pattern) int { return strings.Compare(a.source, b.source) })
	return out
}

// at are the schemas of the value behind a key; matches says which patterns match the key.
func (o *object) at(name string, named bool, matches func(*pattern) bool) []*jsonschema.Schema {
	var out []*jsonschema.Schema
	for _, s := range o.flat {
		found := false
		if p, ok := s.Properties[name]; ok && named {
			out, found = append(out, p), true
		}
		for _, p := range patterns(s) {
			if matches(p) {
				out, found = append(out, s.PatternProperties[p]), true
			}
		}
		if !found {
			out = append(out, additional(s.AdditionalProperties)...)
		}
		if m := o.more[s]; m != nil && m.rest != nil {
			out = append(out, m.rest.member(name, named, matches)...)
		}
	}
	return out
}

// value is what may stand behind a name of the list.
func (o *object) named(name string) *grammar.Expr {
	for _, s := range o.flat {
		if s.PropertyNames != nil && s.PropertyNames.Validate(name) != nil {
			return nothing()
		}
	}
	return o.goal(o.at(name, true, func(p *pattern) bool { return p.MatchString(name) }))
}

// from is what may stand from the i-th name on, count members being written. Counts are kept apart only as far as they matter.
func (o *object) from(i, count int) *grammar.Expr {
	if top := max(o.least, o.most, 0); count > max(top, 1) {
		count = max(top, 1)
	}
	key := [2]int{i, count}
	if r, known := o.rules[key]; known {
		return r.Use()
	}
	r := &grammar.Rule{Name: path(o.flat[0])}
	o.rules[key] = r
	if !o.spend(1) {
		r.Body = nothing()
		return r.Use()
	}
	if i == len(o.names) {
		r.Body = o.end(count)
		return r.Use()
	}
	var ways []*grammar.Expr
	if o.most < 0 || count < o.most {
		name := o.names[i]
		ways = append(ways, grammar.Seq(o.behind(count), grammar.Literal(compact(name)+":"), o.space(), o.named(name), o.from(i+1, count+1)))
	}
	if !o.required[o.names[i]] {
		ways = append(ways, o.from(i+1, count))
	}
	r.Body = grammar.Alt(ways...)
	return r.Use()
}

func (o *object) behind(count int) *grammar.Expr {
	if count == 0 {
		return o.blank()
	}
	return o.comma()
}

// end is what may stand behind the names: other keys, and the bracket.
func (o *object) end(count int) *grammar.Expr {
	end := grammar.Seq(o.blank(), grammar.Literal("}"))
	least, most := max(o.least-count, 0), -1
	if o.most >= 0 {
		most = max(o.most-count, 0)
	}
	if o.last != nil {
		return o.endBehind(count, least, most)
	}
	switch {
	case (o.extra == nil || most == 0) && least > 0:
		return nothing()
	case o.extra == nil || most == 0:
		return end
	case least > 1: // equal ones count once
		return grammar.Seq(o.behind(count), o.different(least, most), end)
	case count > 0:
		return grammar.Seq(o.further(o.extra, least, most), end)
	}
	some := grammar.Seq(o.blank(), o.extra, o.further(o.extra, max(least-1, 0), max(most, 0)-1), end)
	if least > 0 {
		return some
	}
	return grammar.Alt(end, some)
}

// endBehind is end where the last key is one that there must be.
func (o *object) endBehind(count, least, most int) *grammar.Expr {
	if most == 0 {
		return nothing()
	}
	least, most = max(least-1, 0), max(most, 0)-1 // before it; a bound below 0 is none
	last := grammar.Seq(o.blank(), o.last, o.blank(), grammar.Literal("}"))
	before := grammar.Alt()
	if o.extra != nil {
		before = o.extra
	}
	if count > 0 {
		return grammar.Seq(o.further(before, least, most), grammar.Literal(","), last)
	}
	behind := grammar.Seq(o.blank(), before, o.further(before, max(least-1, 0), max(most, 0)-1), grammar.Literal(","), last)
	switch {
	case least > 0 && most == 0:
		return nothing()
	case least > 0:
		return behind
	case most == 0:
		return last
	}
	return grammar.Alt(last, behind)
}

// different are so many members with keys that are not among the names, each with another.
func (o *object) different(least, most int) *grammar.Expr {
	var taken []string
	for _, name := range o.names {
		taken = append(taken, compact(name))
	}
	var kinds []grammar.Part
	for _, k := range o.extras {
		set, _ := o.spelledApart(k.keys)
		kinds = append(kinds, grammar.Part{Set: set, Behind: o.value(&k)})
	}
	return grammar.Unlike(o.comma(), least, most, taken, kinds...)
}

// other is keys that are not among the names, and what stands behind them; nil is all keys.
type other struct {
	keys   *automaton.Text
	behind *grammar.Expr
}

// value is what follows a key of the kind.
func (o *object) value(k *other) *grammar.Expr {
	return grammar.Seq(grammar.Literal(":"), o.space(), k.behind)
}

// any is a member of one of the kinds.
func (o *object) any(kinds []other) *grammar.Expr {
	var out []*grammar.Expr
	for _, k := range kinds {
		out = append(out, o.member(&k))
	}
	return grammar.Alt(out...)
}

// kinds are the members whose keys are not among the names: for each way that patterns may match a key, the keys and what stands behind them. With last they
// are those of its kind.
func (o *object) kinds(last *some) []other {
	keys, behind := o.keys(), []*jsonschema.Schema(nil)
	if last != nil && last.value != nil {
		behind = append(behind, last.value)
	}
	if last != nil && last.keys != nil {
		if keys == nil {
			keys = everyKey()
		}
		var err error
		if keys, err = keys.And(last.keys); err != nil {
			o.lose(o.flat[0], "not", "demands a key that is too much to be held")
			return []other{{nil, o.goal(nil)}}
		}
	}
	var all []*pattern
	for _, s := range o.flat {
		for _, p := range patterns(s) {
			if slices.ContainsFunc(all, func(q *pattern) bool { return q.source == p.source }) {
				continue
			}
			if p.set == nil || len(all) == maxPatterns {
				why := "has too many patterns"
				if p.set == nil {
					why = "cannot be held: " + p.why.Error()
				}
				o.lose(s, "patternProperties", why)
				return []other{{keys, o.goal(nil)}}
			}
			all = append(all, p)
		}
	}
	var out []other
	for way := range 1 << len(all) {
		set, matched := keys, map[string]bool{}
		for i, p := range all {
			if set == nil {
				set = everyKey()
			}
			var err error
			if way>>i&1 == 1 {
				matched[p.source] = true
				set, err = set.And(p.set)
			} else {
				set, err = set.Without(p.set)
			}
			if err != nil {
				o.lose(o.flat[0], "patternProperties", "cannot be held: "+err.Error())
				return []other{{keys, o.goal(nil)}}
			}
		}
		if set != nil && set.Empty() {
			continue
		}
		if list := o.ordered(append(o.at("", false, func(p *pattern) bool { return matched[p.source] }), behind...)); list != nil {
			out = append(out, other{set, o.goal(list)})
		}
	}
	return out
}

// everyKey are all keys.
func everyKey() *automaton.Text {
	all, err := automaton.Length(0, -1)
	if err != nil {
		panic(err) // it has one state
	}
	return all
}

// keys are those that may stand beside the names; nil is any.
func (o *object) keys() *automaton.Text {
	var set *automaton.Text
	for _, s := range o.flat {
		if s.PropertyNames == nil || s.PropertyNames.Bool != nil && *s.PropertyNames.Bool {
			continue
		}
		names, ok := o.compiler.names(s.PropertyNames)
		if ok && set != nil {
			var err error
			names, err = set.And(names)
			ok = err == nil
		}
		if !ok {
			o.lose(s, "propertyNames", "cannot be held while a name is written")
			continue
		}
		set = names
	}
	return set
}

// member is a key that is none of the names, and what stands behind it.
func (o *object) member(k *other) *grammar.Expr {
	set, apart := o.spelledApart(k.keys)
	name := grammar.Regular(set)
	switch {
	case apart:
	case len(o.names) == 0:
		name = grammar.Regular(shared().text)
	default:
		name = grammar.Except(set, o.names...)
	}
	return grammar.Seq(name, o.value(k))
}

// spelledApart are keys without the names, if these are apart: of few keys it would be too late to see at its end that one is a name. Of all keys there are others
// whatever one begins with.
func (o *object) spelledApart(keys *automaton.Text) (set *automaton.Bytes, apart bool) {
	if keys == nil {
		return shared().key, false
	}
	words, err := automaton.Words(slices.DeleteFunc(slices.Clone(o.names), func(name string) bool { return !keys.Has(name) })...)
	if err == nil {
		keys, err = keys.Without(words)
	}
	if err == nil {
		set, err = keys.Quoted()
	}
	if err != nil {
		o.lose(o.flat[0], "propertyNames", "cannot be held: "+err.Error())
		return shared().key, false
	}
	return set, true
}
