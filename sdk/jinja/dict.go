package jinja

import (
	"fmt"
	"math"
	"math/big"
	"strings"
)

// Dict is Python's dict: it keeps the order in which keys came, and 1, 1.0 and true are one key.
type Dict struct {
	keys   []Value
	values []Value
	index  map[any]int // from the normalised key; nil while small
}

// small is the number of entries up to which a walk beats a map.
const small = 8

// Len is the number of entries.
func (d *Dict) Len() int { return len(d.keys) }

// Keys returns the keys in order; the caller must not change them.
func (d *Dict) Keys() []Value { return d.keys }

// Get finds the value of a string key.
func (d *Dict) Get(key string) (Value, bool) { return d.find(key) }

// Set adds or replaces a string key. It is for making a Dict: one that a template has seen never changes.
func (d *Dict) Set(key string, v Value) { d.put(key, key, v) }

func (d *Dict) find(hash any) (Value, bool) {
	if i := d.position(hash); i >= 0 {
		return d.values[i], true
	}
	return nil, false
}

func (d *Dict) position(hash any) int {
	if d.index != nil {
		if i, ok := d.index[hash]; ok {
			return i
		}
		return -1
	}
	for i, k := range d.keys {
		if h, _ := simpleHash(k); h == hash {
			return i
		}
	}
	return -1
}

func (d *Dict) put(key Value, hash any, v Value) {
	if i := d.position(hash); i >= 0 {
		d.values[i] = v
		return
	}
	d.keys, d.values = append(d.keys, key), append(d.values, v)
	if d.index != nil {
		d.index[hash] = len(d.keys) - 1
	} else if _, simple := simpleHash(key); !simple || len(d.keys) > small {
		d.reindex(hash)
	}
}

// reindex makes the map. Keys before the last are simple, or the map would be there already.
func (d *Dict) reindex(last any) {
	d.index = make(map[any]int, 2*small)
	for i, k := range d.keys {
		if h, ok := simpleHash(k); ok {
			d.index[h] = i
		}
	}
	d.index[last] = len(d.keys) - 1
}

func (d *Dict) copy() *Dict {
	c := &Dict{keys: append([]Value(nil), d.keys...), values: append([]Value(nil), d.values...)}
	if d.index != nil {
		c.index = make(map[any]int, len(d.index))
		for k, i := range d.index {
			c.index[k] = i
		}
	}
	return c
}

func (d *Dict) items() []Value {
	out := make([]Value, len(d.keys))
	for i, k := range d.keys {
		out[i] = tuple(k, d.values[i])
	}
	return out
}

type (
	noneHash  struct{}
	noHash    struct{} // of everything undefined
	bigHash   struct{ digits string }
	tupleHash struct{ items string }
)

// simpleHash maps keys that are equal in Python to values that are equal in Go, for all keys but tuples.
func simpleHash(key Value) (any, bool) {
	switch k := key.(type) {
	case string:
		return k, true
	case Markup:
		return string(k), true
	case nil:
		return noneHash{}, true
	case bool:
		if k {
			return int64(1), true
		}
		return int64(0), true
	case *undefined:
		return noHash{}, true
	case int64:
		return k, true
	case *big.Int:
		return bigHash{k.String()}, true
	case float64:
		if k == math.Trunc(k) && math.Abs(k) < 1<<62 {
			return int64(k), true
		}
		return k, true
	}
	return nil, false
}

// hash is simpleHash for all keys; lists and dicts cannot be keys.
func (r *run) hash(key Value, depth int) (any, error) {
	if err := r.scanText(key); err != nil {
		return nil, err
	}
	if h, ok := simpleHash(key); ok {
		return h, nil
	}
	t, ok := key.(*Tuple)
	switch {
	case ok:
		return r.hashTuple(t, depth)
	case hashable(key):
		return key, nil
	}
	return nil, errorf(TypeError, "unhashable type: '%s'", typeName(key))
}

func hashable(v Value) bool {
	switch v.(type) {
	case *List, *Dict, *view:
		return false
	}
	return true
}

// hashTuple writes the items' hashes one after another, each so that it cannot be taken for two.
func (r *run) hashTuple(t *Tuple, depth int) (any, error) {
	if depth > valueDepth {
		return nil, errorf(LimitError, "a key nests deeper than %d", valueDepth)
	}
	var b strings.Builder
	for _, v := range t.Items {
		if err := r.step(1); err != nil {
			return nil, err
		}
		h, err := r.hash(v, depth+1)
		if err != nil {
			return nil, err
		}
		switch h := h.(type) {
		case string:
			fmt.Fprintf(&b, "%q,", h)
		case tupleHash:
			fmt.Fprintf(&b, "(%s),", h.items)
		case noneHash, noHash, int64, float64, bigHash, rangeValue:
			fmt.Fprintf(&b, "%T%v,", h, h)
		default:
			fmt.Fprintf(&b, "%p,", h)
		}
		if err := r.grow(b.Len()); err != nil {
			return nil, err
		}
	}
	return tupleHash{b.String()}, nil
}
