package jinja

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// getAttr is v.id: an attribute first, then an entry of that name.
func (r *run) getAttr(v Value, id string) (Value, error) {
	if got, ok, err := r.pythonAttr(v, id); ok || err != nil {
		return got, err
	}
	if d, ok := v.(*Dict); ok {
		if got, ok := d.Get(id); ok {
			return got, nil
		}
	}
	return noAttr(v, id), nil
}

// getItem is v[key]: an entry first, then an attribute of that name.
func (r *run) getItem(v, key Value) (Value, error) {
	if u, ok := v.(*undefined); ok {
		return nil, u.err()
	}
	if got, ok := r.entry(v, key); ok {
		return got, nil
	}
	if id, ok := str(key); ok {
		if got, ok, err := r.pythonAttr(v, id); ok || err != nil {
			return got, err
		}
		return noAttr(v, id), nil
	}
	k, err := r.repr(key)
	if err != nil {
		return nil, err
	}
	what := typeName(v) + " object"
	if v == nil {
		what = "None"
	}
	return undefinedf("%s has no element %s", what, k), nil
}

// entry finds v[key] in a container. Whatever does not work is simply not there.
func (r *run) entry(v, key Value) (Value, bool) {
	switch v := v.(type) {
	case *Dict:
		h, err := r.hash(key, 0)
		if err != nil {
			return nil, false
		}
		return v.find(h)
	case *List:
		return at0(v.Items, key)
	case *Tuple:
		return at0(v.Items, key)
	case rangeValue:
		if i, ok := position(key, v.len()); ok {
			return v.at(i), true
		}
	case string:
		return r.runeAt(v, key)
	case Markup:
		return r.runeAt(string(v), key)
	}
	return nil, false
}

// position turns an index, which counts from the end if it is negative, into one from the start.
func position(key Value, n int) (int, bool) {
	i, ok := small64(key)
	if ok && i < 0 {
		i += int64(n)
	}
	return int(i), ok && i >= 0 && i < int64(n)
}

func at0(items []Value, key Value) (Value, bool) {
	if i, ok := position(key, len(items)); ok {
		return items[i], true
	}
	return nil, false
}

func (r *run) runeAt(s string, key Value) (Value, bool) {
	i, ok := small64(key)
	if !ok || r.scan(len(s)) != nil {
		return nil, false
	}
	if i < 0 {
		i += int64(utf8.RuneCountInString(s))
	}
	if i < 0 || i >= int64(len(s)) {
		return nil, false
	}
	for ; i > 0 && s != ""; i-- {
		s = s[runeLen(s):]
	}
	if s == "" {
		return nil, false
	}
	return s[:runeLen(s)], true
}

// inherited are the attributes that every Python object has; a template must not reach them.
var inherited = []string{"__class__", "__doc__", "__dict__", "__init__", "__module__", "__getattribute__", "__setattr__", "__delattr__", "__reduce__", "__reduce_ex__",
	"__subclasshook__", "__init_subclass__", "__new__", "__repr__", "__str__", "__hash__", "__format__", "__sizeof__", "__dir__", "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"}

// mutators are the methods that would change a value.
var mutators = map[string][]string{
	"list": {"append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"},
	"dict": {"clear", "pop", "popitem", "setdefault", "update"},
}

// pythonAttr finds what Python's getattr would: a method, or an attribute of one of the interpreter's own objects.
func (r *run) pythonAttr(v Value, id string) (Value, bool, error) {
	if strings.HasPrefix(id, "__") && slices.Contains(inherited, id) || slices.Contains(mutators[typeName(v)], id) {
		return unsafeAttr(v, id), true, nil
	}
	switch o := v.(type) {
	case *undefined:
		return nil, false, o.err()
	case object:
		return o.attr(id)
	case *Tuple:
		if i := slices.Index(o.names, id); i >= 0 {
			return o.Items[i], true, nil
		}
	case *namespace:
		got, ok := o.vars.Get(id)
		return got, ok, nil
	case *function:
		if o.vars == nil {
			return nil, false, nil
		}
		got, ok := o.vars.Get(id)
		return got, ok, nil
	}
	if b, ok := r.env.methodsOf(v)[id]; ok {
		return method(id, b, v), true, nil
	}
	return nil, false, nil
}

func (e *environment) methodsOf(v Value) map[string]builtin {
	switch v.(type) {
	case string, Markup:
		return e.strMethods
	case *Dict:
		return e.dictMethods
	case *List:
		return e.listMethods
	case *Tuple, rangeValue:
		return e.tupleMethods
	case float64:
		return e.floatMethods
	}
	return nil
}

// getSlice is v[start:stop:step].
func (r *run) getSlice(v Value, bounds [3]Value) (Value, error) {
	switch v := v.(type) {
	case *undefined:
		return nil, v.err()
	case *List:
		items, err := r.sliceItems(v.Items, bounds)
		return &List{items}, err
	case *Tuple:
		items, err := r.sliceItems(v.Items, bounds)
		return &Tuple{Items: items}, err
	case rangeValue:
		start, stop, step, err := sliceBounds(bounds, v.len())
		return rangeValue{v.start + int64(start)*v.step, v.start + int64(stop)*v.step, v.step * int64(step)}, err
	}
	if s, ok := str(v); ok {
		return r.sliceString(s, bounds)
	}
	if _, ok := v.(*Dict); ok {
		return nil, errorf(TypeError, "unhashable type: 'slice'")
	}
	return nil, errorf(TypeError, "'%s' object is not subscriptable", typeName(v))
}

func (r *run) sliceItems(items []Value, bounds [3]Value) ([]Value, error) {
	start, stop, step, err := sliceBounds(bounds, len(items))
	if err != nil {
		return nil, err
	}
	n := rangeValue{int64(start), int64(stop), int64(step)}.len()
	if err := r.growItems(n); err != nil {
		return nil, err
	}
	if step == 1 {
		return items[start : start+n], nil
	}
	out := make([]Value, 0, n)
	for i := 0; i < n; i++ {
		out = append(out, items[start+i*step])
	}
	return out, nil
}

func (r *run) sliceString(s string, bounds [3]Value) (Value, error) {
	if err := r.grow(4 * len(s)); err != nil {
		return nil, err
	}
	runes := []rune(s)
	start, stop, step, err := sliceBounds(bounds, len(runes))
	if err != nil {
		return nil, err
	}
	n := rangeValue{int64(start), int64(stop), int64(step)}.len()
	if step == 1 {
		return string(runes[start : start+n]), nil
	}
	out := make([]rune, 0, n)
	for i := 0; i < n; i++ {
		out = append(out, runes[start+i*step])
	}
	return string(out), nil
}

func toIndex(v Value) (int, error) {
	if _, ok := integer(v); !ok {
		return 0, errorf(TypeError, "slice indices must be integers or None or have an __index__ method")
	}
	return toInt(v)
}

// sliceBounds clips the bounds to a sequence of n items, as Python does.
func sliceBounds(bounds [3]Value, n int) (start, stop, step int, err error) {
	step = 1
	if bounds[2] != nil {
		if step, err = toIndex(bounds[2]); err != nil {
			return 0, 0, 0, err
		}
		if step == 0 {
			return 0, 0, 0, errorf(ValueError, "slice step cannot be zero")
		}
		step = max(min(step, n+1), -n-1) // a longer stride meets the same items and cannot overflow
	}
	low, high := 0, n
	start, stop = 0, n
	if step < 0 {
		low, high = -1, n-1
		start, stop = n-1, -1
	}
	for i, at := range []*int{&start, &stop} {
		if bounds[i] == nil {
			continue
		}
		b, err := toIndex(bounds[i])
		if err != nil {
			return 0, 0, 0, err
		}
		if b < 0 {
			b += n
		}
		*at = min(max(b, low), high)
	}
	return start, stop, step, nil
}
