package jinja

// expression.go reads expressions. From loosest to tightest:
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

func (p *parser) postfix(x expr) (expr, error) {
	var err error
	for n := 0; err == nil; n++ {
		if n > parseDepth {
			return nil, p.fail("a chain of attributes and calls is longer than %d", parseDepth)
		}
		switch {
		case p.skipOp("."):
			x, err = p.dot(x)
		case p.skipOp("["):
			x, err = p.brackets(x)
		case p.isOp("("):
			x, err = p.callOf(x)
		default:
			return x, nil
		}
	}
	return nil, err
}

func (p *parser) dot(x expr) (expr, error) {
	t := p.take()
	switch {
	case t.kind == tokName:
		return &attribute{x, t.text}, nil
	case t.kind == tokNumber:
		return &subscript{x, &constant{t.value}}, nil
	}
	p.pos--
	return nil, p.fail("expected name or number")
}

func (p *parser) brackets(x expr) (expr, error) {
	var items []expr
	for !p.skipOp("]") {
		if len(items) > 0 {
			if err := p.expectOp(","); err != nil {
				return nil, err
			}
		}
		i, err := p.indexOrSlice()
		if err != nil {
			return nil, err
		}
		items = append(items, i)
	}
	if len(items) == 1 {
		return &subscript{x, items[0]}, nil
	}
	return &subscript{x, &tupleExpr{items}}, nil
}

func (p *parser) indexOrSlice() (expr, error) {
	var parts [3]expr
	for i := range parts {
		if !p.isOp(":") && !p.isOp("]") && !p.isOp(",") {
			x, err := p.expression()
			if err != nil {
				return nil, err
			}
			parts[i] = x
		}
		if i == 2 || p.skipOp(":") {
			continue
		}
		if i == 0 {
			if parts[0] == nil {
				return nil, p.unexpected("")
			}
			return parts[0], nil
		}
		break
	}
	return &slice{parts[0], parts[1], parts[2]}, nil
}

func (p *parser) callOf(fn expr) (expr, error) {
	line := p.peek().line
	a, err := p.callArgs()
	return &call{fn, a, line}, err
}

func (p *parser) callArgs() (callArgs, error) {
	var a callArgs
	if err := p.expectOp("("); err != nil {
		return a, err
	}
	for first := true; !p.skipOp(")"); first = false {
		if !first {
			if err := p.expectOp(","); err != nil {
				return a, err
			}
			if p.skipOp(")") {
				break
			}
		}
		if err := p.argument(&a); err != nil {
			return a, err
		}
	}
	return a, nil
}

func (p *parser) argument(a *callArgs) error {
	const wrong = "invalid syntax for function call expression"
	var err error
	next := p.tokens[min(p.pos+1, len(p.tokens)-1)]
	switch {
	case p.isOp("*"):
		if a.star != nil || a.starstar != nil {
			return p.fail(wrong)
		}
		p.pos++
		a.star, err = p.expression()
	case p.isOp("**"):
		if a.starstar != nil {
			return p.fail(wrong)
		}
		p.pos++
		a.starstar, err = p.expression()
	case p.peek().kind == tokName && next.kind == tokOp && next.text == "=":
		if a.starstar != nil {
			return p.fail(wrong)
		}
		a.kwNames = append(a.kwNames, p.take().text)
		p.pos++
		var x expr
		x, err = p.expression()
		a.kwValues = append(a.kwValues, x)
	default:
		if a.star != nil || a.starstar != nil || len(a.kwNames) > 0 {
			return p.fail(wrong)
		}
		var x expr
		x, err = p.expression()
		a.pos = append(a.pos, x)
	}
	return err
}

func (p *parser) filtersAndTests(x expr) (expr, error) {
	var err error
	for n := 0; err == nil; n++ {
		if n > parseDepth {
			return nil, p.fail("a chain of filters and tests is longer than %d", parseDepth)
		}
		switch {
		case p.skipOp("|"):
			x, err = p.filter(x)
		case p.skipName("is"):
			x, err = p.test(x)
		case p.isOp("("):
			x, err = p.callOf(x)
		default:
			return x, nil
		}
	}
	return nil, err
}

// filters reads |f|g after x.
func (p *parser) filters(x expr) (expr, error) {
	for n := 0; p.skipOp("|"); n++ {
		if n > parseDepth {
			return nil, p.fail("a chain of filters is longer than %d", parseDepth)
		}
		var err error
		if x, err = p.filter(x); err != nil {
			return nil, err
		}
	}
	return x, nil
}

// filter reads the name and arguments of a filter that is applied to x.
func (p *parser) filter(x expr) (expr, error) {
	id, err := p.dottedName()
	if err != nil {
		return nil, err
	}
	f := &filter{of: x, name: id}
	fn, ok := p.env.filters[id]
	if f.fn = fn; !ok {
		f.fn = p.missing("filter", id)
	}
	if p.isOp("(") {
		f.args, err = p.callArgs()
	}
	return f, err
}

// missing is what stands for a filter or test that does not exist. If it may never be reached it fails when it is, else
// the template cannot be used.
func (p *parser) missing(what, id string) builtin {
	if p.soft == 0 {
		p.unknown = append(p.unknown, at(errorf(AssertionError, "No %s named %s.", what, reprString(id)), p.peek().line))
	}
	return builtin{variadic: true, run: func(*run, Value, args) (Value, error) {
		return nil, errorf(RuntimeError, "No %s named %s found.", what, reprString(id))
	}}
}

func (p *parser) dottedName() (string, error) {
	id, err := p.expectName()
	for err == nil && p.skipOp(".") {
		var part string
		part, err = p.expectName()
		id += "." + part
	}
	return id, err
}

// test reads what follows "is": a test takes arguments in brackets, or one without.
func (p *parser) test(x expr) (expr, error) {
	negated := p.skipName("not")
	id, err := p.dottedName()
	if err != nil {
		return nil, err
	}
	t := &test{of: x, name: id}
	fn, ok := p.env.tests[id]
	if t.fn = fn; !ok {
		t.fn = p.missing("test", id)
	}
	switch {
	case p.isOp("("):
		t.args, err = p.callArgs()
	case p.isName("is"):
		err = p.fail("You cannot chain multiple tests with is")
	case p.startsOperand():
		var arg expr
		if arg, err = p.primary(); err == nil {
			arg, err = p.postfix(arg)
		}
		t.args.pos = []expr{arg}
	}
	if negated {
		return &not{t}, err
	}
	return t, err
}

func (p *parser) startsOperand() bool {
	switch p.peek().kind {
	case tokString, tokNumber:
		return true
	case tokName:
		return !p.isName("else", "or", "and")
	}
	return p.isOp("[") || p.isOp("{")
}
