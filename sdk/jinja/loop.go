package jinja

// loop.go runs {% for %}. Items are fetched one at a time and one ahead only if the template asks (loop.last,
// loop.nextitem): a condition on the items may depend on what the body has set so far.

func (st *forStmt) exec(r *run, s *scope) (signal, error) {
	v, err := r.eval(st.in, s)
	if err != nil {
		return proceed, at(err, st.line)
	}
	sig, err := st.over(r, v, s, 0)
	return sig, at(err, st.line)
}

func (st *forStmt) over(r *run, v Value, s *scope, depth int) (signal, error) {
	next, err := r.iterate(v)
	if err != nil {
		return proceed, err
	}
	if st.filter != nil {
		next = st.filtered(r, next, s)
	}
	l := &loop{fetch: next, depth0: depth, index0: -1, known: -1}
	if st.recursive {
		l.again = func(r *run, v Value) (Value, error) { return st.nested(r, v, s, depth+1) }
	}
	finished := false // a body, to its end: else is also for loops of which every round was broken off, as in the reference
	for {
		item, ok, err := l.advance()
		if err != nil {
			return proceed, err
		}
		if !ok {
			break
		}
		sig, err := st.once(r, item, l, s.child())
		if err != nil {
			return proceed, err
		}
		finished = finished || sig == proceed
		if sig == breakLoop {
			break
		}
	}
	if finished {
		return proceed, nil
	}
	return r.exec(st.other, s.child())
}

func (st *forStmt) once(r *run, item Value, l *loop, s *scope) (signal, error) {
	if err := r.step(1); err != nil {
		return proceed, err
	}
	if err := r.store(&st.target, item, s); err != nil {
		return proceed, err
	}
	s.set("loop", l)
	return r.exec(st.body, s)
}

// filtered gives the items for which the loop's condition holds.
func (st *forStmt) filtered(r *run, items next, s *scope) next {
	return func() (Value, bool, error) {
		for {
			item, ok, err := items()
			if err != nil || !ok {
				return nil, false, err
			}
			inner := s.child()
			if err := r.store(&st.target, item, inner); err != nil {
				return nil, false, err
			}
			v, err := r.eval(st.filter, inner)
			if err != nil {
				return nil, false, err
			}
			if truth(v) {
				return item, true, nil
			}
		}
	}
}

func (st *forStmt) nested(r *run, v Value, s *scope, depth int) (Value, error) {
	if err := r.enter(); err != nil {
		return nil, err
	}
	defer r.leave()
	inner := &forStmt{target: st.target, filter: st.filter, body: st.body, other: st.other, recursive: true}
	text, _, err := r.capture([]stmt{loopOver{inner, v, depth}}, s)
	return text, err
}

// loopOver is a for statement that already has its items.
type loopOver struct {
	st    *forStmt
	items Value
	depth int
}

func (st loopOver) exec(r *run, s *scope) (signal, error) {
	return st.st.over(r, st.items, s, st.depth)
}

// loop is the variable of that name.
type loop struct {
	fetch     next
	ahead     []Value // fetched, but not visited yet
	prev, now Value
	index0    int // -1 before the first item
	known     int // the number of items, -1 if it is not known
	depth0    int
	again     func(r *run, v Value) (Value, error) // nil unless recursive
	last      []Value                              // what changed() was called with
	asked     bool                                 // changed() was called
}

func (l *loop) typeName() string { return "LoopContext" }

func (l *loop) advance() (Value, bool, error) {
	if err := l.peek(1); err != nil {
		return nil, false, err
	}
	if len(l.ahead) == 0 {
		return nil, false, nil
	}
	l.prev, l.now = l.now, l.ahead[0]
	l.ahead = l.ahead[1:]
	l.index0++
	return l.now, true, nil
}

// peek fetches until n items are ahead, or there are no more.
func (l *loop) peek(n int) error {
	for len(l.ahead) < n {
		v, ok, err := l.fetch()
		if err != nil || !ok {
			return err
		}
		l.ahead = append(l.ahead, v)
	}
	return nil
}

func (l *loop) length() (int, error) {
	if l.known < 0 {
		if err := l.peek(1 << 62); err != nil {
			return 0, err
		}
		l.known = l.index0 + 1 + len(l.ahead)
	}
	return l.known, nil
}

func (l *loop) attr(id string) (Value, bool, error) {
	switch id {
	case "index":
		return int64(l.index0 + 1), true, nil
	case "index0":
		return int64(l.index0), true, nil
	case "first":
		return l.index0 == 0, true, nil
	case "depth":
		return int64(l.depth0 + 1), true, nil
	case "depth0":
		return int64(l.depth0), true, nil
	case "previtem":
		if l.index0 == 0 {
			return undefinedf("there is no previous item"), true, nil
		}
		return l.prev, true, nil
	case "changed":
		return &function{name: "changed", call: l.changed}, true, nil
	case "cycle":
		return &function{name: "cycle", call: l.cycle}, true, nil
	}
	return l.attrAhead(id)
}

// attrAhead has the attributes that need items not visited yet.
func (l *loop) attrAhead(id string) (Value, bool, error) {
	switch id {
	case "last":
		err := l.peek(1)
		return len(l.ahead) == 0, true, err
	case "nextitem":
		if err := l.peek(1); err != nil || len(l.ahead) > 0 {
			return first(l.ahead), true, err
		}
		return undefinedf("there is no next item"), true, nil
	case "length", "revindex", "revindex0":
		n, err := l.length()
		switch id {
		case "revindex":
			n -= l.index0
		case "revindex0":
			n -= l.index0 + 1
		}
		return int64(n), true, err
	}
	return nil, false, nil
}

func first(items []Value) Value {
	if len(items) == 0 {
		return nil
	}
	return items[0]
}

func (l *loop) changed(r *run, a args) (Value, error) {
	same := l.asked
	if same {
		var err error
		if same, err = r.equalItems(l.last, a.pos, 0); err != nil {
			return nil, err
		}
	}
	l.last, l.asked = a.pos, true
	return !same, nil
}

func (l *loop) cycle(_ *run, a args) (Value, error) {
	if len(a.pos) == 0 {
		return nil, errorf(TypeError, "no items for cycling given")
	}
	return a.pos[l.index0%len(a.pos)], nil
}

func (l *loop) recurse(r *run, a args) (Value, error) {
	if l.again == nil {
		return nil, errorf(TypeError, "The loop must have the 'recursive' marker to be called recursively.")
	}
	pos, err := bind("loop", []param{need("iterable")}, a)
	if err != nil {
		return nil, err
	}
	return l.again(r, pos[0])
}
