// unlike.go is what may not come twice: the items of uniqueItems, each spelled in one way so that equal ones have equal bytes, and keys that are counted.

package schema

import (
	"encoding/json"
	"math/big"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/inference-pio/inference-pio/sdk/grammar"
	"github.com/inference-pio/inference-pio/sdk/grammar/automaton"
)

// unlike are arrays of different items; nil if an item may be an array or an object, or the places have schemas of their own.
func (c *compiler) unlike(flat []*jsonschema.Schema, least, most, places int) *grammar.Expr {
	if places > 0 {
		return nil
	}
	o := onces{compiler: c}
	if list := c.ordered(c.itemsAt(flat, 0)); list != nil && !o.add(list) {
		return nil
	}
	kinds, ok := o.parts()
	if !ok {
		return nil
	}
	return different(grammar.Unlike(comma(), max(least, 1), most, nil, kinds...), least)
}

// different is an array of some items, which are different, and of none if there need not be one.
func different(items *grammar.Expr, least int) *grammar.Expr {
	some := grammar.Seq(blank(), items, blank(), grammar.Literal("]"))
	if least == 0 {
		some = grammar.Alt(grammar.Seq(blank(), grammar.Literal("]")), some)
	}
	return grammar.Seq(grammar.Literal("["), some)
}

func comma() *grammar.Expr { return grammar.Seq(grammar.Literal(","), blank()) }

// onces are values that are spelled in one way: strings, and others.
type onces struct {
	*compiler
	every        bool            // string
	text, others *automaton.Text // nil: none
	large        bool            // one of them is too large
}

// add takes the values that satisfy all of the schemas; false if arrays or objects are among them.
func (o *onces) add(list []*jsonschema.Schema) bool {
	for _, flat := range o.flatten(list) {
		if !o.spend(len(flat)) {
			return false
		}
		if values := constantsIn(flat); values != nil {
			if !o.constants(flat, values) {
				return false
			}
			continue
		}
		allowed := kinds(flat)
		if allowed&(kindArray|kindObject) != 0 {
			return false
		}
		o.word(allowed&kindNull != 0, "null")
		o.word(allowed&kindBoolean != 0, "true", "false")
		if allowed&(kindNumber|kindInteger) != 0 {
			o.join(&o.others, o.intersect(append([]part{oneForm(flat[0], allowed)}, o.numbers(flat)...)), nil)
		}
		if allowed&kindString == 0 {
			continue
		}
		if least, most := lengths(flat); least == 0 && most < 0 && len(o.contents(flat)) == 0 {
			o.every = true
		} else {
			o.join(&o.text, o.textSet(flat), nil)
		}
	}
	return o.err == nil
}

func oneForm(s *jsonschema.Schema, allowed kindSet) part {
	if allowed&kindNumber == 0 {
		return part{s, "type", "one integer", automaton.OneInteger}
	}
	return part{s, "type", "one number", automaton.OneDecimal}
}

// constants takes those that are valid.
func (o *onces) constants(flat []*jsonschema.Schema, values []any) bool {
	var words []string
	for _, v := range values {
		switch v := v.(type) {
		case []any, map[string]any:
			if valid(flat, v) {
				return false
			}
		case string:
			if valid(flat, v) {
				words = append(words, v)
			}
		default:
			o.word(valid(flat, v), oneSpelling(v))
		}
	}
	set, err := automaton.Words(words...)
	o.join(&o.text, set, err)
	return true
}

// oneSpelling is a constant as equal ones are spelled too.
func oneSpelling(v any) string {
	n, is := v.(json.Number)
	r, ok := new(big.Rat).SetString(string(n))
	switch {
	case !is || !ok:
		return compact(v)
	case r.IsInt():
		return r.Num().String()
	}
	return strings.TrimRight(r.FloatString(2*maxDigits), "0")
}

func (o *onces) word(is bool, words ...string) {
	if is {
		set, err := automaton.Words(words...)
		o.join(&o.others, set, err)
	}
}

func (o *onces) join(to **automaton.Text, set *automaton.Text, err error) {
	if err == nil && *to != nil {
		set, err = (*to).Or(set)
	}
	if err != nil {
		o.large = true
		return
	}
	*to = set
}

// parts are what begins and ends an item; false if that is too large.
func (o *onces) parts() (kinds []grammar.Part, ok bool) {
	add := func(set *automaton.Text, spell func(*automaton.Text) (*automaton.Bytes, error)) {
		if set == nil || set.Empty() {
			return
		}
		b, err := spell(set)
		if err != nil {
			o.large = true
			return
		}
		kinds = append(kinds, grammar.Part{Set: b, Behind: grammar.Seq()})
	}
	if o.every {
		kinds = append(kinds, grammar.Part{Set: shared().key, Behind: grammar.Seq()})
	} else {
		add(o.text, (*automaton.Text).Quoted)
	}
	add(o.others, (*automaton.Text).Plain)
	return kinds, !o.large
}
