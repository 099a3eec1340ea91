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

// unlike are arrays of different items; nil if the places have schemas of their own, or an item may be an array or an object that cannot be told apart by
// its bytes.
func (c *compiler) unlike(flat []*jsonschema.Schema, least, most, places int) *grammar.Expr {
	if places > 0 {
		return nil
	}
	o := onces{compiler: c}
	list := c.ordered(c.itemsAt(flat, 0))
	if list != nil && !o.add(list) {
		return nil
	}
	kinds, ok := o.parts()
	if !ok {
		return nil
	}
	if o.composed {
		set, ok := c.spelledOnce(list)
		if !ok {
			return nil
		}
		if set != nil {
			kinds = append(kinds, grammar.Part{Set: set, Behind: grammar.Seq()})
		}
	}
	return c.allDifferent(grammar.Unlike(c.comma(), max(least, 1), most, nil, kinds...), least)
}

// allDifferent is an array of some items, which are different, and of none if there need not be one.
func (c *compiler) allDifferent(items *grammar.Expr, least int) *grammar.Expr {
	some := grammar.Seq(c.blank(), items, c.blank(), grammar.Literal("]"))
	if least == 0 {
		some = grammar.Alt(grammar.Seq(c.blank(), grammar.Literal("]")), some)
	}
	return grammar.Seq(grammar.Literal("["), some)
}

func (c *compiler) comma() *grammar.Expr { return grammar.Seq(grammar.Literal(","), c.blank()) }

// onces are values that are spelled in one way: strings, and others.
type onces struct {
	*compiler
	every        bool            // string
	text, others *automaton.Text // nil: none
	large        bool            // one of them is too large
	composed     bool            // arrays or objects are among the values
}

// add takes the values that satisfy all of the schemas, but for arrays and objects, which it notes. It is false of all values.
func (o *onces) add(list []*jsonschema.Schema) bool {
	for _, flat := range o.flatten(list) {
		if !o.spend(len(flat)) || len(flat) == 0 { // of no schema: anything
			return false
		}
		if values := constantsIn(flat); values != nil {
			o.constants(flat, values)
			continue
		}
		allowed := kinds(flat)
		o.composed = o.composed || allowed&(kindArray|kindObject) != 0
		o.word(allowed&kindNull != 0, "null")
		o.word(allowed&kindBoolean != 0, "true", "false")
		if allowed&(kindNumber|kindInteger) != 0 {
			o.join(&o.others, o.intersect(append([]part{oneForm(flat[0], allowed&kindNumber == 0)}, o.numbers(flat)...)), nil)
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

// oneForm are the whole numbers, or all, with one spelling for each.
func oneForm(s *jsonschema.Schema, whole bool) part {
	if whole {
		return part{s, "type", "one integer", automaton.OneInteger}
	}
	return part{s, "type", "one number", automaton.OneDecimal}
}

// constants takes those that are valid.
func (o *onces) constants(flat []*jsonschema.Schema, values []any) {
	var words []string
	for _, v := range values {
		switch v := v.(type) {
		case []any, map[string]any:
			o.composed = o.composed || valid(flat, v)
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
