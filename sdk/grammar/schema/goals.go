// goals.go turns sets of schemas that a value must satisfy together into rules. References, allOf, anyOf and oneOf are only ways to come by such
// sets; the rule of a set is made once, so that recursion ends.

package schema

import (
	"encoding/binary"
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/inference-pio/inference-pio/sdk/grammar"
	"github.com/inference-pio/inference-pio/sdk/grammar/automaton"
)

// Bounds of what a schema is unfolded to.
const (
	maxGoals    = 1 << 12
	maxBranches = 1 << 8  // of anyOf and oneOf within one value
	maxProbes   = 1 << 10 // pairs of oneOf
	maxWork     = 1 << 17
)

// compiler turns one schema into rules.
type compiler struct {
	doc    *value
	strict bool
	probe  bool // only whether there is a value is asked: nothing is reported, oneOf is anyOf
	ids    map[*jsonschema.Schema]uint32
	goals  map[string]*grammar.Rule
	sets   map[string]*automaton.Bytes // by what they hold
	lost   map[Loose]bool
	loose  []Loose
	probes *int
	work   *int
	err    error
}

func newCompiler(doc *value, strict bool) *compiler {
	return &compiler{doc: doc, strict: strict, ids: map[*jsonschema.Schema]uint32{}, goals: map[string]*grammar.Rule{},
		sets: map[string]*automaton.Bytes{}, lost: map[Loose]bool{}, probes: new(int), work: new(int)}
}

// lose notes that a keyword is not held.
func (c *compiler) lose(s *jsonschema.Schema, keyword, reason string) {
	l := Loose{path(s), keyword, reason}
	if c.probe || c.lost[l] {
		return
	}
	c.lost[l] = true
	if c.strict {
		c.fail(&Error{Path: l.Path, Keyword: keyword, Message: reason + "; leave it out, or ask without strict"})
		return
	}
	c.loose = append(c.loose, l)
}

// ignore notes a keyword that is only an annotation; it is no reason to refuse.
func (c *compiler) ignore(s *jsonschema.Schema, keyword, reason string) {
	if l := (Loose{path(s), keyword, reason}); !c.probe && !c.lost[l] {
		c.lost[l] = true
		c.loose = append(c.loose, l)
	}
}

func (c *compiler) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// spend counts what takes time, so that no schema takes long.
func (c *compiler) spend(n int) bool {
	if *c.work += n; *c.work > maxWork || len(c.goals) > maxGoals {
		c.fail(tooLarge("#", "its parts combine to too many"))
	}
	return c.err == nil
}

func nothing() *grammar.Expr { return grammar.Alt() }

// goal are the values that satisfy all of the schemas.
func (c *compiler) goal(all []*jsonschema.Schema) *grammar.Expr {
	list := c.ordered(all)
	if list == nil || !c.spend(1) {
		return nothing()
	}
	key := make([]byte, 0, 4*len(list))
	for _, s := range list {
		key = binary.LittleEndian.AppendUint32(key, c.ids[s])
	}
	if r, known := c.goals[string(key)]; known {
		return r.Use()
	}
	name := "any"
	if len(list) > 0 {
		name = path(list[0])
	}
	r := &grammar.Rule{Name: name}
	c.goals[string(key)] = r
	if len(list) == 0 {
		r.Body = c.anything()
	} else {
		r.Body = c.value(list)
	}
	return r.Use()
}

// ordered has each schema once and leaves out those that say nothing; nil means that nothing is valid. The order is that in which they were met.
func (c *compiler) ordered(all []*jsonschema.Schema) []*jsonschema.Schema {
	list := []*jsonschema.Schema{}
	for _, s := range all {
		if s.Bool != nil && !*s.Bool {
			return nil
		}
		if s.Bool != nil {
			continue
		}
		if _, known := c.ids[s]; !known {
			c.ids[s] = uint32(len(c.ids))
		}
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b *jsonschema.Schema) int { return int(c.ids[a]) - int(c.ids[b]) })
	return slices.Compact(list)
}

// value are the values that satisfy a list.
func (c *compiler) value(list []*jsonschema.Schema) *grammar.Expr {
	var out []*grammar.Expr
	for _, flat := range c.flatten(list) {
		if !c.spend(len(flat)) {
			return nothing()
		}
		out = append(out, c.joined(flat))
	}
	return grammar.Alt(out...)
}

// link is a schema and the one that it was reached from, at the same value.
type link struct {
	*jsonschema.Schema
	from *link
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

func links(list []*jsonschema.Schema, from *link) []*link {
	out := make([]*link, len(list))
	for i, s := range list {
		out[i] = &link{s, from}
	}
	return out
}

// flatten replaces references, allOf, anyOf and oneOf by what they stand for: one list for each way to choose.
func (c *compiler) flatten(list []*jsonschema.Schema) [][]*jsonschema.Schema {
	return c.unfold(links(list, nil), nil)
}

// unfold is flatten when flat are done.
func (c *compiler) unfold(todo []*link, flat []*jsonschema.Schema) [][]*jsonschema.Schema {
	for len(todo) > 0 {
		s := todo[0]
		todo = todo[1:]
		if s.Bool != nil && !*s.Bool || s.Not != nil && c.refused(s.Not) || s.turns() {
			return nil
		}
		if s.Bool != nil || slices.Contains(flat, s.Schema) {
			continue
		}
		flat = append(slices.Clone(flat), s.Schema)
		todo = slices.Concat(links(c.references(s.Schema), s), links(s.AllOf, s), todo)
		if len(s.OneOf) > 0 && !c.apart(s.OneOf) {
			c.lose(s.Schema, "oneOf", "has members that may be valid for one value, which cannot be told while it is written")
		}
		if len(s.AnyOf)+len(s.OneOf) > 0 {
			return c.choose(s, todo, flat)
		}
	}
	return [][]*jsonschema.Schema{flat}
}

// choose goes on with each choice that a schema leaves.
func (c *compiler) choose(s *link, todo []*link, flat []*jsonschema.Schema) [][]*jsonschema.Schema {
	picks := [][]*jsonschema.Schema{nil}
	for _, branches := range [][]*jsonschema.Schema{s.AnyOf, s.OneOf} {
		if len(branches) == 0 {
			continue
		}
		var more [][]*jsonschema.Schema
		for _, p := range picks {
			for _, b := range branches {
				more = append(more, append(slices.Clone(p), b))
			}
		}
		if picks = more; len(picks) > maxBranches {
			break
		}
	}
	var out [][]*jsonschema.Schema
	for _, p := range picks {
		if !c.spend(1 + len(flat)) {
			return nil
		}
		out = append(out, c.unfold(slices.Concat(links(p, s), todo), flat)...)
		if len(out) > maxBranches || len(picks) > maxBranches {
			c.fail(tooLarge(path(s.Schema), "anyOf and oneOf leave too many ways to choose"))
			return nil
		}
	}
	return out
}

// references are the schemas that s refers to.
func (c *compiler) references(s *jsonschema.Schema) []*jsonschema.Schema {
	var out []*jsonschema.Schema
	if s.Ref != nil {
		out = append(out, s.Ref)
	}
	if d := s.DynamicRef; d != nil {
		if d.Anchor == "" {
			out = append(out, d.Ref)
		} else {
			c.lose(s, "$dynamicRef", "depends on where it is referred to from")
		}
	}
	if r := s.RecursiveRef; r != nil {
		if !r.RecursiveAnchor {
			out = append(out, r)
		} else {
			c.lose(s, "$recursiveRef", "depends on where it is referred to from")
		}
	}
	return out
}

// refused says that a schema under "not" takes every value.
func (c *compiler) refused(s *jsonschema.Schema) bool { return s.Bool != nil && *s.Bool }

// apart says that no value is valid under two of the branches.
func (c *compiler) apart(branches []*jsonschema.Schema) bool {
	if c.probe {
		return true
	}
	for i, a := range branches {
		for _, b := range branches[i+1:] {
			if *c.probes++; *c.probes > maxProbes {
				return false
			}
			p := newCompiler(c.doc, false)
			p.probe, p.probes, p.work = true, c.probes, c.work
			if e := p.goal([]*jsonschema.Schema{a, b}); p.err != nil || !grammar.Empty(e) {
				return false
			}
		}
	}
	return true
}
