// scalars.go is numbers and strings within their bounds.

package schema

import (
	"fmt"
	"math/big"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/inference-pio/inference-pio/sdk/grammar"
	"github.com/inference-pio/inference-pio/sdk/grammar/automaton"
)

// part is a keyword's share of a set.
type part struct {
	schema  *jsonschema.Schema
	keyword string
	key     string // what it says, to know it again
	make    func() (*automaton.Text, error)
}

// intersect joins parts. What would need too large an automaton is not held.
func (c *compiler) intersect(parts []part) *automaton.Text {
	var out *automaton.Text
	for _, p := range parts {
		set, err := p.make()
		if err == nil && out != nil {
			set, err = out.And(set)
		}
		if err != nil {
			c.lose(p.schema, p.keyword, "cannot be held: "+err.Error())
			continue
		}
		out = set
	}
	return out
}

// spelled is the automaton of parts, made once.
func (c *compiler) spelled(kind string, parts []part, spell func(*automaton.Text) (*automaton.Bytes, error)) *automaton.Bytes {
	key := kind
	for _, p := range parts {
		key += "\x00" + p.keyword + "\x00" + p.key
	}
	if b, known := c.sets[key]; known {
		return b
	}
	if !c.spend(1 << 6) {
		return nil
	}
	var b *automaton.Bytes
	if set := c.intersect(parts); set != nil {
		var err error
		if b, err = spell(set); err != nil {
			p := parts[len(parts)-1]
			c.lose(p.schema, p.keyword, "cannot be held: "+err.Error())
		}
	}
	c.sets[key] = b
	return b
}

// numbers are the bounds of numbers and what divides them.
func (c *compiler) numbers(flat []*jsonschema.Schema) []part {
	var parts []part
	for _, s := range flat {
		add := func(keyword string, bound *big.Rat, make func(*big.Rat) (*automaton.Text, error)) {
			if bound != nil {
				parts = append(parts, part{s, keyword, bound.String(), func() (*automaton.Text, error) { return make(bound) }})
			}
		}
		add("minimum", s.Minimum, func(b *big.Rat) (*automaton.Text, error) { return automaton.AtLeast(b, false) })
		add("exclusiveMinimum", s.ExclusiveMinimum, func(b *big.Rat) (*automaton.Text, error) { return automaton.AtLeast(b, true) })
		add("maximum", s.Maximum, func(b *big.Rat) (*automaton.Text, error) { return automaton.AtMost(b, false) })
		add("exclusiveMaximum", s.ExclusiveMaximum, func(b *big.Rat) (*automaton.Text, error) { return automaton.AtMost(b, true) })
		add("multipleOf", s.MultipleOf, automaton.MultipleOf)
	}
	for _, s := range flat {
		m := c.more[s]
		if m == nil {
			continue
		}
		for _, by := range m.divisors {
			parts = append(parts, part{s, "multipleOf", "not " + by.String(), func() (*automaton.Text, error) { return others(automaton.MultipleOf(by)) }})
		}
		for _, n := range m.numbers {
			parts = append(parts, part{s, "enum", "not " + n.String(), func() (*automaton.Text, error) { return others(number(n)) }})
		}
	}
	return parts
}

// number are the numbers that satisfy all schemas.
func (c *compiler) number(flat []*jsonschema.Schema, whole bool) *grammar.Expr {
	parts, free := c.numbers(flat), shared().number
	if whole {
		free = shared().integer
	}
	if len(parts) == 0 && c.single == nil {
		return grammar.Regular(free)
	}
	form := part{flat[0], "type", "number", automaton.Decimal}
	switch {
	case c.single != nil:
		form = oneForm(flat[0], whole)
	case whole:
		form = part{flat[0], "type", "integer", automaton.Integer}
	}
	parts = append(parts, form)
	if b := c.spelled("number", parts, (*automaton.Text).Plain); b != nil {
		return grammar.Regular(b)
	}
	c.single.fail()
	return grammar.Regular(free)
}

// others are the numbers that are not in a set.
func others(set *automaton.Text, err error) (*automaton.Text, error) {
	if err != nil {
		return nil, err
	}
	return automaton.Others(set)
}

// number are the spellings of one number.
func number(n *big.Rat) (*automaton.Text, error) {
	least, err := automaton.AtLeast(n, false)
	if err != nil {
		return nil, err
	}
	most, err := automaton.AtMost(n, false)
	if err != nil {
		return nil, err
	}
	return least.And(most)
}

// limits are the largest of the lower bounds and the smallest of the upper ones; -1 is none.
func limits(flat []*jsonschema.Schema, of func(*jsonschema.Schema) (least, most *int)) (least, most int) {
	most = -1
	for _, s := range flat {
		lower, upper := of(s)
		if lower != nil {
			least = max(least, *lower)
		}
		if upper != nil && (most < 0 || *upper < most) {
			most = *upper
		}
	}
	return min(least, maxCount), min(most, maxCount)
}

// lengths are the bounds of strings.
func lengths(flat []*jsonschema.Schema) (least, most int) {
	return limits(flat, func(s *jsonschema.Schema) (*int, *int) { return s.MinLength, s.MaxLength })
}

// maxCount is as far as is counted.
const maxCount = 1 << 30

// text are the strings that satisfy all schemas.
func (c *compiler) text(flat []*jsonschema.Schema) *grammar.Expr {
	least, most := lengths(flat)
	parts := c.contents(flat)
	if len(parts) == 0 && least == 0 && most < 0 {
		if c.single != nil {
			return grammar.Regular(shared().key)
		}
		return grammar.Regular(shared().text)
	}
	if len(parts) == 0 && c.single == nil {
		return grammar.Counted(shared().text, least, most)
	}
	if b := c.spelled("text", c.withLength(flat, parts, least, most), (*automaton.Text).Quoted); b != nil {
		return grammar.Regular(b)
	}
	c.single.fail()
	return grammar.Counted(shared().text, least, most)
}

func (c *compiler) withLength(flat []*jsonschema.Schema, parts []part, least, most int) []part {
	if least == 0 && most < 0 {
		return parts
	}
	at, keyword := flat[0], "maxLength"
	for _, s := range flat {
		if s.MaxLength != nil || s.MinLength != nil {
			at = s
		}
	}
	if at.MaxLength == nil {
		keyword = "minLength"
	}
	return append(parts, part{at, keyword, fmt.Sprint(least, most), func() (*automaton.Text, error) { return automaton.Length(least, most) }})
}

// contents are the patterns and formats.
func (c *compiler) contents(flat []*jsonschema.Schema) []part {
	var parts []part
	for _, s := range flat {
		if p, ok := s.Pattern.(*pattern); ok {
			parts = append(parts, part{s, "pattern", p.source, func() (*automaton.Text, error) { return p.set, p.why }})
		}
		if name := c.format(s); name != "" {
			all, known := formats[name]
			for i, form := range all {
				parts = append(parts, part{s, "format", fmt.Sprint(name, i), func() (*automaton.Text, error) { return automaton.Match(form) }})
			}
			if !known {
				c.ignore(s, "format", fmt.Sprintf("%.40q is not known here and says nothing", name))
			}
		}
	}
	return parts
}

// format is the name of a schema's format, whether the library knows it or not.
func (c *compiler) format(s *jsonschema.Schema) string {
	if pointer, ours := pointerOf(s); ours && c.doc != nil && (s.Ref == nil || s.DraftVersion >= 2019) {
		if f := c.doc.at(pointer).get("format"); f != nil {
			name, _ := f.scalar.(string)
			return name
		}
	}
	return ""
}

// names are the strings among the values that satisfy a schema, as keys must; false if that is not known.
func (c *compiler) names(s *jsonschema.Schema) (*automaton.Text, bool) {
	out, err := automaton.Words()
	if err != nil || s.Bool != nil && !*s.Bool {
		return out, err == nil
	}
	for _, flat := range c.flatten([]*jsonschema.Schema{s}) {
		set, ok := c.nameSet(flat)
		if !ok {
			return nil, false
		}
		if out, err = out.Or(set); err != nil {
			return nil, false
		}
	}
	return out, true
}

func (c *compiler) nameSet(flat []*jsonschema.Schema) (*automaton.Text, bool) {
	for _, s := range flat {
		if s.Enum == nil && s.Const == nil {
			continue
		}
		var words []string
		for _, v := range constantsOf(s) {
			if word, ok := v.(string); ok && valid(flat, v) {
				words = append(words, word)
			}
		}
		set, err := automaton.Words(words...)
		return set, err == nil
	}
	if kinds(flat)&kindString == 0 {
		set, err := automaton.Words()
		return set, err == nil
	}
	least, most := lengths(flat)
	length, err := automaton.Length(least, most)
	for _, p := range c.contents(flat) {
		var set *automaton.Text
		if err == nil {
			set, err = p.make()
		}
		if err == nil {
			length, err = length.And(set)
		}
	}
	return length, err == nil
}
