// goals.go turns sets of schemas that a value must satisfy together into rules. References, allOf, anyOf and the like are only ways to come by such
// sets (ways.go); the rule of a set is made once, so that recursion ends.

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
	maxGoals = 1 << 12
	maxWork  = 1 << 17
)

// compiler turns one schema into rules.
type compiler struct {
	doc     *value
	strict  bool
	probe   bool // only whether there is a value is asked: nothing is reported, oneOf is anyOf
	ids     map[*jsonschema.Schema]uint32
	goals   map[string]*grammar.Rule
	sets    map[string]*automaton.Bytes // by what they hold
	oneSets map[string]*automaton.Bytes // the same of what is spelled in one way
	lost    map[Loose]bool
	loose   []Loose
	losses  int // how often something was not held
	probes  *int
	singles *int // states of what is spelled in one way
	work    *int
	err     error
	single  *single // not nil: each value is spelled in one way
	made
}

func newCompiler(doc *value, strict bool) *compiler {
	return &compiler{doc: doc, strict: strict, ids: map[*jsonschema.Schema]uint32{}, goals: map[string]*grammar.Rule{},
		sets: map[string]*automaton.Bytes{}, oneSets: map[string]*automaton.Bytes{}, lost: map[Loose]bool{}, probes: new(int), singles: new(int), work: new(int), made: newMade()}
}

// lose notes that a keyword is not held.
func (c *compiler) lose(s *jsonschema.Schema, keyword, reason string) {
	c.losses++
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
	key := string(c.key(list))
	if r, known := c.goals[key]; known {
		return r.Use()
	}
	name := "any"
	if len(list) > 0 {
		name = path(list[0])
	}
	r := &grammar.Rule{Name: name}
	c.goals[key] = r
	if len(list) == 0 {
		r.Body = c.anything()
	} else {
		r.Body = c.value(list)
	}
	return r.Use()
}

// key tells lists apart.
func (c *compiler) key(list []*jsonschema.Schema) []byte {
	key := make([]byte, 0, 4*len(list))
	for _, s := range list {
		if _, known := c.ids[s]; !known {
			c.ids[s] = uint32(len(c.ids))
		}
		key = binary.LittleEndian.AppendUint32(key, c.ids[s])
	}
	return key
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

// empty says that no value is valid under all of the schemas, if that is certain.
func (c *compiler) empty(all ...*jsonschema.Schema) bool {
	e := c.goal(all)
	return c.err == nil && grammar.Empty(e)
}
