// single.go is arrays and objects that are spelled in one way, so that equal ones have equal bytes: those whose keys all have names.

package schema

import (
	"errors"
	"maps"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/inference-pio/inference-pio/sdk/grammar"
	"github.com/inference-pio/inference-pio/sdk/grammar/automaton"
)

// single is what is known of spelling in one way; nil says that values may be spelled in several.
type single struct {
	failed bool
	before map[[2]string]bool // of two keys the first is always written before the second
}

// Bounds of what is spelled in one way: keys of an object, and states of all its automata in a schema.
const (
	maxOrdered = 64
	maxSingle  = 1 << 15
)

// composed is the schema of arrays and objects.
var composed = &jsonschema.Schema{Types: (kindArray | kindObject).types(), Location: inferred + "#"}

// spelledOnce is the automaton of the arrays and objects that satisfy all of the schemas, each spelled in one way: without white space, with keys in one order,
// numbers and strings as in other items that differ. It is false where there is no such automaton: of keys that no schema names, which may come in any
// order, of values within themselves, and of what is not held.
func (c *compiler) spelledOnce(list []*jsonschema.Schema) (set *automaton.Bytes, ok bool) {
	if *c.singles > maxSingle {
		return nil, false
	}
	sub := *c
	sub.single = &single{before: map[[2]string]bool{}}
	sub.strict, sub.losses, sub.loose = false, 0, nil
	sub.goals, sub.sets, sub.lost = map[string]*grammar.Rule{}, c.oneSets, maps.Clone(c.lost)
	sub.dropped, sub.blind = maps.Clone(c.dropped), maps.Clone(c.blind)
	e := sub.goal(append(list[:len(list):len(list)], composed))
	if sub.err != nil || sub.losses > 0 || sub.single.failed {
		return nil, false
	}
	set, err := e.Flat()
	switch {
	case errors.Is(err, grammar.ErrEmpty):
		return nil, true
	case errors.Is(err, automaton.ErrSize):
		*c.singles += grammar.MaxFlat
		return nil, false
	case err != nil:
		return nil, false
	}
	*c.singles += set.States()
	for _, l := range sub.loose { // what is only noted
		c.lost[l] = true
		c.loose = append(c.loose, l)
	}
	return set, true
}

func (s *single) fail() {
	if s != nil {
		s.failed = true
	}
}

// order notes the order of an object's keys. Two objects that have keys in different orders might be equal.
func (s *single) order(names []string) {
	if s == nil || s.failed {
		return
	}
	if len(names) > maxOrdered {
		s.failed = true
		return
	}
	for i, a := range names {
		for _, b := range names[i+1:] {
			if s.before[[2]string{b, a}] {
				s.failed = true
				return
			}
			s.before[[2]string{a, b}] = true
		}
	}
}
