package jinja

// expression.go reads expressions, but for what follows an operand, which is in postfix.go. From loosest to tightest:
//
//	a if b else c   or   and   not   == != < <= > >= in   + -   ~   * / // %   **   - + (sign)   x.y x[y] x(y) x|f is t
//
// Note that ~ binds tighter than +, that a sign binds tighter than **, and that filters belong to the operand before them.

func (p *parser) expression() (expr, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	certain := len(p.unknown)
	x, err := p.or()
	if err != nil {
		return nil, err
	}
	for p.isName("if") {
		p.unknown = p.unknown[:certain] // what stands before "if" may never be reached
		if x, err = p.conditional(x); err != nil {
			return nil, err
		}
	}
	return x, nil
}

func (p *parser) conditional(yes expr) (expr, error) {
	p.pos++
	p.soft++
	defer func() { p.soft-- }()
	test, err := p.or()
	if err != nil {
		return nil, err
	}
	c := &cond{test: test, yes: yes}
	if p.skipName("else") {
		c.no, err = p.expression()
	}
	return c, err
}

func (p *parser) or() (expr, error) {
	x, err := p.and()
	for err == nil && p.skipName("or") {
		var y expr
		y, err = p.and()
		x = &or{x, y}
	}
	return x, err
}

func (p *parser) and() (expr, error) {
	x, err := p.not()
	for err == nil && p.skipName("and") {
		var y expr
		y, err = p.not()
		x = &and{x, y}
	}
	return x, err
}

func (p *parser) not() (expr, error) {
	if !p.skipName("not") {
		return p.comparison()
	}
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	x, err := p.not()
	return &not{x}, err
}

func (p *parser) comparison() (expr, error) {
	x, err := p.sum()
	if err != nil {
		return nil, err
	}
	c := &comparison{first: x}
	for {
		op, n := p.comparisonOp()
		if n == 0 {
			break
		}
		p.pos += n
		y, err := p.sum()
		if err != nil {
			return nil, err
		}
		c.ops, c.rest = append(c.ops, op), append(c.rest, y)
	}
	if len(c.ops) == 0 {
		return x, nil
	}
	return c, nil
}

// comparisonOp says which operator stands here and how many tokens it has; 0 if there is none.
func (p *parser) comparisonOp() (string, int) {
	t := p.peek()
	switch {
	case t.kind == tokOp:
		switch t.text {
		case "==", "!=", "<", "<=", ">", ">=":
			return t.text, 1
		}
	case p.isName("in"):
		return "in", 1
	case p.isName("not"):
		if n := p.tokens[p.pos+1]; n.kind == tokName && n.text == "in" {
			return "not in", 2
		}
	}
	return "", 0
}

// chain reads operands joined by left-associative operators.
func (p *parser) chain(operand func() (expr, error), ops ...string) (expr, error) {
	x, err := operand()
	for err == nil {
		op := ""
		for _, o := range ops {
			if p.isOp(o) {
				op = o
			}
		}
		if op == "" {
			break
		}
		p.pos++
		var y expr
		y, err = operand()
		x = &binary{op, x, y}
	}
	return x, err
}

func (p *parser) sum() (expr, error) { return p.chain(p.concat, "+", "-") }

func (p *parser) concat() (expr, error) {
	x, err := p.product()
	if err != nil || !p.isOp("~") {
		return x, err
	}
	c := &concat{parts: []expr{x}}
	for p.skipOp("~") {
		if x, err = p.product(); err != nil {
			return nil, err
		}
		c.parts = append(c.parts, x)
	}
	return c, nil
}

func (p *parser) product() (expr, error) { return p.chain(p.power, "*", "/", "//", "%") }

func (p *parser) power() (expr, error) {
	return p.chain(func() (expr, error) { return p.unary(true) }, "**")
}

func (p *parser) unary(filters bool) (expr, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	var x expr
	var err error
	switch {
	case p.skipOp("-"):
		x, err = p.unary(false)
		x = &negative{x}
	case p.skipOp("+"):
		x, err = p.unary(false)
		x = &positive{x}
	default:
		x, err = p.primary()
	}
	if err == nil {
		x, err = p.postfix(x)
	}
	if err != nil || !filters {
		return x, err
	}
	return p.filtersAndTests(x)
}

func (p *parser) primary() (expr, error) {
	t := p.peek()
	switch t.kind {
	case tokName:
		p.pos++
		switch t.text {
		case "true", "True":
			return &constant{true}, nil
		case "false", "False":
			return &constant{false}, nil
		case "none", "None":
			return &constant{nil}, nil
		}
		p.noteName(t.text)
		return &name{t.text}, nil
	case tokString:
		return p.strings(), nil
	case tokNumber:
		p.pos++
		return &constant{t.value}, nil
	case tokOp:
		switch t.text {
		case "(":
			p.pos++
			return p.parenthesized()
		case "[":
			p.pos++
			items, err := p.commaList("]")
			return &listExpr{items}, err
		case "{":
			p.pos++
			return p.dict()
		}
	}
	return nil, p.unexpected("")
}

// strings joins literals that stand next to each other.
func (p *parser) strings() expr {
	s := ""
	for p.peek().kind == tokString {
		s += p.take().text
	}
	return &constant{s}
}

func (p *parser) parenthesized() (expr, error) {
	if p.skipOp(")") {
		return &tupleExpr{}, nil
	}
	x, err := p.tuple(false)
	if err != nil {
		return nil, err
	}
	return x, p.expectOp(")")
}

// tuple reads expressions with commas between them; one without a comma is itself. plain: no "a if b" in it, because an
// "if" that follows is the statement's.
func (p *parser) tuple(plain bool) (expr, error) {
	read := p.expression
	if plain {
		read = p.or
	}
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	var items []expr
	for {
		if len(items) > 0 && p.tupleEnds() {
			return &tupleExpr{items}, nil
		}
		x, err := read()
		if err != nil {
			return nil, err
		}
		if len(items) == 0 && !p.isOp(",") {
			return x, nil
		}
		items = append(items, x)
		if !p.skipOp(",") {
			return &tupleExpr{items}, nil
		}
	}
}

func (p *parser) tupleEnds() bool {
	switch p.peek().kind {
	case tokPrintEnd, tokBlockEnd, tokEOF:
		return true
	}
	return p.isOp(")")
}

// commaList reads expressions up to the closing bracket, which it takes.
func (p *parser) commaList(end string) ([]expr, error) {
	var items []expr
	for !p.skipOp(end) {
		if len(items) > 0 {
			if err := p.expectOp(","); err != nil {
				return nil, err
			}
			if p.skipOp(end) {
				break
			}
		}
		x, err := p.expression()
		if err != nil {
			return nil, err
		}
		items = append(items, x)
	}
	return items, nil
}

func (p *parser) dict() (expr, error) {
	d := &dictExpr{}
	for !p.skipOp("}") {
		if len(d.keys) > 0 {
			if err := p.expectOp(","); err != nil {
				return nil, err
			}
			if p.skipOp("}") {
				break
			}
		}
		k, err := p.expression()
		if err != nil {
			return nil, err
		}
		if err := p.expectOp(":"); err != nil {
			return nil, err
		}
		v, err := p.expression()
		if err != nil {
			return nil, err
		}
		d.keys, d.values = append(d.keys, k), append(d.values, v)
	}
	return d, nil
}
