// contains.go is arrays in which items of a kind are counted.

package schema

import (
	"fmt"
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/inference-pio/inference-pio/sdk/grammar"
)

// Bounds of what is counted: places that are told apart, demands, and states.
const (
	maxPlaces  = 1 << 8
	maxDemands = 3
	maxStates  = 1 << 12
)

// demand is how many items of a kind there are, from a place on.
type demand struct {
	of          *jsonschema.Schema
	from        int
	least, most int // most below 0: no bound
}

// counted is what is known of arrays with demands.
type counted struct {
	*compiler
	flat        []*jsonschema.Schema
	least, most int
	top         int // places beyond which all are alike
	demands     []demand
	rules       map[string]*grammar.Rule
}

// counted is nil if nothing is demanded, or if it cannot be held.
func (c *compiler) counted(flat []*jsonschema.Schema, least, most, places int) *counted {
	a := &counted{compiler: c, flat: flat, least: least, most: most, top: max(least, most, places), rules: map[string]*grammar.Rule{}}
	var last *jsonschema.Schema
	states := 1
	for _, s := range flat {
		if s.Contains == nil {
			continue
		}
		d := demand{of: s.Contains, least: min(minContains(s), maxCount), most: -1}
		if m := c.more[s]; m != nil {
			d.from = m.from
		}
		if s.MaxContains != nil {
			d.most = min(*s.MaxContains, maxCount)
		}
		if d.least == 0 && d.most < 0 {
			continue
		}
		a.demands, last = append(a.demands, d), s
		a.top = max(a.top, d.from)
		states = min(states*(max(d.least, d.most)+1), maxStates+1)
	}
	if last == nil {
		return nil
	}
	if a.top > maxPlaces || len(a.demands) > maxDemands || states*(a.top+1) > maxStates {
		c.lose(last, "contains", "counts too far to be held")
		return nil
	}
	return a
}

// from is what may stand from the i-th place on, with so many items counted for each demand.
func (a *counted) from(i int, counts []int) *grammar.Expr {
	key := fmt.Sprint(min(i, a.top), counts)
	if i > 0 { // a comma stands between
		key += ","
	}
	if r, known := a.rules[key]; known {
		return r.Use()
	}
	r := &grammar.Rule{Name: path(a.flat[0])}
	a.rules[key] = r
	if !a.spend(1 + len(a.demands)) {
		r.Body = nothing()
		return r.Use()
	}
	var ways []*grammar.Expr
	enough := i >= a.least
	for k, d := range a.demands {
		enough = enough && counts[k] >= d.least
	}
	if enough {
		ways = append(ways, grammar.Seq(a.blank(), grammar.Literal("]")))
	}
	if a.most < 0 || i < a.most {
		a.each(i, counts, func(item []*jsonschema.Schema, counts []int) {
			comma := grammar.Seq()
			if i > 0 {
				comma = grammar.Literal(",")
			}
			next := i + 1
			if a.most < 0 {
				next = max(min(next, a.top), 1)
			}
			ways = append(ways, grammar.Seq(comma, a.blank(), a.goal(item), a.from(next, counts)))
		})
	}
	r.Body = grammar.Alt(ways...)
	return r.Use()
}

// each gives the ways to count the i-th item: what it must satisfy, and the counts behind it.
func (a *counted) each(i int, counts []int, give func(item []*jsonschema.Schema, counts []int)) {
	at := a.itemsAt(a.flat, i)
	for set := range 1 << len(a.demands) {
		item, next, ok := slices.Clone(at), slices.Clone(counts), true
		for k, d := range a.demands {
			counts := set>>k&1 == 1
			switch {
			case counts && (i < d.from || d.most < 0 && next[k] >= d.least || d.most >= 0 && next[k] >= d.most):
				ok = false
			case counts:
				item = append(item, d.of)
				next[k]++
			case d.most >= 0 && i >= d.from:
				item = append(item, a.not(d.of))
			}
		}
		if ok {
			give(item, next)
		}
	}
}
