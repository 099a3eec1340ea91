// expr.go is what a language is made of.

package grammar

import "github.com/inference-pio/inference-pio/sdk/grammar/automaton"

// Expr is a set of texts. It never changes once it is compiled.
type Expr struct {
	op          op
	text        string
	set         *automaton.Bytes
	parts       []*Expr
	least, most int
	not         *names
	sets        []*automaton.Bytes // of opUnlike, and how many of each can be told apart
	counts      []int
	taken       []string
	ids         []int32
	rule        *Rule
}

type op uint8

const (
	opLiteral op = iota
	opRegular
	opToken
	opSeq
	opAlt
	opRepeat
	opDistinct
	opUnlike
	opRule
)

// Rule is an expression with a name, which it may use itself.
type Rule struct {
	Name string
	Body *Expr
}

// Literal is one text.
func Literal(text string) *Expr {
	if text == "" {
		return Seq()
	}
	return &Expr{op: opLiteral, text: text}
}

// Regular is a regular set.
func Regular(set *automaton.Bytes) *Expr { return &Expr{op: opRegular, set: set, most: -1} }

// Counted is a regular set that counts characters (automaton.String), of which there are at least least and, if most is not below 0, at most most.
func Counted(set *automaton.Bytes, least, most int) *Expr {
	return &Expr{op: opRegular, set: set, least: least, most: most}
}

// Except is a set of JSON strings in which characters are spelled one way (automaton.Text.Quoted), without those that hold one of the names.
func Except(set *automaton.Bytes, names ...string) *Expr {
	return &Expr{op: opRegular, set: set, most: -1, not: newNames(names)}
}

// Token is one of the ids, as a token: nothing but itself spells it.
func Token(ids ...int32) *Expr { return &Expr{op: opToken, ids: ids} }

// Seq is its parts one after the other.
func Seq(parts ...*Expr) *Expr { return &Expr{op: opSeq, parts: parts} }

// Alt is any of its parts; without parts it is no text at all.
func Alt(parts ...*Expr) *Expr {
	if len(parts) == 1 {
		return parts[0]
	}
	return &Expr{op: opAlt, parts: parts}
}

// Repeat is a part at least least times and, if most is not below 0, at most most times.
func Repeat(part *Expr, least, most int) *Expr {
	return &Expr{op: opRepeat, parts: []*Expr{part}, least: least, most: most}
}

// MaxDistinct is how many parts Distinct takes.
const MaxDistinct = 31

// Distinct is parts in any order and none twice, at least least and, if most is not below 0, at most most of them, with a separator between two.
func Distinct(separator *Expr, least, most int, parts ...*Expr) *Expr {
	return &Expr{op: opDistinct, parts: append([]*Expr{separator}, parts...), least: least, most: most}
}

// Part is a text of a set and what follows it.
type Part struct {
	Set    *automaton.Bytes
	Behind *Expr
}

// Unlike is parts of which none begins with a text that another began with, or with one of taken: at least least and, if most is not below 0, at most
// most of them, with a separator between two. It takes 64 kinds of parts; no text is in the sets of two, and none is empty.
func Unlike(separator *Expr, least, most int, taken []string, kinds ...Part) *Expr {
	e := &Expr{op: opUnlike, parts: []*Expr{separator}, least: least, most: most, taken: taken}
	for _, k := range kinds[:min(len(kinds), maxUnlike)] {
		n := k.Set.Texts(max(least, 1) + len(taken))
		for _, text := range taken {
			if k.Set.Has(text) {
				n--
			}
		}
		e.parts, e.sets, e.counts = append(e.parts, k.Behind), append(e.sets, k.Set), append(e.counts, n)
	}
	return e
}

// Optional is a part or nothing.
func Optional(part *Expr) *Expr { return Alt(Seq(), part) }

// Use is what a rule is.
func (r *Rule) Use() *Expr { return &Expr{op: opRule, rule: r} }
