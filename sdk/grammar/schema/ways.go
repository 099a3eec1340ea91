// ways.go unfolds what a value must satisfy into lists of schemas without choices: references, allOf and "not" are followed, and for each way through
// anyOf, oneOf, if, and what depends on a key there is a list.

package schema

import (
	"cmp"
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Bounds of the ways through one value.
const (
	maxBranches = 1 << 8
	maxTries    = 1 << 10 // ways that are begun, of which many end in a contradiction
	maxSubsets  = 6       // members of anyOf of which several at once matter
)

// link is a schema and the one that it was reached from, at the same value.
type link struct {
	*jsonschema.Schema
	from *link
	pos  string // where it was met, in the order of the text
}

// turns says that a schema was reached from itself: a value would be valid only if it is valid.
func (l *link) turns() bool {
	for up := l.from; up != nil; up = up.from {
		if up.Schema == l.Schema {
			return true
		}
	}
	return false
}

// below is the link to the i-th schema that s is made of.
func (l *link) below(s *jsonschema.Schema, i int) *link { return &link{s, l, place(l.pos, i)} }

func place(pos string, i int) string { return pos + string([]byte{byte(i >> 8), byte(i)}) }

// choice is ways of which a value takes at least one.
type choice struct {
	from    *link
	pos     string
	keyword string
	soft    bool // it may be left out, with what it says not held
	each    bool // one way is not as good as another that says less: keys count as evaluated
	ways    [][]*jsonschema.Schema
}

// unfolding is what is known of a value.
type unfolding struct {
	flat    []*link // each schema once
	all     []*link // also those met again
	todo    []*link
	choices []choice
}

func (u *unfolding) clone() *unfolding {
	return &unfolding{slices.Clone(u.flat), slices.Clone(u.all), nil, slices.Clone(u.choices)}
}

func (u *unfolding) has(s *jsonschema.Schema) bool {
	return slices.ContainsFunc(u.flat, func(l *link) bool { return l.Schema == s })
}

func (u *unfolding) schemas() []*jsonschema.Schema {
	out := make([]*jsonschema.Schema, len(u.flat), len(u.flat)+4)
	for i, l := range u.flat {
		out[i] = l.Schema
	}
	return out
}

// flatten are the lists: one for each way to choose. A choice that leaves too many is not held if it may be left out.
func (c *compiler) flatten(list []*jsonschema.Schema) [][]*jsonschema.Schema {
	if !slices.ContainsFunc(list, c.composed) {
		return [][]*jsonschema.Schema{list}
	}
	for c.err == nil {
		u := &unfolding{}
		for i, s := range list {
			u.todo = append(u.todo, &link{s, nil, place("", i)})
		}
		w := ways{compiler: c}
		if w.follow(u, nil); !w.over {
			return w.out
		}
		if len(w.soft) == 0 {
			c.fail(tooLarge(path(list[0]), "anyOf and oneOf leave too many ways to choose"))
		}
		for _, s := range w.soft {
			if s.each {
				c.blindfold(s.from)
			}
			c.dropped[dropped{s.from.Schema, s.keyword}] = true
			c.lose(s.from.Schema, s.keyword, "leaves too many ways to choose")
		}
	}
	return nil
}

// dropped is a keyword that leaves too many ways.
type dropped struct {
	schema  *jsonschema.Schema
	keyword string
}

// composed says that a schema is more than a list of what it says itself.
func (c *compiler) composed(s *jsonschema.Schema) bool {
	return s.Bool != nil || s.Ref != nil || s.DynamicRef != nil || s.RecursiveRef != nil || s.Not != nil || len(s.AllOf)+len(s.AnyOf)+len(s.OneOf) > 0 || s.If != nil ||
		len(s.DependentRequired)+len(s.DependentSchemas)+len(s.Dependencies) > 0 || demands(s.UnevaluatedProperties) || demands(s.UnevaluatedItems)
}

// demands says that a schema is there and not just true.
func demands(s *jsonschema.Schema) bool { return s != nil && (s.Bool == nil || !*s.Bool) }

// ways are found one after the other.
type ways struct {
	*compiler
	out   [][]*jsonschema.Schema
	tries int
	over  bool     // there are too many
	soft  []choice // then, on the way to the last: what may be left out
}

// follow goes each way on from what is known; path is the soft choices on the way.
func (w *ways) follow(u *unfolding, path []choice) {
	if w.tries++; w.tries > maxTries || len(w.out) >= maxBranches {
		if !w.over {
			w.over, w.soft = true, slices.Clone(path)
		}
		return
	}
	if !w.spend(1+len(u.flat)) || !w.settle(u) {
		return
	}
	if len(u.choices) == 0 {
		w.out = append(w.out, w.finish(u))
		return
	}
	at := 0
	for i, ch := range u.choices {
		if len(ch.ways) < len(u.choices[at].ways) {
			at = i
		}
	}
	ch := u.choices[at]
	if ch.soft {
		path = append(slices.Clone(path), ch)
	}
	for _, way := range ch.ways {
		next := u.clone()
		next.choices = slices.Delete(next.choices, at, at+1)
		next.take(&ch, way)
		if w.follow(next, path); w.over || w.err != nil {
			return
		}
	}
}

func (u *unfolding) take(ch *choice, way []*jsonschema.Schema) {
	for i, s := range way {
		u.todo = append(u.todo, &link{s, ch.from, place(ch.pos, i)})
	}
}

// settle takes all that follows without a choice; false if nothing satisfies it.
func (c *compiler) settle(u *unfolding) bool {
	for {
		for len(u.todo) > 0 {
			l := u.todo[0]
			u.todo = u.todo[1:]
			switch {
			case l.Bool != nil && *l.Bool:
				continue
			case l.Bool != nil || l.turns():
				return false
			}
			u.all = append(u.all, l)
			if u.has(l.Schema) {
				continue
			}
			u.flat = append(u.flat, l)
			c.spread(u, l)
		}
		if len(u.choices) == 0 {
			return true
		}
		if !c.narrow(u) {
			return false
		}
		if len(u.todo) == 0 {
			return true
		}
	}
}

// narrow drops ways that contradict what is known, and takes those that are left alone.
func (c *compiler) narrow(u *unfolding) bool {
	known := u.schemas()
	if c.contradict(known) {
		return false
	}
	var left []choice
	for _, ch := range u.choices {
		var open [][]*jsonschema.Schema
		done := false
		for _, way := range ch.ways {
			if !ch.each && !slices.ContainsFunc(way, func(s *jsonschema.Schema) bool { return !u.has(s) && (s.Bool == nil || !*s.Bool) }) {
				done = true
				break
			}
			if !c.spend(1) {
				return false
			}
			if !c.contradict(append(known[:len(known):len(known)], way...)) {
				open = append(open, way)
			}
		}
		switch {
		case done:
		case len(open) == 0:
			return false
		case len(open) == 1:
			u.take(&ch, open[0])
		default:
			ch.ways = open
			left = append(left, ch)
		}
	}
	u.choices = left
	return true
}

// contradict says that nothing satisfies all of the schemas, if that is easily seen: by their types, their constants, and those of required keys.
func (c *compiler) contradict(list []*jsonschema.Schema) bool {
	list = c.plainly(list)
	if list == nil {
		return true
	}
	allowed := kinds(list)
	if allowed == 0 || noConstant(list) {
		return true
	}
	if allowed != kindObject {
		return false
	}
	for _, s := range list {
		for _, name := range s.Required {
			var at []*jsonschema.Schema
			for _, t := range list {
				if p := t.Properties[name]; p != nil {
					at = append(at, p)
				}
			}
			if len(at) == 0 {
				continue
			}
			if at = c.plainly(at); at == nil || noConstant(at) {
				return true
			}
		}
	}
	return false
}

// noConstant says that one of the schemas has constants of which none is valid under all.
func noConstant(list []*jsonschema.Schema) bool {
	for _, s := range list {
		if values := constantsOf(s); values != nil {
			return !slices.ContainsFunc(values, func(v any) bool { return valid(list, v) })
		}
	}
	return false
}

// valid says that a value is valid under all schemas.
func valid(list []*jsonschema.Schema, v any) bool {
	return !slices.ContainsFunc(list, func(s *jsonschema.Schema) bool { return s.Validate(v) != nil })
}

// constantsIn are the values that the first of the schemas names that does; nil if none does.
func constantsIn(flat []*jsonschema.Schema) []any {
	for _, s := range flat {
		if values := constantsOf(s); values != nil {
			return values
		}
	}
	return nil
}

// constantsOf are the values that a schema names, nil if it does not.
func constantsOf(s *jsonschema.Schema) []any {
	switch {
	case s.Const != nil:
		return []any{*s.Const}
	case s.Enum != nil:
		return append([]any{}, s.Enum.Values...)
	}
	return nil
}

// plainly is the schemas and those that they refer to without a choice, as far as is looked; nil if one of them is false.
func (c *compiler) plainly(list []*jsonschema.Schema) []*jsonschema.Schema {
	const most = 64
	out := append(make([]*jsonschema.Schema, 0, len(list)+4), list...) // of no schemas it is not nil
	for i := 0; i < len(out); i++ {
		s := out[i]
		if s.Bool != nil && !*s.Bool {
			return nil
		}
		if len(out) > most {
			continue
		}
		if s.Ref != nil && !slices.Contains(out, s.Ref) {
			out = append(out, s.Ref)
		}
		for _, a := range s.AllOf {
			if !slices.Contains(out, a) {
				out = append(out, a)
			}
		}
	}
	return out
}

// spread adds what a schema is made of.
func (c *compiler) spread(u *unfolding, l *link) {
	s, n := l.Schema, 0
	var sure []*link
	add := func(list ...*jsonschema.Schema) {
		for _, t := range list {
			sure = append(sure, l.below(t, n))
			n++
		}
	}
	choose := func(keyword string, soft, each bool, ways ...[]*jsonschema.Schema) {
		if soft && c.dropped[dropped{s, keyword}] {
			return
		}
		u.choices = append(u.choices, choice{l, place(l.pos, n), keyword, soft, each, ways})
		n++
	}
	each, losses := c.watched(l), c.losses
	add(c.references(s)...)
	if each && c.losses > losses { // what is there is not known
		c.blindfold(l)
		each = false
	}
	add(s.AllOf...)
	if inverted := c.inverted[s]; inverted != nil {
		if ways, ok := c.otherwise(inverted); ok {
			choose("not", true, false, ways...)
		}
	} else if s.Not != nil {
		add(c.not(s.Not))
	}
	if len(s.AnyOf) > 0 {
		choose("anyOf", false, each, c.several(l, each)...)
	}
	if len(s.OneOf) > 0 {
		choose("oneOf", false, each, c.exactlyOne(s)...)
	}
	switch {
	case s.If == nil:
	case s.Then != nil || s.Else != nil:
		choose("if", true, each, with(s.If, s.Then), with(c.not(s.If), s.Else))
	case each:
		choose("if", true, true, with(s.If, nil), nil)
	}
	c.dependent(s, each, choose)
	u.todo = append(sure, u.todo...)
}

func with(s, more *jsonschema.Schema) []*jsonschema.Schema {
	if more == nil {
		return []*jsonschema.Schema{s}
	}
	return []*jsonschema.Schema{s, more}
}

// watched says that it matters which keys and items a schema speaks of: one that it was reached from has unevaluatedProperties or unevaluatedItems.
func (c *compiler) watched(l *link) bool {
	for ; l != nil && c.inverted[l.Schema] == nil; l = l.from {
		if !c.blind[l.Schema] && (demands(l.UnevaluatedProperties) || demands(l.UnevaluatedItems)) {
			return true
		}
	}
	return false
}

// several are the ways through anyOf. Where it matters what all of those speak of that are valid, these are all sets of them.
func (c *compiler) several(l *link, each bool) [][]*jsonschema.Schema {
	if each && len(l.AnyOf) > maxSubsets {
		c.blindfold(l)
		each = false
	}
	var ways [][]*jsonschema.Schema
	if !each {
		for _, s := range l.AnyOf {
			ways = append(ways, with(s, nil))
		}
		return ways
	}
	for set := 1; set < 1<<len(l.AnyOf); set++ {
		var way []*jsonschema.Schema
		for i, s := range l.AnyOf {
			if set>>i&1 == 1 {
				way = append(way, s)
			}
		}
		ways = append(ways, way)
	}
	return ways
}

// blindfold has what is said of keys and items that nothing speaks of not held, as it is not known what speaks of them.
func (c *compiler) blindfold(l *link) {
	for ; l != nil; l = l.from {
		if !c.blind[l.Schema] && (demands(l.UnevaluatedProperties) || demands(l.UnevaluatedItems)) {
			c.blind[l.Schema] = true
			c.lose(l.Schema, unevaluated(l.Schema), "has too much within that may speak of the same")
		}
	}
}

func unevaluated(s *jsonschema.Schema) string {
	if demands(s.UnevaluatedProperties) {
		return "unevaluatedProperties"
	}
	return "unevaluatedItems"
}

// exactlyOne are the ways through oneOf: each member, and none of those that are not apart from it.
func (c *compiler) exactlyOne(s *jsonschema.Schema) [][]*jsonschema.Schema {
	var ways [][]*jsonschema.Schema
	for _, b := range s.OneOf {
		ways = append(ways, with(b, nil))
	}
	if c.probe || c.dropped[dropped{s, "oneOf"}] {
		return ways
	}
	overlaps := 0
	for i, a := range s.OneOf {
		for j := i + 1; j < len(s.OneOf); j++ {
			if b := s.OneOf[j]; !c.apart(a, b) {
				ways[i], ways[j] = append(ways[i], c.not(b)), append(ways[j], c.not(a))
				overlaps++
			}
		}
		if overlaps > maxOverlaps {
			c.dropped[dropped{s, "oneOf"}] = true
			c.lose(s, "oneOf", "has too many members that may be valid for one value")
			return c.exactlyOne(s)
		}
	}
	return ways
}

// Bounds of what is looked at in oneOf.
const (
	maxProbes   = 1 << 10 // pairs of members
	maxOverlaps = 1 << 6  // of which may be valid for one value
)

// apart says that no value is valid under both.
func (c *compiler) apart(a, b *jsonschema.Schema) bool {
	if c.contradict([]*jsonschema.Schema{a, b}) {
		return true
	}
	if *c.probes++; *c.probes > maxProbes {
		return false
	}
	p := newCompiler(c.doc, false)
	p.probe, p.probes, p.singles, p.work = true, c.probes, c.singles, c.work
	return p.empty(a, b)
}

// dependent chooses for each key on which something depends: it is not there, or what depends on it holds.
func (c *compiler) dependent(s *jsonschema.Schema, each bool, choose func(keyword string, soft, each bool, ways ...[]*jsonschema.Schema)) {
	on := func(keyword, name string, then *jsonschema.Schema) {
		choose(keyword, true, each, with(c.lacking(s, name), nil), []*jsonschema.Schema{c.needing(s, name), then})
	}
	for _, name := range sorted(s.DependentRequired) {
		if needed := s.DependentRequired[name]; len(needed) > 0 {
			on("dependentRequired", name, c.needing(s, needed...))
		}
	}
	for _, name := range sorted(s.DependentSchemas) {
		on("dependentSchemas", name, s.DependentSchemas[name])
	}
	for _, name := range sorted(s.Dependencies) {
		switch d := s.Dependencies[name].(type) {
		case []string:
			if len(d) > 0 {
				on("dependencies", name, c.needing(s, d...))
			}
		case *jsonschema.Schema:
			on("dependencies", name, d)
		}
	}
}

func sorted[T any](m map[string]T) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// references are the schemas that s refers to.
func (c *compiler) references(s *jsonschema.Schema) []*jsonschema.Schema {
	var out []*jsonschema.Schema
	if s.Ref != nil {
		out = append(out, s.Ref)
	}
	if d := s.DynamicRef; d != nil {
		if moves(d) {
			c.lose(s, "$dynamicRef", "depends on where it is referred to from, in too many ways")
		} else {
			out = append(out, d.Ref)
		}
	}
	if r := s.RecursiveRef; r != nil {
		if r.RecursiveAnchor {
			c.lose(s, "$recursiveRef", "depends on where it is referred to from")
		} else {
			out = append(out, r)
		}
	}
	return out
}

// finish is the list, in the order of the text. What is said of keys and items that no other schema speaks of comes last, with those that do.
func (c *compiler) finish(u *unfolding) []*jsonschema.Schema {
	slices.SortFunc(u.flat, func(a, b *link) int { return cmp.Compare(a.pos, b.pos) })
	list := u.schemas()
	for _, l := range u.flat {
		s := l.Schema
		if c.blind[s] || !demands(s.UnevaluatedProperties) && !demands(s.UnevaluatedItems) || c.inverted[s] != nil {
			continue
		}
		list = append(list, c.rest(s, c.speaking(u, s)))
	}
	return list
}

// speaking are the schemas that were reached from s, and s: what they say of keys and items counts.
func (c *compiler) speaking(u *unfolding, s *jsonschema.Schema) []*jsonschema.Schema {
	out := []*jsonschema.Schema{s}
	for i := 0; i < len(out); i++ {
		for _, l := range u.all {
			if l.from != nil && l.from.Schema == out[i] && c.inverted[l.Schema] == nil && !slices.Contains(out, l.Schema) {
				out = append(out, l.Schema)
			}
		}
	}
	return out
}
