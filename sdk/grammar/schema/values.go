// values.go is the values that satisfy a list of schemas without choices: constants, or one kind of value after the other.

package schema

import (
	"fmt"
	"strconv"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/inference-pio/inference-pio/sdk/grammar"
	"github.com/inference-pio/inference-pio/sdk/grammar/automaton"
)

// joined are the values that satisfy every schema of a list; choices were made.
func (c *compiler) joined(flat []*jsonschema.Schema) *grammar.Expr {
	for _, s := range flat {
		if s.Enum != nil || s.Const != nil {
			return c.constants(s, flat)
		}
	}
	allowed := kinds(flat)
	var out []*grammar.Expr
	if allowed&kindNull != 0 {
		out = append(out, grammar.Literal("null"))
	}
	if allowed&kindBoolean != 0 {
		out = append(out, grammar.Literal("true"), grammar.Literal("false"))
	}
	if allowed&(kindNumber|kindInteger) != 0 {
		out = append(out, c.number(flat, allowed&kindNumber == 0))
	}
	if allowed&kindString != 0 {
		out = append(out, c.text(flat))
	}
	if allowed&kindArray != 0 {
		out = append(out, c.array(flat))
	}
	if allowed&kindObject != 0 {
		out = append(out, c.object(flat))
	}
	return grammar.Alt(out...)
}

// kindSet is kinds of values, as the library has types.
type kindSet int

var (
	kindNull, kindBoolean, kindString = kind("null"), kind("boolean"), kind("string")
	kindNumber, kindInteger           = kind("number"), kind("integer")
	kindArray, kindObject             = kind("array"), kind("object")
	kindAny                           = kindNull | kindBoolean | kindString | kindNumber | kindInteger | kindArray | kindObject
)

func kind(name string) kindSet {
	var t jsonschema.Types
	t.Add(name)
	return kindSet(t)
}

func (k kindSet) types() *jsonschema.Types { return ptr(jsonschema.Types(k)) }

// kindsOf are the types that a schema allows. An integer is a number.
func kindsOf(s *jsonschema.Schema) kindSet {
	if s.Types == nil {
		return kindAny
	}
	k := kindSet(*s.Types)
	if k&kindNumber != 0 {
		k |= kindInteger
	}
	return k
}

// kinds are the types that all of the schemas allow.
func kinds(flat []*jsonschema.Schema) kindSet {
	all := kindAny
	for _, s := range flat {
		all &= kindsOf(s)
	}
	return all
}

// ---- constants

// constants are those of s that the whole list has as valid; the library says which, so that no keyword is left out.
func (c *compiler) constants(s *jsonschema.Schema, flat []*jsonschema.Schema) *grammar.Expr {
	values := constantsOf(s)
	var out []*grammar.Expr
	var words []string
	for i, v := range values {
		if !c.spend(len(flat)) {
			return nothing()
		}
		if !valid(flat, v) {
			continue
		}
		if word, ok := v.(string); ok {
			words = append(words, word)
			continue
		}
		out = append(out, c.constant(c.written(s, i, v)))
	}
	if len(words) > 0 {
		out = append(out, c.words(s, words))
	}
	return grammar.Alt(out...)
}

// written is a constant as the schema's text has it.
func (c *compiler) written(s *jsonschema.Schema, i int, v any) *value {
	at := "/const"
	if s.Const == nil {
		at = "/enum/" + strconv.Itoa(i)
	}
	if pointer, ours := pointerOf(s); ours {
		if found := c.doc.at(pointer + at); found != nil {
			return found
		}
	}
	found, err := parse([]byte(compact(v)))
	if err != nil {
		c.fail(err)
		return &value{}
	}
	return found
}

// constant is one value; only white space is free.
func (c *compiler) constant(v *value) *grammar.Expr {
	open, end := "[", "]"
	switch v.kind {
	case 0:
		if c.single != nil {
			return grammar.Literal(oneSpelling(v.scalar))
		}
		return grammar.Literal(compact(v.scalar))
	case '{':
		open, end = "{", "}"
		c.single.order(v.keys)
	}
	if len(v.items) == 0 {
		return grammar.Literal(open + end)
	}
	parts := []*grammar.Expr{grammar.Literal(open), c.blank()}
	for i, item := range v.items {
		if i > 0 {
			parts = append(parts, grammar.Literal(","), c.blank())
		}
		if v.kind == '{' {
			parts = append(parts, grammar.Literal(compact(v.keys[i])+":"), c.space())
		}
		parts = append(parts, c.constant(item))
	}
	return grammar.Seq(append(parts, c.blank(), grammar.Literal(end))...)
}

// words are strings: one automaton for many of them.
func (c *compiler) words(s *jsonschema.Schema, words []string) *grammar.Expr {
	if len(words) > 4 {
		if set, err := automaton.Words(words...); err == nil {
			if quoted, err := set.Quoted(); err == nil {
				return grammar.Regular(quoted)
			}
		}
	}
	var out []*grammar.Expr
	for _, w := range words {
		out = append(out, grammar.Literal(compact(w)))
	}
	return grammar.Alt(out...)
}

// ---- white space

// maxIndent bounds what follows a new line.
const (
	maxIndent = 64
	maxTabs   = 16
)

// shared are the automata that all schemas use, so that a vocabulary knows them.
var shared = sync.OnceValue(func() (s struct{ blank, space, text, key, integer, number *automaton.Bytes }) {
	s.blank = plain(automaton.Match(fmt.Sprintf(`( |\n( {0,%d}|\t{0,%d}))?`, maxIndent, maxTabs)))
	s.space = plain(automaton.Match(` ?`))
	s.integer = plain(automaton.Integer())
	s.number = plain(automaton.Number())
	text, err := automaton.String()
	if err != nil {
		panic(err)
	}
	s.text = text
	if s.key, err = everyKey().Quoted(); err != nil {
		panic(err)
	}
	return s
})

// plain is of constants, which cannot fail.
func plain(set *automaton.Text, err error) *automaton.Bytes {
	if err != nil {
		panic(err)
	}
	b, err := set.Plain()
	if err != nil {
		panic(err)
	}
	return b
}

func (c *compiler) blank() *grammar.Expr { return c.white(shared().blank) }
func (c *compiler) space() *grammar.Expr { return c.white(shared().space) }

func (c *compiler) white(set *automaton.Bytes) *grammar.Expr {
	if c.single != nil {
		return grammar.Seq()
	}
	return grammar.Regular(set)
}

// ---- any value

// Object are all JSON objects.
func Object() *grammar.Expr {
	c := newCompiler(nil, false)
	return c.anyObject()
}

func (c *compiler) anything() *grammar.Expr {
	c.single.fail() // keys that no schema names have no order
	s := shared()
	return grammar.Alt(grammar.Literal("null"), grammar.Literal("true"), grammar.Literal("false"), grammar.Regular(s.number), grammar.Regular(s.text),
		c.list("[", "]", c.goal(nil), 0, -1), c.anyObject())
}

func (c *compiler) anyObject() *grammar.Expr {
	return c.list("{", "}", grammar.Seq(grammar.Regular(shared().text), grammar.Literal(":"), c.space(), c.goal(nil)), 0, -1)
}

// list is items of one kind between brackets.
func (c *compiler) list(open, end string, item *grammar.Expr, least, most int) *grammar.Expr {
	some := grammar.Seq(c.blank(), item, c.further(item, max(least-1, 0), max(most, 0)-1), c.blank(), grammar.Literal(end))
	switch {
	case most == 0:
		return grammar.Seq(grammar.Literal(open), c.blank(), grammar.Literal(end))
	case least > 0:
		return grammar.Seq(grammar.Literal(open), some)
	}
	return grammar.Seq(grammar.Literal(open), grammar.Alt(grammar.Seq(c.blank(), grammar.Literal(end)), some))
}

// further is items behind another.
func (c *compiler) further(item *grammar.Expr, least, most int) *grammar.Expr {
	return grammar.Repeat(grammar.Seq(grammar.Literal(","), c.blank(), item), least, most)
}
