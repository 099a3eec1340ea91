package jinja

import (
	"slices"
	"strings"
)

// parser.go holds the parser and reads the frame of a template: text, tags, and what stands between two tags.
// statement.go reads statements, expression.go and postfix.go expressions.

type parser struct {
	env    *environment
	tokens []token
	pos    int
	depth  int
	waits  [][]string // the words that would close each open block, innermost last
	loops  int
	soft   int // inside of what may never run: an unknown filter is an error only when it is reached
	// unknown are the errors of filters that do not exist and are certain to be reached.
	unknown []error
	// macro collects what the body of the macro being read names.
	macro *macroDef
}

// Template is a template ready to render. It never changes, so it may be rendered by many at once.
type Template struct{ body []stmt }

// Parse reads a template. The error is an *Error with the line.
func Parse(source string) (*Template, error) {
	tokens, err := lex(source)
	if err != nil {
		return nil, err
	}
	p := &parser{env: standard(), tokens: tokens}
	body, err := p.body()
	if err != nil {
		return nil, at(err, p.peek().line)
	}
	if len(p.unknown) > 0 {
		return nil, p.unknown[0]
	}
	return &Template{body}, nil
}

func (p *parser) peek() token { return p.tokens[p.pos] }

func (p *parser) take() token {
	t := p.tokens[p.pos]
	if t.kind != tokEOF {
		p.pos++
	}
	return t
}

func (p *parser) isOp(op string) bool {
	t := p.peek()
	return t.kind == tokOp && t.text == op
}

func (p *parser) isName(words ...string) bool {
	t := p.peek()
	return t.kind == tokName && slices.Contains(words, t.text)
}

func (p *parser) skipOp(op string) bool {
	if p.isOp(op) {
		p.pos++
		return true
	}
	return false
}

func (p *parser) skipName(word string) bool {
	if p.isName(word) {
		p.pos++
		return true
	}
	return false
}

func (p *parser) fail(format string, args ...any) error {
	return at(errorf(SyntaxError, format, args...), p.peek().line)
}

func (p *parser) unexpected(want string) error {
	t := p.peek()
	if t.kind == tokEOF {
		return p.endOfTemplate()
	}
	if want == "" {
		return p.fail("unexpected %s", reprString(t.describe()))
	}
	return p.fail("expected token %s, got %s", reprString(want), reprString(t.describe()))
}

func (p *parser) endOfTemplate() error {
	s := "Unexpected end of template."
	if n := len(p.waits); n > 0 {
		s += " Jinja was looking for the following tags: '" + strings.Join(p.waits[n-1], "' or '") + "'."
	}
	return p.fail("%s", s)
}

func (t token) describe() string {
	switch t.kind {
	case tokPrintEnd:
		return "end of print statement"
	case tokBlockEnd:
		return "end of statement block"
	}
	return t.text
}

func (p *parser) expectOp(op string) error {
	if !p.skipOp(op) {
		return p.unexpected(op)
	}
	return nil
}

func (p *parser) expectName() (string, error) {
	if p.peek().kind != tokName {
		return "", p.unexpected("name")
	}
	return p.take().text, nil
}

func (p *parser) expect(kind tokenKind, what string) error {
	if p.peek().kind != kind {
		return p.unexpected(what)
	}
	p.pos++
	return nil
}

// enter guards the parser's recursion, and with it that of everything that walks the tree.
func (p *parser) enter() error {
	p.depth++
	if p.depth > parseDepth {
		return at(errorf(LimitError, "the template nests deeper than %d", parseDepth), p.peek().line)
	}
	return nil
}

func (p *parser) leave() { p.depth-- }

// body reads statements up to a tag that begins with one of the words; the word is left to be read. Without words it
// reads to the end.
func (p *parser) body(until ...string) ([]stmt, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	if len(until) > 0 {
		p.waits = append(p.waits, until)
		defer func() { p.waits = p.waits[:len(p.waits)-1] }()
	}
	var out []stmt
	for {
		t := p.take()
		switch t.kind {
		case tokEOF:
			if len(until) > 0 {
				return nil, p.endOfTemplate()
			}
			return out, nil
		case tokText:
			out = append(out, &text{t.text})
		case tokPrint:
			x, err := p.tuple(false)
			if err != nil {
				return nil, err
			}
			if err := p.expect(tokPrintEnd, "end of print statement"); err != nil {
				return nil, err
			}
			out = append(out, &output{x, t.line})
		case tokBlock:
			if p.isName(until...) {
				return out, nil
			}
			s, err := p.statement()
			if err != nil {
				return nil, err
			}
			if err := p.expect(tokBlockEnd, "end of statement block"); err != nil {
				return nil, err
			}
			out = append(out, s)
		default:
			return nil, p.unexpected("")
		}
	}
}

// block reads the rest of an opening tag, statements, and one of the words that close them.
func (p *parser) block(until ...string) ([]stmt, error) {
	if err := p.expect(tokBlockEnd, "end of statement block"); err != nil {
		return nil, err
	}
	body, err := p.body(until...)
	if err != nil {
		return nil, err
	}
	return body, nil
}

// closed is block with a single closing word, which it takes.
func (p *parser) closed(word string) ([]stmt, error) {
	body, err := p.block(word)
	if err == nil {
		p.take()
	}
	return body, err
}
