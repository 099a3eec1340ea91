package jinja

// globals.go has the functions that every template finds.

func standardGlobals() map[string]Value {
	all := map[string]Value{}
	for name, f := range map[string]func(*run, args) (Value, error){
		"range": newRange, "dict": newDict, "namespace": newNamespace, "cycler": newCycler, "joiner": newJoiner,
		"raise_exception": raiseException, "strftime_now": strftimeNow, "lipsum": noLipsum,
	} {
		all[name] = &function{name: name, call: f}
	}
	return all
}

func noLipsum(*run, args) (Value, error) {
	return nil, errorf(RuntimeError, "lipsum() is not available: a prompt must not be random")
}

func raiseException(r *run, a args) (Value, error) {
	pos, err := bind("raise_exception", []param{need("message")}, a)
	if err != nil {
		return nil, err
	}
	s, err := r.text(pos[0])
	if err != nil {
		return nil, err
	}
	return nil, &Error{Kind: Raised, Message: s}
}

func strftimeNow(r *run, a args) (Value, error) {
	pos, err := bind("strftime_now", []param{need("format")}, a)
	if err != nil {
		return nil, err
	}
	format, err := strArg(pos[0])
	if err != nil {
		return nil, err
	}
	s := strftime(r.now(), format)
	return s, r.grow(len(s))
}

func newRange(_ *run, a args) (Value, error) {
	if len(a.kw) > 0 {
		return nil, errorf(TypeError, "range() takes no keyword arguments")
	}
	if len(a.pos) < 1 || len(a.pos) > 3 {
		return nil, errorf(TypeError, "range expected 1 to 3 arguments, got %d", len(a.pos))
	}
	var n [3]int64
	for i, v := range a.pos {
		k, err := toInt(v)
		if err != nil {
			return nil, err
		}
		n[i] = int64(k)
	}
	g := rangeValue{n[0], n[1], n[2]}
	switch len(a.pos) {
	case 1:
		g = rangeValue{0, n[0], 1}
	case 2:
		g.step = 1
	}
	if g.step == 0 {
		return nil, errorf(ValueError, "range() arg 3 must not be zero")
	}
	if size := float64(g.stop-g.start) / float64(g.step); size > maxRange {
		return nil, errorf(OverflowError, "Range too big. The sandbox blocks ranges larger than MAX_RANGE (%d).", maxRange)
	}
	return g, nil
}

// newDict is dict(mapping or pairs, key=value...).
func newDict(r *run, a args) (Value, error) { return r.makeDict("dict", a) }

func (r *run) makeDict(name string, a args) (*Dict, error) {
	if len(a.pos) > 1 {
		return nil, errorf(TypeError, "%s expected at most 1 argument, got %d", name, len(a.pos))
	}
	d := &Dict{}
	for _, from := range a.pos {
		if source, ok := from.(*Dict); ok {
			d = source.copy()
			if err := r.growItems(4 * d.Len()); err != nil {
				return nil, err
			}
			continue
		}
		pairs, err := r.collect(from)
		if err != nil {
			return nil, err
		}
		for _, p := range pairs {
			kv, err := r.collect(p)
			if err != nil {
				return nil, err
			}
			if len(kv) != 2 {
				return nil, errorf(ValueError, "dictionary update sequence element has length %d; 2 is required", len(kv))
			}
			if err := r.putItem(d, kv[0], kv[1]); err != nil {
				return nil, err
			}
		}
	}
	for _, k := range a.kw {
		d.Set(k.name, k.value)
	}
	return d, r.growItems(3 * len(a.kw))
}

func newNamespace(r *run, a args) (Value, error) {
	d, err := r.makeDict("namespace", a)
	if err != nil {
		return nil, err
	}
	return &namespace{d}, nil
}

// cycler gives its items one after another, again and again.
type cycler struct {
	items []Value
	pos   int
}

func newCycler(_ *run, a args) (Value, error) {
	if len(a.pos) == 0 {
		return nil, errorf(RuntimeError, "at least one item has to be provided")
	}
	return &cycler{items: a.pos}, nil
}

func (c *cycler) typeName() string { return "Cycler" }

func (c *cycler) attr(id string) (Value, bool, error) {
	switch id {
	case "current":
		return c.items[c.pos], true, nil
	case "next":
		return &function{name: id, call: func(*run, args) (Value, error) {
			v := c.items[c.pos]
			c.pos = (c.pos + 1) % len(c.items)
			return v, nil
		}}, true, nil
	case "reset":
		return &function{name: id, call: func(*run, args) (Value, error) { c.pos = 0; return nil, nil }}, true, nil
	}
	return nil, false, nil
}

// joiner is called between items: it gives nothing the first time and its separator from then on.
type joiner struct {
	sep  Value
	used bool
}

func newJoiner(_ *run, a args) (Value, error) {
	pos, err := bind("joiner", []param{opt("sep", ", ")}, a)
	if err != nil {
		return nil, err
	}
	return &joiner{sep: pos[0]}, nil
}

func (j *joiner) typeName() string { return "Joiner" }

func (j *joiner) attr(id string) (Value, bool, error) {
	switch id {
	case "sep":
		return j.sep, true, nil
	case "used":
		return j.used, true, nil
	}
	return nil, false, nil
}

func (j *joiner) call(args) (Value, error) {
	if !j.used {
		j.used = true
		return "", nil
	}
	return j.sep, nil
}
