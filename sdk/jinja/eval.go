package jinja

import "strings"

// eval computes an expression; it is the one way from a node to its parts, so that nothing escapes the limits.
func (r *run) eval(x expr, s *scope) (Value, error) {
	if err := r.step(1); err != nil {
		return nil, err
	}
	if err := r.enter(); err != nil {
		return nil, err
	}
	v, err := x.eval(r, s)
	r.leave()
	return v, err
}

func (r *run) evalAll(xs []expr, s *scope) ([]Value, error) {
	if err := r.growItems(len(xs)); err != nil {
		return nil, err
	}
	out := make([]Value, len(xs))
	for i, x := range xs {
		v, err := r.eval(x, s)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

// evalPair computes the operands of a binary operator.
func (r *run) evalPair(a, b expr, s *scope) (x, y Value, err error) {
	if x, err = r.eval(a, s); err == nil {
		y, err = r.eval(b, s)
	}
	return x, y, err
}

// failure is an expression that fails when it is reached.
type failure struct{ err *Error }

func (x failure) eval(*run, *scope) (Value, error) {
	e := *x.err
	return nil, &e
}

func (x *constant) eval(*run, *scope) (Value, error) { return x.value, nil }
func (x *name) eval(r *run, s *scope) (Value, error) { return r.lookup(s, x.id), nil }
func (x *listExpr) eval(r *run, s *scope) (Value, error) {
	v, err := r.evalAll(x.items, s)
	return &List{v}, err
}
func (x *tupleExpr) eval(r *run, s *scope) (Value, error) {
	v, err := r.evalAll(x.items, s)
	return &Tuple{Items: v}, err
}

func (x *dictExpr) eval(r *run, s *scope) (Value, error) {
	d := &Dict{}
	for i := range x.keys {
		k, v, err := r.evalPair(x.keys[i], x.values[i], s)
		if err != nil {
			return nil, err
		}
		if err := r.putItem(d, k, v); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// putItem adds an entry to a dict that is being made.
func (r *run) putItem(d *Dict, k, v Value) error {
	h, err := r.hash(k, 0)
	if err != nil {
		return err
	}
	d.put(k, h, v)
	return r.growItems(3)
}

func (x *attribute) eval(r *run, s *scope) (Value, error) {
	of, err := r.eval(x.of, s)
	if err != nil {
		return nil, err
	}
	return r.getAttr(of, x.name)
}

func (x *subscript) eval(r *run, s *scope) (Value, error) {
	if sl, ok := x.index.(*slice); ok {
		return sl.of(r, x.of, s)
	}
	of, index, err := r.evalPair(x.of, x.index, s)
	if err != nil {
		return nil, err
	}
	return r.getItem(of, index)
}

func (x *slice) eval(*run, *scope) (Value, error) {
	return nil, errorf(TypeError, "a slice cannot be a part of a key")
}

func (x *slice) of(r *run, of expr, s *scope) (Value, error) {
	v, err := r.eval(of, s)
	if err != nil {
		return nil, err
	}
	var bounds [3]Value
	for i, b := range []expr{x.start, x.stop, x.step} {
		if b == nil {
			continue
		}
		if bounds[i], err = r.eval(b, s); err != nil {
			return nil, err
		}
	}
	return r.getSlice(v, bounds)
}

func (x *call) eval(r *run, s *scope) (Value, error) { return x.with(r, s) }

// with calls with extra keywords behind the written ones.
func (x *call) with(r *run, s *scope, extra ...keyword) (Value, error) {
	fn, err := r.eval(x.fn, s)
	if err != nil {
		return nil, err
	}
	a, err := r.evalArgs(&x.args, s)
	if err != nil {
		return nil, err
	}
	a.kw = append(a.kw, extra...)
	v, err := r.call(fn, a)
	return v, at(err, x.line)
}

func (r *run) evalArgs(c *callArgs, s *scope) (args, error) {
	pos, err := r.evalAll(c.pos, s)
	if err != nil {
		return args{}, err
	}
	a := args{pos: pos}
	for i, x := range c.kwValues {
		v, err := r.eval(x, s)
		if err != nil {
			return args{}, err
		}
		a.kw = append(a.kw, keyword{c.kwNames[i], v})
	}
	if c.star != nil {
		if err := r.evalStar(&a, c.star, s); err != nil {
			return args{}, err
		}
	}
	if c.starstar != nil {
		if err := r.evalStarStar(&a, c.starstar, s); err != nil {
			return args{}, err
		}
	}
	return a, nil
}

func (r *run) evalStar(a *args, x expr, s *scope) error {
	v, err := r.eval(x, s)
	if err != nil {
		return err
	}
	items, err := r.collect(v)
	a.pos = append(a.pos[:len(a.pos):len(a.pos)], items...)
	return err
}

func (r *run) evalStarStar(a *args, x expr, s *scope) error {
	v, err := r.eval(x, s)
	if err != nil {
		return err
	}
	d, ok := v.(*Dict)
	if !ok {
		return errorf(TypeError, "argument after ** must be a mapping, not %s", typeName(v))
	}
	for i, k := range d.keys {
		id, ok := str(k)
		if !ok {
			return errorf(TypeError, "keywords must be strings")
		}
		a.kw = append(a.kw, keyword{id, d.values[i]})
	}
	return r.growItems(2 * d.Len())
}

func (x *filter) eval(r *run, s *scope) (Value, error) {
	var v Value = r.filtered
	if x.of != nil {
		var err error
		if v, err = r.eval(x.of, s); err != nil {
			return nil, err
		}
	}
	a, err := r.evalArgs(&x.args, s)
	if err != nil {
		return nil, err
	}
	return x.fn.invoke(r, x.name, v, a)
}

func (x *test) eval(r *run, s *scope) (Value, error) {
	v, err := r.eval(x.of, s)
	if err != nil {
		return nil, err
	}
	a, err := r.evalArgs(&x.args, s)
	if err != nil {
		return nil, err
	}
	return x.fn.invoke(r, x.name, v, a)
}

func (x *not) eval(r *run, s *scope) (Value, error) {
	v, err := r.eval(x.x, s)
	return !truth(v), err
}

func (x *negative) eval(r *run, s *scope) (Value, error) {
	v, err := r.eval(x.x, s)
	if err != nil {
		return nil, err
	}
	return r.negate(v)
}

func (x *positive) eval(r *run, s *scope) (Value, error) {
	v, err := r.eval(x.x, s)
	if err != nil {
		return nil, err
	}
	if b, ok := v.(bool); ok {
		v, _ = small64(b)
	}
	if !isNumber(v) {
		return nil, errorf(TypeError, "bad operand type for unary +: '%s'", typeName(v))
	}
	return v, nil
}

func (x *binary) eval(r *run, s *scope) (Value, error) {
	a, b, err := r.evalPair(x.a, x.b, s)
	if err != nil {
		return nil, err
	}
	return r.binary(x.op, a, b)
}

func (x *and) eval(r *run, s *scope) (Value, error) {
	v, err := r.eval(x.a, s)
	if err != nil || !truth(v) {
		return v, err
	}
	return r.eval(x.b, s)
}

func (x *or) eval(r *run, s *scope) (Value, error) {
	v, err := r.eval(x.a, s)
	if err != nil || truth(v) {
		return v, err
	}
	return r.eval(x.b, s)
}

// A chain a < b < c holds if every pair does; what follows a pair that does not is not computed.
func (x *comparison) eval(r *run, s *scope) (Value, error) {
	a, err := r.eval(x.first, s)
	if err != nil {
		return nil, err
	}
	for i, op := range x.ops {
		b, err := r.eval(x.rest[i], s)
		if err != nil {
			return nil, err
		}
		if ok, err := r.holds(op, a, b); err != nil || !ok {
			return false, err
		}
		a = b
	}
	return true, nil
}

func (r *run) holds(op string, a, b Value) (bool, error) {
	switch op {
	case "==", "!=":
		same, err := r.equal(a, b, 0)
		return same == (op == "=="), err
	case "in", "not in":
		found, err := r.contains(a, b)
		return found == (op == "in"), err
	}
	order, ok, err := r.compare(op, a, b, 0)
	if err != nil || !ok {
		return false, err
	}
	switch op {
	case "<":
		return order < 0, nil
	case "<=":
		return order <= 0, nil
	case ">":
		return order > 0, nil
	}
	return order >= 0, nil
}

func (x *concat) eval(r *run, s *scope) (Value, error) {
	var b strings.Builder
	for _, part := range x.parts {
		v, err := r.eval(part, s)
		if err != nil {
			return nil, err
		}
		t, err := r.text(v)
		if err != nil {
			return nil, err
		}
		if err := r.grow(len(t)); err != nil {
			return nil, err
		}
		b.WriteString(t)
	}
	return b.String(), nil
}

func (x *cond) eval(r *run, s *scope) (Value, error) {
	v, err := r.eval(x.test, s)
	switch {
	case err != nil:
		return nil, err
	case truth(v):
		return r.eval(x.yes, s)
	case x.no != nil:
		return r.eval(x.no, s)
	}
	return undefinedf("the inline if-expression evaluated to false and no else section was defined."), nil
}
