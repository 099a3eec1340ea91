package jinja

import (
	"math/big"
	"strings"
)

// Value is a value of the template language. One of
//
//	nil  bool  int64  *big.Int  float64  string  Markup  *List  *Tuple  *Dict
//
// or of the interpreter's own types below. Values never change after they were made; only a namespace does.
type Value = any

// Markup is a string that was marked safe: "+" escapes what is joined to it, as in the reference.
type Markup string

// List is Python's list.
type List struct{ Items []Value }

// Tuple is Python's tuple.
type Tuple struct {
	Items []Value
	names []string // attributes of the items, for what groupby returns
}

func tuple(items ...Value) *Tuple { return &Tuple{Items: items} }

// undefined is the value of a name or attribute that does not exist. It prints as nothing and fails when it is used.
type undefined struct {
	kind Kind
	hint string
}

func (u *undefined) err() error { return &Error{Kind: u.kind, Message: u.hint} }

func undefinedf(format string, args ...any) *undefined {
	e := errorf(UndefinedError, format, args...)
	return &undefined{e.Kind, e.Message}
}

func noAttr(v Value, name string) *undefined {
	return undefinedf("%s has no attribute %s", describe(v), reprString(name))
}

func unsafeAttr(v Value, name string) *undefined {
	e := errorf(SecurityError, "access to attribute %s of %s object is unsafe.", reprString(name), reprString(typeName(v)))
	return &undefined{e.Kind, e.Message}
}

// namespace is the one value that can change: {% set ns.x = 1 %}.
type namespace struct{ vars *Dict }

// rangeValue is Python's range.
type rangeValue struct{ start, stop, step int64 }

func (g rangeValue) len() int {
	switch {
	case g.step > 0 && g.start < g.stop:
		return int((g.stop-g.start-1)/g.step) + 1
	case g.step < 0 && g.start > g.stop:
		return int((g.start-g.stop-1)/-g.step) + 1
	}
	return 0
}

func (g rangeValue) at(i int) Value { return g.start + int64(i)*g.step }

// view is what keys(), values() and items() return: it can be walked and measured, but not indexed.
type view struct {
	kind  string // "keys", "values", "items"
	items []Value
}

// generator is what lazy filters return: it can be walked once, and is true even if it has nothing to give.
type generator struct{ next next }

// next gives the following item, or false at the end.
type next func() (Value, bool, error)

// object is a value with attributes of its own: loop, a cycler.
type object interface {
	attr(name string) (v Value, ok bool, err error)
	typeName() string
}

// function is a callable value.
type function struct {
	name string
	call func(r *run, a args) (Value, error)
	vars *Dict // attributes, for macros
}

func str(v Value) (string, bool) {
	switch s := v.(type) {
	case string:
		return s, true
	case Markup:
		return string(s), true
	}
	return "", false
}

func typeName(v Value) string {
	switch v := v.(type) {
	case nil:
		return "NoneType"
	case bool:
		return "bool"
	case int64, *big.Int:
		return "int"
	case float64:
		return "float"
	case string:
		return "str"
	case Markup:
		return "Markup"
	case *List:
		return "list"
	case *Tuple:
		return "tuple"
	case *Dict:
		return "dict"
	case *undefined:
		return "Undefined"
	case *namespace:
		return "Namespace"
	case rangeValue:
		return "range"
	case *view:
		return "dict_" + v.kind
	case *generator:
		return "generator"
	case *function:
		return "function"
	case object:
		return v.typeName()
	}
	return "object"
}

// describe names a value in an error about its attributes.
func describe(v Value) string {
	if v == nil {
		return "None"
	}
	return reprString(typeName(v) + " object")
}

func truth(v Value) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case int64:
		return v != 0
	case *big.Int:
		return v.Sign() != 0
	case float64:
		return v != 0
	case string:
		return v != ""
	case Markup:
		return v != ""
	case *undefined:
		return false
	}
	if n, ok := length(v); ok {
		return n > 0
	}
	return true
}

// length is the number of items of a container; strings are not measured here, because that takes a walk.
func length(v Value) (int, bool) {
	switch v := v.(type) {
	case *List:
		return len(v.Items), true
	case *Tuple:
		return len(v.Items), true
	case *Dict:
		return v.Len(), true
	case *view:
		return len(v.items), true
	case rangeValue:
		return v.len(), true
	case *undefined:
		return 0, true
	}
	return 0, false
}

// sequence returns the items of a list or tuple without copying.
func sequence(v Value) ([]Value, bool) {
	switch v := v.(type) {
	case *List:
		return v.Items, true
	case *Tuple:
		return v.Items, true
	}
	return nil, false
}

// iterate walks v, or fails if it cannot be walked.
func (r *run) iterate(v Value) (next, error) {
	switch v := v.(type) {
	case *List:
		return overSlice(v.Items), nil
	case *Tuple:
		return overSlice(v.Items), nil
	case *Dict:
		return overSlice(v.Keys()), nil
	case *view:
		return overSlice(v.items), nil
	case rangeValue:
		return overRange(v), nil
	case string:
		return overString(v), nil
	case Markup:
		return overString(string(v)), nil
	case *generator:
		return v.next, nil
	case *undefined:
		return overSlice(nil), nil
	}
	return nil, errorf(TypeError, "'%s' object is not iterable", typeName(v))
}

func overSlice(items []Value) next {
	return func() (Value, bool, error) {
		if len(items) == 0 {
			return nil, false, nil
		}
		first := items[0]
		items = items[1:]
		return first, true, nil
	}
}

func overRange(g rangeValue) next {
	i, n := 0, g.len()
	return func() (Value, bool, error) {
		if i == n {
			return nil, false, nil
		}
		i++
		return g.at(i - 1), true, nil
	}
}

func overString(s string) next {
	return func() (Value, bool, error) {
		if s == "" {
			return nil, false, nil
		}
		n := runeLen(s)
		first := s[:n]
		s = s[n:]
		return first, true, nil
	}
}

// collect walks v to its end.
func (r *run) collect(v Value) ([]Value, error) {
	if items, ok := sequence(v); ok {
		return items, r.step(1 + len(items)) // whoever asks visits them
	}
	next, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	return r.drain(next)
}

func (r *run) drain(next next) ([]Value, error) {
	var items []Value
	for {
		v, ok, err := next()
		if err != nil || !ok {
			return items, err
		}
		if err := r.growItems(1); err != nil {
			return nil, err
		}
		items = append(items, v)
	}
}

// text is str(v): how a value prints.
func (r *run) text(v Value) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case Markup:
		return string(v), nil
	case *undefined:
		return "", nil
	}
	return r.repr(v)
}

// repr is repr(v): how a value prints inside a list.
func (r *run) repr(v Value) (string, error) {
	var b strings.Builder
	err := r.writeRepr(&b, v, 0)
	return b.String(), err
}
