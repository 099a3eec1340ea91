package jinja

import "slices"

// macro.go reads and calls macros. A macro is a closure: it sees the names around its definition as they are when it is
// called, and what it sets stays inside. It returns what it prints.

func (p *parser) macroStatement() (stmt, error) {
	id, err := p.expectName()
	if err != nil {
		return nil, err
	}
	def := &macroDef{name: id}
	if err := p.signature(def); err != nil {
		return nil, err
	}
	return &macroStmt{id, def}, p.macroBody(def, "endmacro")
}

func (p *parser) callStatement(line int) (stmt, error) {
	def := &macroDef{name: "caller"}
	if p.isOp("(") {
		if err := p.signature(def); err != nil {
			return nil, err
		}
	}
	x, err := p.expression()
	if err != nil {
		return nil, err
	}
	c, ok := x.(*call)
	if !ok {
		return nil, at(errorf(SyntaxError, "expected call"), line)
	}
	return &callStmt{c, def, line}, p.macroBody(def, "endcall")
}

func (p *parser) macroBody(def *macroDef, end string) error {
	outer, loops := p.macro, p.loops
	p.macro, p.loops = def, 0
	defer func() { p.macro, p.loops = outer, loops }()
	var err error
	def.body, err = p.closed(end)
	return err
}

// signature reads (a, b=1): the parameters of a macro.
func (p *parser) signature(def *macroDef) error {
	if err := p.expectOp("("); err != nil {
		return err
	}
	for !p.skipOp(")") {
		if len(def.params) > 0 {
			if err := p.expectOp(","); err != nil {
				return err
			}
		}
		id, err := p.expectName()
		if err != nil {
			return err
		}
		if slices.Contains(def.params, id) {
			return p.fail("duplicate argument %s in macro definition", reprString(id))
		}
		def.params = append(def.params, id)
		if p.skipOp("=") {
			x, err := p.expression()
			if err != nil {
				return err
			}
			def.defaults = append(def.defaults, x)
		} else if len(def.defaults) > 0 {
			return p.fail("non-default argument follows default argument")
		}
	}
	return nil
}

// noteName tells the macro being read that its body names id.
func (p *parser) noteName(id string) {
	if p.macro == nil {
		return
	}
	switch id {
	case "varargs":
		p.macro.usesVarargs = true
	case "kwargs":
		p.macro.usesKwargs = true
	case "caller":
		p.macro.usesCaller = true
	}
}

// bind makes the macro a value that can be called. Its attributes tell what it takes.
func (def *macroDef) bind(around *scope) *function {
	vars := &Dict{}
	params := make([]Value, len(def.params))
	for i, id := range def.params {
		params[i] = id
	}
	vars.Set("name", def.name)
	vars.Set("arguments", &Tuple{Items: params})
	vars.Set("catch_varargs", def.usesVarargs)
	vars.Set("catch_kwargs", def.usesKwargs)
	vars.Set("caller", def.usesCaller)
	f := &function{name: def.name, vars: vars}
	f.call = func(r *run, a args) (Value, error) { return r.callMacro(def, f, around, a) }
	return f
}

func (r *run) callMacro(def *macroDef, self *function, around *scope, a args) (Value, error) {
	if err := r.enter(); err != nil {
		return nil, err
	}
	defer r.leave()
	s := around.child()
	if err := r.bindMacro(def, self, s, a); err != nil {
		return nil, err
	}
	text, _, err := r.capture(def.body, s)
	return text, err
}

// bindMacro stores the arguments in s: by place, then by name, then the defaults, which see the parameters before them.
func (r *run) bindMacro(def *macroDef, self *function, s *scope, a args) error {
	if len(a.pos) > len(def.params) && !def.usesVarargs {
		return errorf(TypeError, "macro %s takes not more than %d argument(s)", reprString(def.name), len(def.params))
	}
	rest := a.kw
	required := len(def.params) - len(def.defaults)
	for i, id := range def.params {
		v, found := Value(nil), i < len(a.pos)
		if found {
			v = a.pos[i]
		} else {
			v, found, rest = takeKeyword(rest, id)
		}
		switch {
		case found:
		case i >= required:
			var err error
			if v, err = r.eval(def.defaults[i-required], s); err != nil {
				return err
			}
		default:
			v = undefinedf("parameter %s was not provided", reprString(id))
		}
		s.set(id, v)
	}
	if def.usesCaller {
		v, found := Value(nil), false
		if v, found, rest = takeKeyword(rest, "caller"); !found {
			v = undefinedf("No caller defined")
		}
		s.set("caller", v)
	}
	return def.bindRest(s, a, rest)
}

func (def *macroDef) bindRest(s *scope, a args, rest []keyword) error {
	if def.usesVarargs {
		s.set("varargs", &Tuple{Items: a.pos[min(len(def.params), len(a.pos)):]})
	}
	if def.usesKwargs {
		d := &Dict{}
		for _, k := range rest {
			d.Set(k.name, k.value)
		}
		s.set("kwargs", d)
		return nil
	}
	if len(rest) > 0 {
		if rest[0].name == "caller" {
			return errorf(TypeError, "macro %s was invoked with two values for the special caller argument", reprString(def.name))
		}
		return errorf(TypeError, "macro %s takes no keyword argument %s", reprString(def.name), reprString(rest[0].name))
	}
	return nil
}
