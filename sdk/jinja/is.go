package jinja

import "math/big"

// is.go has the tests: what can follow "is".

func standardTests() map[string]builtin {
	all := map[string]builtin{
		"defined":     check(func(v Value) bool { _, ok := v.(*undefined); return !ok }),
		"undefined":   check(func(v Value) bool { _, ok := v.(*undefined); return ok }),
		"none":        check(func(v Value) bool { return v == nil }),
		"boolean":     check(func(v Value) bool { _, ok := v.(bool); return ok }),
		"true":        check(func(v Value) bool { b, ok := v.(bool); return ok && b }),
		"false":       check(func(v Value) bool { b, ok := v.(bool); return ok && !b }),
		"integer":     check(isInteger),
		"float":       check(func(v Value) bool { _, ok := v.(float64); return ok }),
		"number":      check(isNumber),
		"string":      check(func(v Value) bool { _, ok := str(v); return ok }),
		"mapping":     check(func(v Value) bool { _, ok := v.(*Dict); return ok }),
		"iterable":    check(isIterable),
		"sequence":    check(isSequence),
		"callable":    check(callable),
		"escaped":     check(func(v Value) bool { _, ok := v.(Markup); return ok }),
		"lower":       {run: spelt(isLowerString)},
		"upper":       {run: spelt(isUpperString)},
		"odd":         {run: remainder(2, 1)},
		"even":        {run: remainder(2, 0)},
		"divisibleby": {params: []param{need("num")}, run: divisible},
		"sameas":      {params: []param{need("other")}, run: func(r *run, v Value, a args) (Value, error) { return same(v, a.pos[0]), r.scanText(v) }},
		"in":          {params: []param{need("seq")}, run: func(r *run, v Value, a args) (Value, error) { return r.contains(v, a.pos[0]) }},
		"filter":      {run: func(r *run, v Value, _ args) (Value, error) { return r.named(r.env.filters, v) }},
		"test":        {run: func(r *run, v Value, _ args) (Value, error) { return r.named(r.env.tests, v) }},
	}
	for _, op := range [][]string{{"==", "eq", "equalto"}, {"!=", "ne"}, {">", "gt", "greaterthan"}, {">=", "ge"}, {"<", "lt", "lessthan"}, {"<=", "le"}} {
		for _, id := range op {
			all[id] = builtin{params: []param{need("b")}, run: func(r *run, v Value, a args) (Value, error) { return r.holds(op[0], v, a.pos[0]) }}
		}
	}
	return all
}

func check(f func(v Value) bool) builtin {
	return builtin{run: func(_ *run, v Value, _ args) (Value, error) { return f(v), nil }}
}

func isInteger(v Value) bool {
	switch v.(type) {
	case int64, *big.Int:
		return true
	}
	return false
}

func isIterable(v Value) bool {
	switch v.(type) {
	case string, Markup, *List, *Tuple, *Dict, rangeValue, *view, *generator, *undefined, *loop:
		return true
	}
	return false
}

// isSequence: it has a length and can be indexed; in Python that includes mappings.
func isSequence(v Value) bool {
	switch v.(type) {
	case string, Markup, *List, *Tuple, *Dict, rangeValue, *undefined:
		return true
	}
	return false
}

func spelt(f func(string) bool) func(*run, Value, args) (Value, error) {
	return func(r *run, v Value, _ args) (Value, error) {
		s, err := r.text(v)
		if err == nil {
			err = r.read(len(s))
		}
		return err == nil && f(s), err
	}
}

func remainder(n, want int64) func(*run, Value, args) (Value, error) {
	return func(r *run, v Value, _ args) (Value, error) {
		m, err := r.binary("%", v, n)
		if err != nil {
			return nil, err
		}
		return r.equal(m, want, 0)
	}
}

func divisible(r *run, v Value, a args) (Value, error) {
	m, err := r.binary("%", v, a.pos[0])
	if err != nil {
		return nil, err
	}
	return r.equal(m, int64(0), 0)
}

// same is Python's "is". Equal numbers and strings count as the same object, as they usually are.
func same(a, b Value) bool {
	if _, tuple := a.(*Tuple); !tuple && typeName(a) != typeName(b) {
		return false
	}
	if x, ok := a.(*big.Int); ok {
		y, ok := b.(*big.Int)
		return ok && x.Cmp(y) == 0
	}
	return a == b
}

func (r *run) named(table map[string]builtin, v Value) (Value, error) {
	if _, err := r.hash(v, 0); err != nil {
		return nil, err
	}
	s, _ := str(v)
	_, ok := table[s]
	return ok, nil
}
