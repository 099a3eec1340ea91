// members.go is an object for those who write it without JSON around it: each value by itself, strings as they are.

package schema

import (
	"errors"
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/inference-pio/inference-pio/sdk/grammar"
	"github.com/inference-pio/inference-pio/sdk/grammar/automaton"
)

// Member is a key that a schema names and what may stand behind it.
type Member struct {
	Name     string
	Required bool
	// Text are the strings, not quoted and not escaped; nil if there is none. Where other values are allowed too, those are left out that
	// read as one of them.
	Text *automaton.Text
	// JSON are the other values; nil if there is none.
	JSON *grammar.Expr
}

// maxWays is through how many choices members are written as each says; with more, as any of them may.
const maxWays = 1 << 4

// Members are the keys of an object, in their order, for each way through the schema's choices, and what became of the schema, without its
// expression. Keys that it does not name are left out. The errors are those of Compile.
func Members(raw []byte, strict bool) ([][]Member, *Schema, error) {
	doc, err := parse(raw)
	if err != nil {
		return nil, nil, err
	}
	root, err := resolve(doc)
	if err != nil {
		return nil, nil, err
	}
	c := newCompiler(doc, strict)
	var list [][]Member
	for _, flat := range c.flatten([]*jsonschema.Schema{settled(root)}) {
		if kinds(flat)&kindObject == 0 {
			continue
		}
		for _, w := range c.somewhere(flat) {
			if w.last != nil { // a key that no schema names, and these are not written
				continue
			}
			if members := c.byName(w.flat); !slices.ContainsFunc(members, Member.impossible) {
				list = append(list, members)
			}
		}
	}
	if len(list) > maxWays {
		c.lose(root, "anyOf", "leaves too many ways to choose where members are written one by one")
		for _, members := range list[1:] {
			list[0] = either(list[0], members)
		}
		list = list[:1]
	}
	switch {
	case c.err != nil:
		return nil, nil, c.err
	case len(list) == 0:
		return nil, nil, invalid("#", "no value is valid under the schema")
	}
	return list, &Schema{Loose: c.loose, check: root}, nil
}

// impossible says that a member is demanded and has no value.
func (m Member) impossible() bool { return m.Required && m.Text == nil && m.JSON == nil }

// either joins what two choices allow.
func either(a, b []Member) []Member {
	out := slices.Clone(a)
	for i := range out {
		out[i].Required = false
	}
	for _, m := range b {
		at := slices.IndexFunc(out, func(o Member) bool { return o.Name == m.Name })
		if at < 0 {
			m.Required = false
			out = append(out, m)
			continue
		}
		o := &out[at]
		o.Required = m.Required && slices.ContainsFunc(a, func(o Member) bool { return o.Name == m.Name && o.Required })
		switch {
		case o.Text == nil:
			o.Text = m.Text
		case m.Text != nil:
			if joined, err := o.Text.Or(m.Text); err == nil {
				o.Text = joined
			}
		}
		switch {
		case o.JSON == nil:
			o.JSON = m.JSON
		case m.JSON != nil:
			o.JSON = grammar.Alt(o.JSON, m.JSON)
		}
	}
	return out
}

// byName are the members that a list of schemas without choices names.
func (c *compiler) byName(flat []*jsonschema.Schema) []Member {
	o := &object{compiler: c, flat: flat, required: map[string]bool{}}
	o.collect(nil)
	for _, s := range flat {
		if s.Enum != nil || s.Const != nil {
			c.lose(s, "enum", "cannot be held where members are written one by one")
		}
		if s.MinProperties != nil && *s.MinProperties > len(o.required) {
			c.lose(s, "minProperties", "cannot be held where members are written one by one")
		}
		if s.MaxProperties != nil && *s.MaxProperties < len(o.names) {
			c.lose(s, "maxProperties", "cannot be held where members are written one by one")
		}
	}
	var list []Member
	for _, name := range o.names {
		text, rest := c.apartFromStrings(o.at(name, true, func(p *pattern) bool { return p.MatchString(name) }))
		list = append(list, Member{name, o.required[name], text, rest})
	}
	return list
}

// apartFromStrings are the strings and the other values that satisfy all of the schemas.
func (c *compiler) apartFromStrings(all []*jsonschema.Schema) (*automaton.Text, *grammar.Expr) {
	var text *automaton.Text
	var rest []*grammar.Expr
	for _, flat := range c.flatten(all) {
		if !c.spend(len(flat) + 1) {
			return nil, nil
		}
		set, others := c.stringsOf(flat)
		switch {
		case set == nil:
		case text == nil:
			text = set
		default:
			if joined, err := text.Or(set); err == nil {
				text = joined
			}
		}
		if !grammar.Empty(others) {
			rest = append(rest, others)
		}
	}
	if text != nil && text.Empty() {
		text = nil
	}
	if len(rest) == 0 {
		return text, nil
	}
	if text != nil {
		if plain, err := text.Without(readsAsJSON()); err == nil {
			text = plain
		}
	}
	return text, grammar.Alt(rest...)
}

// readsAsJSON are texts that whoever reads a value without quotes takes for something else than a string.
func readsAsJSON() *automaton.Text {
	set, err := automaton.Match(`(?s)\s*([-0-9\[{"].*|(?i:null|none|true|false)\s*)`)
	if err != nil {
		panic(err) // the pattern is a constant
	}
	return set
}

func (c *compiler) stringsOf(flat []*jsonschema.Schema) (*automaton.Text, *grammar.Expr) {
	for _, s := range flat {
		values := constantsOf(s)
		if values == nil {
			continue
		}
		set, _ := c.nameSet(flat)
		var rest []*grammar.Expr
		for i, v := range values {
			if _, text := v.(string); !text && valid(flat, v) {
				rest = append(rest, c.constant(c.written(s, i, v)))
			}
		}
		return set, grammar.Alt(rest...)
	}
	var text *automaton.Text
	allowed := kinds(flat)
	if allowed&kindString != 0 {
		text = c.textSet(flat)
		flat = append(slices.Clone(flat), noString)
	}
	return text, c.joined(flat)
}

// noString is the schema of all values but strings.
var noString = &jsonschema.Schema{Types: (kindAny &^ kindString).types(), Location: inferred + "#"}

// textSet are the strings that satisfy all schemas; what needs too large an automaton is not held.
func (c *compiler) textSet(flat []*jsonschema.Schema) *automaton.Text {
	least, most := lengths(flat)
	all := everyKey()
	for _, p := range c.withLength(flat, c.contents(flat), least, most) {
		set, err := p.make()
		if err == nil {
			set, err = all.And(set)
		}
		if err != nil {
			why := "cannot be held: " + err.Error()
			if errors.Is(err, automaton.ErrSize) {
				why = "is too long to be held"
			}
			c.lose(p.schema, p.keyword, why)
			continue
		}
		all = set
	}
	return all
}
