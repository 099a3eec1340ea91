package jinja

import "math"

// methods.go has the methods of dict, list, tuple, range and float that change nothing.

func onDict(f func(r *run, d *Dict, a []Value) (Value, error), params ...param) builtin {
	return builtin{params: params, run: func(r *run, self Value, a args) (Value, error) {
		d := self.(*Dict) // the table is only reached with one
		if err := r.step(1); err != nil {
			return nil, err
		}
		return f(r, d, a.pos)
	}}
}

func dictMethods() map[string]builtin {
	return map[string]builtin{
		"get":  onDict(dictGet, need("key"), opt("default", nil)),
		"keys": onDict(func(r *run, d *Dict, _ []Value) (Value, error) { return &view{"keys", d.keys}, nil }),
		"items": onDict(func(r *run, d *Dict, _ []Value) (Value, error) {
			return &view{"items", d.items()}, r.growItems(3 * d.Len())
		}),
		"values": onDict(func(r *run, d *Dict, _ []Value) (Value, error) { return &view{"values", d.values}, nil }),
		"copy":   onDict(func(r *run, d *Dict, _ []Value) (Value, error) { return d.copy(), r.growItems(4 * d.Len()) }),
	}
}

func dictGet(r *run, d *Dict, a []Value) (Value, error) {
	h, err := r.hash(a[0], 0)
	if err != nil {
		return nil, err
	}
	if v, ok := d.find(h); ok {
		return v, nil
	}
	return a[1], nil
}

func sequenceMethod(f func(r *run, items []Value, v Value) (Value, error)) builtin {
	return builtin{params: []param{need("value")}, run: func(r *run, self Value, a args) (Value, error) {
		items, err := r.collect(self)
		if err != nil {
			return nil, err
		}
		return f(r, items, a.pos[0])
	}}
}

func countItem(r *run, items []Value, v Value) (Value, error) {
	n := int64(0)
	for _, x := range items {
		same, err := r.equal(x, v, 0)
		if err != nil {
			return nil, err
		}
		if same {
			n++
		}
	}
	return n, nil
}

func indexItem(r *run, items []Value, v Value) (Value, error) {
	for i, x := range items {
		same, err := r.equal(x, v, 0)
		if err != nil {
			return nil, err
		}
		if same {
			return int64(i), nil
		}
	}
	s, err := r.repr(v)
	if err != nil {
		return nil, err
	}
	return nil, errorf(ValueError, "%s is not in list", s)
}

func tupleMethods() map[string]builtin {
	return map[string]builtin{"count": sequenceMethod(countItem), "index": sequenceMethod(indexItem)}
}

func listMethods() map[string]builtin {
	m := tupleMethods()
	m["copy"] = builtin{run: func(_ *run, self Value, _ args) (Value, error) { return self, nil }} // nothing can change either
	return m
}

func floatMethods() map[string]builtin {
	return map[string]builtin{"is_integer": {run: func(_ *run, self Value, _ args) (Value, error) {
		f := self.(float64)
		return f == math.Trunc(f) && !math.IsInf(f, 0), nil
	}}}
}
