package jinja

import (
	"slices"
	"strings"
)

// statement.go reads what begins with {%.

func (p *parser) statement() (stmt, error) {
	t := p.peek()
	if t.kind != tokName {
		return nil, p.fail("tag name expected")
	}
	p.pos++
	switch t.text {
	case "if":
		return p.ifStatement(t.line)
	case "for":
		return p.forStatement(t.line)
	case "set":
		return p.setStatement(t.line)
	case "macro":
		return p.macroStatement()
	case "call":
		return p.callStatement(t.line)
	case "filter":
		return p.filterStatement(t.line)
	case "with":
		return p.withStatement(t.line)
	case "block":
		return p.blockStatement()
	case "generation":
		body, err := p.closed("endgeneration")
		return &blockStmt{body}, err
	case "print":
		return p.printStatement(t.line)
	case "break", "continue":
		return p.loopControl(t)
	case "include", "import", "from", "extends":
		return p.loaderStatement(t.line)
	}
	return nil, p.unknownTag(t)
}

// printStatement reads {% print a, b %}, which prints one after another.
func (p *parser) printStatement(line int) (stmt, error) {
	x, err := p.expression()
	c := &concat{parts: []expr{x}}
	for err == nil && p.skipOp(",") {
		x, err = p.expression()
		c.parts = append(c.parts, x)
	}
	return &output{c, line}, err
}

func (p *parser) unknownTag(t token) error {
	s := "Encountered unknown tag " + reprString(t.text) + "."
	if n := len(p.waits); n > 0 {
		s += " Jinja was looking for the following tags: '" + strings.Join(p.waits[n-1], "' or '") + "'."
	}
	return at(errorf(SyntaxError, "%s", s), t.line)
}

func (p *parser) ifStatement(line int) (stmt, error) {
	p.soft++
	defer func() { p.soft-- }()
	s := &ifStmt{line: line}
	for {
		test, err := p.tuple(true)
		if err != nil {
			return nil, err
		}
		body, err := p.block("elif", "else", "endif")
		if err != nil {
			return nil, err
		}
		s.tests, s.bodies = append(s.tests, test), append(s.bodies, body)
		if p.take().text != "elif" {
			break
		}
	}
	if p.tokens[p.pos-1].text == "endif" {
		return s, nil
	}
	var err error
	s.other, err = p.closed("endif")
	return s, err
}

func (p *parser) forStatement(line int) (stmt, error) {
	s := &forStmt{line: line}
	var err error
	if s.target, err = p.target(true, false); err != nil {
		return nil, err
	}
	if !p.skipName("in") {
		return nil, p.unexpected("in")
	}
	if s.target.has("loop") {
		return nil, at(errorf(AssertionError, "Can't assign to special loop variable in for-loop"), line)
	}
	if s.in, err = p.tuple(true); err != nil {
		return nil, err
	}
	if p.skipName("if") {
		if s.filter, err = p.expression(); err != nil {
			return nil, err
		}
	}
	s.recursive = p.skipName("recursive")
	p.loops++
	s.body, err = p.block("endfor", "else")
	p.loops--
	if err != nil {
		return nil, err
	}
	if p.take().text == "else" {
		s.other, err = p.closed("endfor")
	}
	return s, err
}

func (p *parser) loopControl(t token) (stmt, error) {
	if p.loops == 0 {
		return nil, at(errorf(SyntaxError, "'%s' outside loop", t.text), t.line)
	}
	if t.text == "break" {
		return &loopSignal{breakLoop}, nil
	}
	return &loopSignal{continueLoop}, nil
}

func (p *parser) setStatement(line int) (stmt, error) {
	t, err := p.target(true, true)
	if err != nil {
		return nil, err
	}
	if p.skipOp("=") {
		x, err := p.tuple(false)
		return &setStmt{t, x, line}, err
	}
	s := &setBlock{target: t, line: line}
	if p.isOp("|") {
		if s.filter, err = p.filters(nil); err != nil {
			return nil, err
		}
	}
	s.body, err = p.closed("endset")
	return s, err
}

func (p *parser) filterStatement(line int) (stmt, error) {
	s := &filterStmt{line: line}
	x, err := p.filter(nil)
	if err != nil {
		return nil, err
	}
	if s.filter, err = p.filters(x); err != nil {
		return nil, err
	}
	s.body, err = p.closed("endfilter")
	return s, err
}

func (p *parser) withStatement(line int) (stmt, error) {
	s := &withStmt{line: line}
	for p.peek().kind != tokBlockEnd {
		if len(s.targets) > 0 {
			if err := p.expectOp(","); err != nil {
				return nil, err
			}
		}
		t, err := p.target(false, false)
		if err != nil {
			return nil, err
		}
		if err := p.expectOp("="); err != nil {
			return nil, err
		}
		x, err := p.expression()
		if err != nil {
			return nil, err
		}
		s.targets, s.values = append(s.targets, t), append(s.values, x)
	}
	var err error
	s.body, err = p.closed("endwith")
	return s, err
}

func (p *parser) blockStatement() (stmt, error) {
	if _, err := p.expectName(); err != nil {
		return nil, err
	}
	for p.skipName("scoped") || p.skipName("required") {
	}
	body, err := p.closed("endblock")
	if err == nil && p.peek().kind == tokName {
		p.take() // {% endblock name %}
	}
	return &blockStmt{body}, err
}

// loaderStatement reads a tag that would need another template. It fails when it is reached, as in the reference.
func (p *parser) loaderStatement(line int) (stmt, error) {
	for p.peek().kind != tokBlockEnd && p.peek().kind != tokEOF {
		p.pos++
	}
	return &output{failure{errorf(TypeError, "no loader for this environment specified")}, line}, nil
}

// target reads what a value can be stored in. tuples: several, with commas; attrs: ns.name too.
func (p *parser) target(tuples, attrs bool) (target, error) {
	if err := p.enter(); err != nil {
		return target{}, err
	}
	defer p.leave()
	var parts []target
	for {
		t, err := p.targetPart(attrs)
		if err != nil {
			return target{}, err
		}
		if !tuples || len(parts) == 0 && !p.isOp(",") {
			return t, nil
		}
		parts = append(parts, t)
		if !p.skipOp(",") || p.isOp(")") || p.peek().kind == tokBlockEnd {
			return target{parts: parts}, nil
		}
	}
}

func (p *parser) targetPart(attrs bool) (target, error) {
	if p.skipOp("(") {
		t, err := p.target(true, attrs)
		if err != nil {
			return target{}, err
		}
		return t, p.expectOp(")")
	}
	t := p.peek()
	if t.kind != tokName {
		return target{}, p.unexpected("")
	}
	if slices.Contains([]string{"true", "True", "false", "False", "none", "None"}, t.text) {
		return target{}, p.fail("can't assign to 'const'")
	}
	p.pos++
	if attrs && p.skipOp(".") {
		attr, err := p.expectName()
		return target{name: t.text, attr: attr}, err
	}
	return target{name: t.text}, nil
}
