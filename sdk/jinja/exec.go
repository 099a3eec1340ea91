package jinja

import (
	"context"
	"strings"
	"time"
)

// Input is what a template is rendered with.
type Input struct {
	Vars   map[string]Value
	Now    func() time.Time // for strftime_now; nil means time.Now
	Limits Limits
}

// Render runs the template. The error is an *Error or the context's, which is looked at now and then.
func (t *Template) Render(ctx context.Context, in Input) (string, error) {
	r := &run{ctx: ctx, env: standard(), vars: in.Vars, now: in.Now, limits: in.Limits.orDefault()}
	if r.now == nil {
		r.now = time.Now
	}
	text, _, err := r.capture(t.body, &scope{})
	if r.left != nil {
		return "", r.left
	}
	return text, err
}

// run is one rendering.
type run struct {
	ctx      context.Context
	left     error // the context's, once it was seen
	env      *environment
	vars     map[string]Value
	now      func() time.Time
	limits   Limits
	out      *strings.Builder
	filtered string // what a filter block or a filtered set hands to its filters

	steps, depth, memory int
	looked               int // at which step the context was looked at last
}

// scope holds the names set in one block; those around it are found through parent.
type scope struct {
	names  []string
	values []Value
	parent *scope
}

func (s *scope) child() *scope { return &scope{parent: s} }

func (s *scope) set(id string, v Value) {
	for i, n := range s.names {
		if n == id {
			s.values[i] = v
			return
		}
	}
	s.names, s.values = append(s.names, id), append(s.values, v)
}

func (r *run) lookup(s *scope, id string) Value {
	for ; s != nil; s = s.parent {
		for i, n := range s.names {
			if n == id {
				return s.values[i]
			}
		}
	}
	if v, ok := r.vars[id]; ok {
		return v
	}
	if v, ok := r.env.globals[id]; ok {
		return v
	}
	return undefinedf("%s is undefined", reprString(id))
}

func (r *run) exec(body []stmt, s *scope) (signal, error) {
	for _, st := range body {
		if err := r.step(1); err != nil {
			return proceed, err
		}
		if err := r.enter(); err != nil {
			return proceed, err
		}
		sig, err := st.exec(r, s)
		r.leave()
		if err != nil || sig != proceed {
			return sig, err
		}
	}
	return proceed, nil
}

// capture runs body and returns what it prints.
func (r *run) capture(body []stmt, s *scope) (string, signal, error) {
	outer := r.out
	r.out = &strings.Builder{}
	sig, err := r.exec(body, s)
	text := r.out.String()
	r.out = outer
	return text, sig, err
}

func (r *run) write(s string) error {
	if len(s) > r.limits.Output-r.out.Len() {
		return errorf(LimitError, "the template prints more than %d bytes", r.limits.Output)
	}
	r.out.WriteString(s)
	return r.grow(len(s))
}

// print writes a value as text.
func (r *run) print(v Value) error {
	t, err := r.text(v)
	if err != nil {
		return err
	}
	return r.write(t)
}

func (st *text) exec(r *run, _ *scope) (signal, error) { return proceed, r.write(st.s) }

func (st *output) exec(r *run, s *scope) (signal, error) {
	v, err := r.eval(st.x, s)
	if err == nil {
		err = r.print(v)
	}
	return proceed, at(err, st.line)
}

func (st *ifStmt) exec(r *run, s *scope) (signal, error) {
	for i, test := range st.tests {
		v, err := r.eval(test, s)
		if err != nil {
			return proceed, at(err, st.line)
		}
		if truth(v) {
			return r.exec(st.bodies[i], s)
		}
	}
	return r.exec(st.other, s)
}

func (st *setStmt) exec(r *run, s *scope) (signal, error) {
	if st.target.attr != "" {
		if _, err := r.namespace(&st.target, s); err != nil {
			return proceed, at(err, st.line)
		}
	}
	v, err := r.eval(st.value, s)
	if err == nil {
		err = r.store(&st.target, v, s)
	}
	return proceed, at(err, st.line)
}

func (st *setBlock) exec(r *run, s *scope) (signal, error) {
	text, err := r.filteredText(st.body, st.filter, s)
	if err == nil {
		err = r.store(&st.target, text, s)
	}
	return proceed, at(err, st.line)
}

// filteredText runs body in a scope of its own and sends what it prints through filters, if there are any.
func (r *run) filteredText(body []stmt, filters expr, s *scope) (Value, error) {
	text, _, err := r.capture(body, s.child())
	if err != nil || filters == nil {
		return text, err
	}
	outer := r.filtered
	r.filtered = text
	v, err := r.eval(filters, s)
	r.filtered = outer
	return v, err
}

func (st *filterStmt) exec(r *run, s *scope) (signal, error) {
	v, err := r.filteredText(st.body, st.filter, s)
	if err == nil {
		err = r.print(v)
	}
	return proceed, at(err, st.line)
}

// store puts v where t says.
func (r *run) store(t *target, v Value, s *scope) error {
	switch {
	case t.parts != nil:
		return r.unpack(t.parts, v, s)
	case t.attr == "":
		s.set(t.name, v)
		return r.growItems(2)
	}
	ns, err := r.namespace(t, s)
	if err != nil {
		return err
	}
	ns.vars.Set(t.attr, v)
	return r.growItems(2)
}

func (r *run) namespace(t *target, s *scope) (*namespace, error) {
	ns, ok := r.lookup(s, t.name).(*namespace)
	if !ok {
		return nil, errorf(RuntimeError, "cannot assign attribute on non-namespace object")
	}
	return ns, nil
}

func (r *run) unpack(parts []target, v Value, s *scope) error {
	next, err := r.iterate(v)
	if err != nil {
		return errorf(TypeError, "cannot unpack non-iterable %s object", typeName(v))
	}
	for i := range parts {
		item, ok, err := next()
		switch {
		case err != nil:
			return err
		case !ok:
			return errorf(ValueError, "not enough values to unpack (expected %d, got %d)", len(parts), i)
		}
		if err := r.store(&parts[i], item, s); err != nil {
			return err
		}
	}
	if _, more, err := next(); err != nil || !more {
		return err
	}
	return errorf(ValueError, "too many values to unpack (expected %d)", len(parts))
}

func (st *macroStmt) exec(_ *run, s *scope) (signal, error) {
	s.set(st.name, st.def.bind(s))
	return proceed, nil
}

func (st *callStmt) exec(r *run, s *scope) (signal, error) {
	v, err := st.call.with(r, s, keyword{"caller", st.caller.bind(s)})
	if err != nil {
		return proceed, at(err, st.line)
	}
	t, err := r.text(v)
	if err == nil {
		err = r.write(t)
	}
	return proceed, at(err, st.line)
}

func (st *withStmt) exec(r *run, s *scope) (signal, error) {
	inner := s.child()
	for i := range st.targets {
		v, err := r.eval(st.values[i], s)
		if err == nil {
			err = r.store(&st.targets[i], v, inner)
		}
		if err != nil {
			return proceed, at(err, st.line)
		}
	}
	return r.exec(st.body, inner)
}

func (st *blockStmt) exec(r *run, s *scope) (signal, error) { return r.exec(st.body, s.child()) }
func (st *loopSignal) exec(*run, *scope) (signal, error)    { return st.signal, nil }
