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

// Members are the keys of an object, in their order, and what is not held of the schema. Keys that it does not name are left out.
// The errors are those of Compile.
func Members(raw []byte, strict bool) ([]Member, []Loose, error) {
	doc, err := parse(raw)
	if err != nil {
		return nil, nil, err
	}
	root, err := resolve(doc)
	if err != nil {
		return nil, nil, err
	}
	c := newCompiler(doc, strict)
	branches := c.flatten([]*jsonschema.Schema{root})
	var list []Member
	for i, flat := range branches {
		members := c.members(flat)
		if i == 0 {
			list = members
			continue
		}
		list = either(list, members)
	}
	if len(branches) > 1 {
		c.lose(root, "anyOf", "cannot be held where members are written one by one")
	}
	switch {
	case c.err != nil:
		return nil, nil, c.err
	case len(branches) == 0:
		return nil, nil, invalid("#", "no value is valid under the schema")
	}
	for _, m := range list {
		if m.Required && m.Text == nil && m.JSON == nil {
			return nil, nil, invalid("#", "no value is valid under the schema, which demands %q", m.Name)
		}
	}
	return list, c.loose, nil
}

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

func (c *compiler) members(flat []*jsonschema.Schema) []Member {
	o := &object{compiler: c, flat: flat, required: map[string]bool{}}
	c.reportAny(flat)
	o.collect()
	o.report()
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
		if s.Enum == nil && s.Const == nil {
			continue
		}
		set, _ := c.nameSet(flat)
		values := []any{}
		if s.Const != nil {
			values = append(values, *s.Const)
		} else {
			values = s.Enum.Values
		}
		var rest []*grammar.Expr
		for i, v := range values {
			_, text := v.(string)
			if !text && !slices.ContainsFunc(flat, func(s *jsonschema.Schema) bool { return s.Validate(v) != nil }) {
				rest = append(rest, constant(c.written(s, i, v)))
			}
		}
		return set, grammar.Alt(rest...)
	}
	var text *automaton.Text
	allowed := kinds(flat)
	if allowed["string"] {
		text = c.textSet(flat)
		flat = append(slices.Clone(flat), noString)
	}
	return text, c.joined(flat)
}

// noString is the schema of all values but strings.
var noString = func() *jsonschema.Schema {
	types := new(jsonschema.Types)
	for _, kind := range []string{"null", "boolean", "number", "integer", "array", "object"} {
		types.Add(kind)
	}
	return &jsonschema.Schema{Types: types, Location: "#"}
}()

// textSet are the strings that satisfy all schemas; what needs too large an automaton is not held.
func (c *compiler) textSet(flat []*jsonschema.Schema) *automaton.Text {
	least, most := limits(flat, func(s *jsonschema.Schema) (*int, *int) { return s.MinLength, s.MaxLength })
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
