package jinja

import "sync"

// environment is what templates find besides their variables. It is made once and never changes.
type environment struct {
	filters, tests map[string]builtin
	globals        map[string]Value
	strMethods     map[string]builtin
	dictMethods    map[string]builtin
	listMethods    map[string]builtin
	tupleMethods   map[string]builtin
	floatMethods   map[string]builtin
}

var standard = sync.OnceValue(func() *environment {
	e := &environment{
		filters:      merge(textFilters(), numberFilters(), sequenceFilters(), selectFilters()),
		tests:        standardTests(),
		globals:      standardGlobals(),
		strMethods:   merge(stringMethods(), stringChecks()),
		dictMethods:  dictMethods(),
		listMethods:  listMethods(),
		tupleMethods: tupleMethods(),
		floatMethods: floatMethods(),
	}
	return e
})

func merge(tables ...map[string]builtin) map[string]builtin {
	all := map[string]builtin{}
	for _, t := range tables {
		for name, b := range t {
			all[name] = b
		}
	}
	return all
}

// builtin is a filter, a test, a method or a function that is written in Go.
type builtin struct {
	params []param
	// variadic: run gets the arguments as they came; else a.pos has one value per param.
	variadic bool
	run      func(r *run, self Value, a args) (Value, error)
}

type param struct {
	name     string
	required bool
	value    Value // if it is not given
}

func need(name string) param             { return param{name: name, required: true} }
func opt(name string, value Value) param { return param{name: name, value: value} }

// args are the values of a call.
type args struct {
	pos []Value
	kw  []keyword
}

type keyword struct {
	name  string
	value Value
}

func takeKeyword(kw []keyword, name string) (Value, bool, []keyword) {
	for i, k := range kw {
		if k.name == name {
			rest := append(append([]keyword(nil), kw[:i]...), kw[i+1:]...)
			return k.value, true, rest
		}
	}
	return nil, false, kw
}

// invoke calls b on self, after the arguments have been put in the order of its parameters.
func (b builtin) invoke(r *run, name string, self Value, a args) (Value, error) {
	if !b.variadic {
		pos, err := bind(name, b.params, a)
		if err != nil {
			return nil, err
		}
		a = args{pos: pos}
	}
	return b.run(r, self, a)
}

func bind(name string, params []param, a args) ([]Value, error) {
	if len(a.pos) > len(params) {
		return nil, errorf(TypeError, "%s() takes at most %d arguments (%d given)", name, len(params), len(a.pos))
	}
	if len(a.pos) == len(params) && len(a.kw) == 0 {
		return a.pos, nil
	}
	out := make([]Value, len(params))
	kw := a.kw
	for i, p := range params {
		v, found := p.value, false
		if k, ok, rest := takeKeyword(kw, p.name); ok {
			v, found, kw = k, true, rest
		}
		if i < len(a.pos) {
			if found {
				return nil, errorf(TypeError, "%s() got multiple values for argument '%s'", name, p.name)
			}
			v, found = a.pos[i], true
		}
		if !found && p.required {
			return nil, errorf(TypeError, "%s() missing 1 required positional argument: '%s'", name, p.name)
		}
		out[i] = v
	}
	if len(kw) > 0 {
		return nil, errorf(TypeError, "%s() got an unexpected keyword argument '%s'", name, kw[0].name)
	}
	return out, nil
}

// call calls any value.
func (r *run) call(fn Value, a args) (Value, error) {
	if err := r.step(1); err != nil {
		return nil, err
	}
	switch f := fn.(type) {
	case *function:
		return f.call(r, a)
	case *loop:
		return f.recurse(r, a)
	case *joiner:
		return f.call(a)
	case *undefined:
		return nil, f.err()
	}
	return nil, errorf(TypeError, "'%s' object is not callable", typeName(fn))
}

func callable(v Value) bool {
	switch v.(type) {
	case *function, *loop, *joiner, *undefined:
		return true // an undefined has a __call__, which raises
	}
	return false
}

// method makes a value of one entry of a method table.
func method(name string, b builtin, self Value) *function {
	return &function{name: name, call: func(r *run, a args) (Value, error) { return b.invoke(r, name, self, a) }}
}

// toInt is what Python's index protocol accepts. Numbers beyond int64 become the largest there is: no string or list
// is that long.
func toInt(v Value) (int, error) {
	if err := used(v); err != nil {
		return 0, err
	}
	n, ok := integer(v)
	switch {
	case !ok:
		return 0, errorf(TypeError, "'%s' object cannot be interpreted as an integer", typeName(v))
	case n.IsInt64():
		return int(n.Int64()), nil
	case n.Sign() < 0:
		return -1 << 62, nil
	}
	return 1 << 62, nil
}
