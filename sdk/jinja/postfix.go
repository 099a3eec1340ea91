package jinja

// postfix.go reads what follows an operand: attributes, subscripts, calls, filters and tests.

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
