package jinja

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// filters_sequence.go has the filters that walk, join and measure.

func sequenceFilters() map[string]builtin {
	length := builtin{run: lengthFilter}
	fallback := builtin{params: []param{opt("default_value", ""), opt("boolean", false)}, run: defaultFilter}
	order := []param{opt("case_sensitive", false), opt("attribute", nil)}
	return map[string]builtin{
		"list":     {run: func(r *run, v Value, _ args) (Value, error) { items, err := r.collect(v); return &List{items}, err }},
		"length":   length,
		"count":    length,
		"default":  fallback,
		"d":        fallback,
		"attr":     {params: []param{need("name")}, run: attrFilter},
		"items":    {run: itemsFilter},
		"first":    {run: firstFilter},
		"last":     {run: lastFilter},
		"join":     {params: []param{opt("d", ""), opt("attribute", nil)}, run: joinFilter},
		"reverse":  {run: reverseFilter},
		"sort":     {params: append([]param{opt("reverse", false)}, order...), run: sortFilter},
		"min":      {params: order, run: extreme(func(order int) bool { return order < 0 })},
		"max":      {params: order, run: extreme(func(order int) bool { return order > 0 })},
		"sum":      {params: []param{opt("attribute", nil), opt("start", int64(0))}, run: sumFilter},
		"dictsort": {params: []param{opt("case_sensitive", false), opt("by", "key"), opt("reverse", false)}, run: dictsortFilter},
	}
}

func lengthFilter(r *run, v Value, _ args) (Value, error) {
	if s, ok := str(v); ok {
		return int64(utf8.RuneCountInString(s)), r.scan(len(s))
	}
	if l, ok := v.(*loop); ok {
		n, err := l.length()
		return int64(n), err
	}
	n, ok := length(v)
	if !ok {
		return nil, errorf(TypeError, "object of type '%s' has no len()", typeName(v))
	}
	return int64(n), nil
}

func defaultFilter(_ *run, v Value, a args) (Value, error) {
	if _, missing := v.(*undefined); missing || truth(a.pos[1]) && !truth(v) {
		return a.pos[0], nil
	}
	return v, nil
}

func attrFilter(r *run, v Value, a args) (Value, error) {
	id, err := r.text(a.pos[0])
	if err != nil {
		return nil, err
	}
	got, ok, err := r.pythonAttr(v, id)
	if !ok && err == nil {
		return noAttr(v, id), nil
	}
	return got, err
}

func itemsFilter(r *run, v Value, _ args) (Value, error) {
	switch v := v.(type) {
	case *Dict:
		return &generator{overSlice(v.items())}, r.growItems(3 * v.Len())
	case *undefined:
		return &generator{overSlice(nil)}, nil
	}
	return &generator{func() (Value, bool, error) {
		return nil, false, errorf(TypeError, "Can only get item pairs from a mapping.")
	}}, nil
}

func firstFilter(r *run, v Value, _ args) (Value, error) {
	next, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	item, ok, err := next()
	if err != nil || ok {
		return item, err
	}
	return undefinedf("No first item, sequence was empty."), nil
}

// backwards returns the items of v, last first, if Python can walk it that way.
func (r *run) backwards(v Value) ([]Value, bool, error) {
	switch v.(type) {
	case *generator, *loop:
		return nil, false, nil
	}
	items, err := r.collect(v)
	if err != nil {
		return nil, false, err
	}
	items = slices.Clone(items)
	slices.Reverse(items)
	return items, true, r.growItems(len(items))
}

func lastFilter(r *run, v Value, _ args) (Value, error) {
	items, ok, err := r.backwards(v)
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return nil, errorf(TypeError, "'%s' object is not reversible", typeName(v))
	case len(items) == 0:
		return undefinedf("No last item, sequence was empty."), nil
	}
	return items[0], nil
}

func reverseFilter(r *run, v Value, _ args) (Value, error) {
	if s, ok := str(v); ok {
		runes := []rune(s)
		slices.Reverse(runes)
		return string(runes), r.grow(5 * len(s))
	}
	items, ok, err := r.backwards(v)
	if e, failed := err.(*Error); failed && e.Kind == TypeError {
		return nil, errorf(FilterArgument, "argument must be iterable")
	}
	if err != nil {
		return nil, err
	}
	if ok {
		return &generator{overSlice(items)}, nil
	}
	if items, err = r.collect(v); err != nil {
		return nil, err
	}
	items = slices.Clone(items)
	slices.Reverse(items)
	return &List{items}, nil
}

func joinFilter(r *run, v Value, a args) (Value, error) {
	sep, err := r.text(a.pos[0])
	if err != nil {
		return nil, err
	}
	items, err := r.collect(v)
	if err != nil {
		return nil, err
	}
	parts := make([]string, len(items))
	for i, item := range items {
		if a.pos[1] != nil {
			if item, err = r.path(item, a.pos[1], nil); err != nil {
				return nil, err
			}
		}
		if parts[i], err = r.text(item); err != nil {
			return nil, err
		}
	}
	return r.joinStrings(parts, sep)
}

// path follows an attribute such as "function.name" or "0.id" from v; fallback, if not nil, stands for what is missing.
func (r *run) path(v, attribute, fallback Value) (Value, error) {
	keys := []Value{attribute}
	if s, ok := str(attribute); ok {
		const perLetter = 4 // each may be a name that is looked up
		if err := r.step(perLetter * len(s)); err != nil {
			return nil, err
		}
		keys = nil
		for _, part := range strings.Split(s, ".") {
			var key Value = part
			if part != "" && isDigit(rune(part[0])) {
				if n, ok := parseInt(part, 10); ok {
					key = fromBig(n)
				}
			}
			keys = append(keys, key)
		}
	}
	for _, k := range keys {
		var err error
		if v, err = r.getItem(v, k); err != nil {
			return nil, err
		}
		if _, missing := v.(*undefined); missing && fallback != nil {
			v = fallback
		}
	}
	return v, nil
}

func sumFilter(r *run, v Value, a args) (Value, error) {
	items, err := r.collect(v)
	if err != nil {
		return nil, err
	}
	total := a.pos[1]
	if _, ok := str(total); ok {
		return nil, errorf(TypeError, "sum() can't sum strings [use ''.join(seq) instead]")
	}
	for _, item := range items {
		if a.pos[0] != nil {
			if item, err = r.path(item, a.pos[0], nil); err != nil {
				return nil, err
			}
		}
		if total, err = r.binary("+", total, item); err != nil {
			return nil, err
		}
	}
	return total, nil
}
