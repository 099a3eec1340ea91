// gbnf.go reads grammars that are written: GBNF, the form of BNF that llama.cpp's users know.
//
//	root  ::= "yes" | "no" because?      # the rule named root is the language
//	because ::= ", because " [^\n]{1,80} "."
//
// A rule is a name (letters, digits, "-", "_"), "::=" and alternatives between "|". An alternative is a sequence of literals in double quotes,
// classes of characters in brackets ("^" first: all others), "." for any character, names, and groups in parentheses, each of which may be
// followed by "*", "+", "?", "{n}", "{n,}" or "{n,m}". Literals and classes know the escapes \n \r \t \" \\ \[ \] \- \^ \xHH \uHHHH and \UHHHHHHHH. A rule goes on
// until the next line that begins one. "#" begins a comment. A rule must not begin with itself.

package grammar

import (
	"fmt"
	"regexp/syntax"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/inference-pio/inference-pio/sdk/grammar/automaton"
)

// Bounds of a written grammar.
const (
	maxGBNF      = 1 << 16
	maxGBNFDepth = 64
	maxGBNFCount = 1 << 20
)

// GBNF reads a grammar. Its errors name the line.
func GBNF(text string) (*Expr, error) {
	if len(text) > maxGBNF {
		return nil, fmt.Errorf("the grammar has %d bytes; at most %d are read", len(text), maxGBNF)
	}
	if !utf8.ValidString(text) {
		return nil, fmt.Errorf("the grammar is not UTF-8")
	}
	r := &gbnf{text: text, line: 1, rules: map[string]*gbnfRule{}}
	if err := r.read(); err != nil {
		return nil, fmt.Errorf("line %d of the grammar: %w", r.line, err)
	}
	for _, rule := range r.order {
		if rule.body == nil {
			return nil, fmt.Errorf("line %d of the grammar: there is no rule %q", rule.line, rule.name)
		}
	}
	root, ok := r.rules["root"]
	if !ok {
		return nil, fmt.Errorf("the grammar has no rule named root")
	}
	b := &gbnfBuilder{done: map[*gbnfRule]*Rule{}, plain: map[*gbnfRule]*syntax.Regexp{}}
	return b.rule(root), nil
}

// gbnfNode is what stands in a rule.
type gbnfNode struct {
	op          op
	text        string
	class       *syntax.Regexp
	parts       []*gbnfNode
	least, most int
	rule        *gbnfRule
}

type gbnfRule struct {
	name string
	body *gbnfNode
	line int // where it is spoken of first
}

type gbnf struct {
	text  string
	at    int
	line  int
	depth int
	rules map[string]*gbnfRule
	order []*gbnfRule
}

func (r *gbnf) rule(name string) *gbnfRule {
	rule, known := r.rules[name]
	if !known {
		rule = &gbnfRule{name: name, line: r.line}
		r.rules[name] = rule
		r.order = append(r.order, rule)
	}
	return rule
}

func (r *gbnf) read() error {
	for r.blanks(); r.at < len(r.text); r.blanks() {
		name := r.name()
		if name == "" {
			return fmt.Errorf("a rule's name is expected, not %.20q", r.text[r.at:])
		}
		r.blanks()
		if !r.take("::=") {
			return fmt.Errorf("\"::=\" is expected behind %q", name)
		}
		rule := r.rule(name)
		if rule.body != nil {
			return fmt.Errorf("there are two rules %q", name)
		}
		var err error
		if rule.body, err = r.alternatives(); err != nil {
			return err
		}
	}
	return nil
}

// blanks skips white space and comments.
func (r *gbnf) blanks() {
	for r.at < len(r.text) {
		switch c := r.text[r.at]; {
		case c == '#':
			for r.at < len(r.text) && r.text[r.at] != '\n' {
				r.at++
			}
			continue
		case c == '\n':
			r.line++
		case c != ' ' && c != '\t' && c != '\r':
			return
		}
		r.at++
	}
}

func (r *gbnf) take(s string) bool {
	if strings.HasPrefix(r.text[r.at:], s) {
		r.at += len(s)
		return true
	}
	return false
}

func (r *gbnf) name() string {
	from := r.at
	for r.at < len(r.text) {
		c := r.text[r.at]
		if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			break
		}
		r.at++
	}
	return r.text[from:r.at]
}

// begins says that a rule's name and "::=" stand here.
func (r *gbnf) begins() bool {
	ahead := *r
	if ahead.name() == "" {
		return false
	}
	ahead.blanks()
	return ahead.take("::=")
}

func (r *gbnf) alternatives() (*gbnfNode, error) {
	if r.depth++; r.depth > maxGBNFDepth {
		return nil, fmt.Errorf("it is nested more than %d deep", maxGBNFDepth)
	}
	defer func() { r.depth-- }()
	alt := &gbnfNode{op: opAlt}
	for {
		seq, err := r.sequence()
		if err != nil {
			return nil, err
		}
		alt.parts = append(alt.parts, seq)
		if !r.take("|") {
			return alt, nil
		}
	}
}

func (r *gbnf) sequence() (*gbnfNode, error) {
	seq := &gbnfNode{op: opSeq}
	for {
		r.blanks()
		if r.at == len(r.text) || strings.IndexByte("|)", r.text[r.at]) >= 0 || r.begins() {
			return seq, nil
		}
		part, err := r.part()
		if err != nil {
			return nil, err
		}
		for {
			again, err := r.repeated(part)
			if err != nil {
				return nil, err
			}
			if again == part {
				break
			}
			part = again
		}
		seq.parts = append(seq.parts, part)
	}
}

func (r *gbnf) part() (*gbnfNode, error) {
	switch {
	case r.take(`"`):
		return r.literal()
	case r.take("["):
		return r.class()
	case r.take("."):
		return &gbnfNode{op: opRegular, class: &syntax.Regexp{Op: syntax.OpAnyChar}}, nil
	case r.take("("):
		inner, err := r.alternatives()
		if err != nil {
			return nil, err
		}
		if r.blanks(); !r.take(")") {
			return nil, fmt.Errorf("a parenthesis is not closed")
		}
		return inner, nil
	}
	if name := r.name(); name != "" {
		return &gbnfNode{op: opRule, rule: r.rule(name)}, nil
	}
	return nil, fmt.Errorf("%.20q is not expected", r.text[r.at:])
}

// repeated reads a sign of repetition, if there is one.
func (r *gbnf) repeated(part *gbnfNode) (*gbnfNode, error) {
	n := &gbnfNode{op: opRepeat, parts: []*gbnfNode{part}, most: -1}
	switch {
	case r.take("*"):
	case r.take("+"):
		n.least = 1
	case r.take("?"):
		n.most = 1
	case r.take("{"):
		inside, _, closed := strings.Cut(r.text[r.at:], "}")
		if !closed {
			return nil, fmt.Errorf("a brace is not closed")
		}
		r.at += len(inside) + 1
		least, most, has := strings.Cut(inside, ",")
		var err error
		if n.least, err = count(least); err != nil {
			return nil, err
		}
		switch {
		case !has:
			n.most = n.least
		case strings.TrimSpace(most) != "":
			if n.most, err = count(most); err != nil {
				return nil, err
			}
		}
	default:
		return part, nil
	}
	return n, nil
}

func count(s string) (int, error) {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil || n < 0 || n > maxGBNFCount {
		return 0, fmt.Errorf("%.20q is no number of repetitions", s)
	}
	return n, nil
}

func (r *gbnf) literal() (*gbnfNode, error) {
	var text strings.Builder
	for {
		if r.take(`"`) {
			return &gbnfNode{op: opLiteral, text: text.String()}, nil
		}
		c, err := r.char("a literal")
		if err != nil {
			return nil, err
		}
		text.WriteRune(c)
	}
}

func (r *gbnf) class() (*gbnfNode, error) {
	re := &syntax.Regexp{Op: syntax.OpCharClass}
	others := r.take("^")
	for !r.take("]") {
		low, err := r.char("a class")
		if err != nil {
			return nil, err
		}
		high := low
		if !strings.HasPrefix(r.text[r.at:], "-]") && r.take("-") {
			if high, err = r.char("a class"); err != nil {
				return nil, err
			}
		}
		if high < low {
			return nil, fmt.Errorf("the range %c-%c is empty", low, high)
		}
		re.Rune = append(re.Rune, low, high)
	}
	re.Rune = ranges(re.Rune, others)
	if len(re.Rune) == 0 {
		return nil, fmt.Errorf("a class has no characters")
	}
	return &gbnfNode{op: opRegular, class: re}, nil
}

// char reads one character of a literal or a class.
func (r *gbnf) char(of string) (rune, error) {
	if r.at == len(r.text) || r.text[r.at] == '\n' {
		return 0, fmt.Errorf("%s is not closed", of)
	}
	c, n := utf8.DecodeRuneInString(r.text[r.at:])
	r.at += n
	if c != '\\' {
		return c, nil
	}
	if r.at == len(r.text) {
		return 0, fmt.Errorf("%s is not closed", of)
	}
	c, n = utf8.DecodeRuneInString(r.text[r.at:])
	r.at += n
	digits := 0
	switch c {
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'x':
		digits = 2
	case 'u':
		digits = 4
	case 'U':
		digits = 8
	case '"', '\\', '[', ']', '-', '^', '/':
		return c, nil
	default:
		return 0, fmt.Errorf("there is no escape \\%c", c)
	}
	if r.at+digits > len(r.text) {
		return 0, fmt.Errorf("%s is not closed", of)
	}
	v, err := strconv.ParseUint(r.text[r.at:r.at+digits], 16, 32)
	r.at += digits
	if err != nil || !utf8.ValidRune(rune(v)) || v > utf8.MaxRune {
		return 0, fmt.Errorf("an escape is no character")
	}
	return rune(v), nil
}

// gbnfBuilder makes expressions of rules. What has no recursion becomes an automaton, if it is small enough.
type gbnfBuilder struct {
	done  map[*gbnfRule]*Rule
	plain map[*gbnfRule]*syntax.Regexp // nil while it is looked at, and if there is none
	size  int
}

func (b *gbnfBuilder) rule(r *gbnfRule) *Expr {
	made, known := b.done[r]
	if !known {
		made = &Rule{Name: r.name}
		b.done[r] = made
		made.Body = b.expr(r.body)
	}
	return made.Use()
}

func (b *gbnfBuilder) expr(n *gbnfNode) *Expr {
	if n.op == opLiteral {
		return Literal(n.text)
	}
	if b.size = 0; n.op != opRule {
		if re := b.regular(n); re != nil {
			if set, err := automaton.MatchTree(re); err == nil {
				if bytes, err := set.Plain(); err == nil {
					return Regular(bytes)
				}
			}
		}
	}
	var parts []*Expr
	for _, p := range n.parts {
		parts = append(parts, b.expr(p))
	}
	switch n.op {
	case opSeq:
		return Seq(parts...)
	case opAlt:
		return Alt(parts...)
	case opRepeat:
		return Repeat(parts[0], n.least, n.most)
	case opRule:
		return b.rule(n.rule)
	}
	return Alt() // not reached: a class alone is a small automaton
}

// maxRegular bounds what is made one automaton, and maxAgain its repetitions, which are written out.
const (
	maxRegular = 1 << 12
	maxAgain   = 1 << 8
)

// regular is a node as a regular expression, nil if it speaks of itself or is too large.
func (b *gbnfBuilder) regular(n *gbnfNode) *syntax.Regexp {
	if b.size++; b.size > maxRegular {
		return nil
	}
	var parts []*syntax.Regexp
	for _, p := range n.parts {
		re := b.regular(p)
		if re == nil {
			return nil
		}
		parts = append(parts, re)
	}
	switch n.op {
	case opLiteral:
		if n.text == "" {
			return &syntax.Regexp{Op: syntax.OpEmptyMatch}
		}
		return &syntax.Regexp{Op: syntax.OpLiteral, Rune: []rune(n.text)}
	case opRegular:
		return n.class
	case opSeq:
		if len(parts) == 0 {
			return &syntax.Regexp{Op: syntax.OpEmptyMatch}
		}
		return &syntax.Regexp{Op: syntax.OpConcat, Sub: parts}
	case opAlt:
		return &syntax.Regexp{Op: syntax.OpAlternate, Sub: parts}
	case opRepeat:
		if n.most > maxAgain || n.least > maxAgain || n.most >= 0 && n.most < n.least {
			return nil
		}
		return &syntax.Regexp{Op: syntax.OpRepeat, Min: n.least, Max: n.most, Sub: parts}
	}
	re, known := b.plain[n.rule]
	if !known {
		b.plain[n.rule] = nil
		re = b.regular(n.rule.body)
		b.plain[n.rule] = re
	}
	return re
}
