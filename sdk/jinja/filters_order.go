package jinja

// filters_order.go has the filters that sort, and the keys they sort by.

import (
	"slices"
	"strings"
)

// sortKey is what an item is ordered by: itself or an attribute, in small letters unless caseSensitive.
func (r *run) sortKey(v, attribute Value, caseSensitive bool) (Value, error) {
	if attribute != nil {
		var err error
		if v, err = r.path(v, attribute, nil); err != nil {
			return nil, err
		}
	}
	if caseSensitive {
		return v, nil
	}
	return r.folded(v)
}

// folded is v, in small letters if it is text.
func (r *run) folded(v Value) (Value, error) {
	s, ok := str(v)
	if !ok {
		return v, nil
	}
	if err := r.read(len(s)); err != nil {
		return nil, err
	}
	return toLower(s), r.grow(len(s))
}

// sortKeys is the list of what an item is ordered by, one for each of the attributes "a,b".
func (r *run) sortKeys(v, attribute Value, caseSensitive bool) (Value, error) {
	attributes := []Value{attribute}
	if s, ok := str(attribute); ok {
		attributes = nil
		for _, part := range strings.Split(s, ",") {
			attributes = append(attributes, part)
		}
	}
	keys := make([]Value, len(attributes))
	for i, at := range attributes {
		var err error
		if keys[i], err = r.sortKey(v, at, caseSensitive); err != nil {
			return nil, err
		}
	}
	return &List{keys}, nil
}

type keyed struct{ key, value Value }

type keyFunc func(v, attribute Value, caseSensitive bool) (Value, error)

func (r *run) keyed(items []Value, attribute Value, caseSensitive bool, key keyFunc) ([]keyed, error) {
	if err := r.growItems(4 * len(items)); err != nil {
		return nil, err
	}
	out := make([]keyed, len(items))
	for i, v := range items {
		k, err := key(v, attribute, caseSensitive)
		if err != nil {
			return nil, err
		}
		out[i] = keyed{k, v}
	}
	return out, nil
}

// order sorts; equal items keep their order, in reverse too.
func (r *run) order(items []keyed, reverse bool) ([]Value, error) {
	var failed error
	slices.SortStableFunc(items, func(a, b keyed) int {
		if failed != nil {
			return 0
		}
		order, _, err := r.compare("<", a.key, b.key, 0)
		if err != nil {
			failed = err
		}
		if reverse {
			return -order
		}
		return order
	})
	out := make([]Value, len(items))
	for i, k := range items {
		out[i] = k.value
	}
	return out, failed
}

func sortFilter(r *run, v Value, a args) (Value, error) {
	items, err := r.collect(v)
	if err != nil {
		return nil, err
	}
	ks, err := r.keyed(items, a.pos[2], truth(a.pos[1]), r.sortKeys)
	if err != nil {
		return nil, err
	}
	sorted, err := r.order(ks, truth(a.pos[0]))
	return &List{sorted}, err
}

func dictsortFilter(r *run, v Value, a args) (Value, error) {
	d, ok := v.(*Dict)
	if !ok {
		if err := used(v); err != nil {
			return nil, err
		}
		return nil, errorf(AttributeError, "'%s' object has no attribute 'items'", typeName(v))
	}
	by := int64(0)
	switch s, _ := str(a.pos[1]); s {
	case "key":
	case "value":
		by = 1
	default:
		return nil, errorf(FilterArgument, `You can only sort by either "key" or "value"`)
	}
	ks, err := r.keyed(d.items(), by, truth(a.pos[0]), r.sortKey)
	if err != nil {
		return nil, err
	}
	sorted, err := r.order(ks, truth(a.pos[2]))
	return &List{sorted}, err
}

func extreme(better func(order int) bool) func(*run, Value, args) (Value, error) {
	return func(r *run, v Value, a args) (Value, error) {
		items, err := r.collect(v)
		if err != nil {
			return nil, err
		}
		ks, err := r.keyed(items, a.pos[1], truth(a.pos[0]), r.sortKey)
		if err != nil {
			return nil, err
		}
		if len(ks) == 0 {
			return undefinedf("No aggregated item, sequence was empty."), nil
		}
		best := ks[0]
		for _, k := range ks[1:] {
			order, ok, err := r.compare("<", k.key, best.key, 0)
			if err != nil {
				return nil, err
			}
			if ok && better(order) {
				best = k
			}
		}
		return best.value, nil
	}
}
