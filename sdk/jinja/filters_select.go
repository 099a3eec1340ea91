package jinja

// filters_select.go has the filters that choose, change and group the items of a sequence. Most are lazy: what they
// return is walked once, and nothing happens before.

func selectFilters() map[string]builtin {
	return map[string]builtin{
		"map":        {variadic: true, run: mapFilter},
		"select":     {variadic: true, run: selecting(false, true)},
		"reject":     {variadic: true, run: selecting(false, false)},
		"selectattr": {variadic: true, run: selecting(true, true)},
		"rejectattr": {variadic: true, run: selecting(true, false)},
		"unique":     {params: []param{opt("case_sensitive", false), opt("attribute", nil)}, run: uniqueFilter},
		"batch":      {params: []param{need("linecount"), opt("fill_with", nil)}, run: batchFilter},
		"slice":      {params: []param{need("slices"), opt("fill_with", nil)}, run: sliceFilter},
		"groupby":    {params: []param{need("attribute"), opt("default", nil), opt("case_sensitive", false)}, run: groupbyFilter},
	}
}

// change says what becomes of an item, and whether it is kept.
type change func(item Value) (Value, bool, error)

// lazily walks v when it is asked to, not before: prepare too is called only then, and never for what is false, which
// has no items whatever it is.
func (r *run) lazily(v Value, prepare func() (change, error)) *generator {
	var items next
	var each change
	begin := func() (err error) {
		if items = overSlice(nil); !truth(v) {
			return nil
		}
		if each, err = prepare(); err == nil {
			items, err = r.iterate(v)
		}
		return err
	}
	return &generator{func() (Value, bool, error) {
		if items == nil {
			if err := begin(); err != nil {
				return nil, false, err
			}
		}
		for {
			item, ok, err := items()
			if err != nil || !ok {
				return nil, false, err
			}
			if err := r.step(1); err != nil {
				return nil, false, err
			}
			if out, ok, err := each(item); err != nil || ok {
				return out, ok, err
			}
		}
	}}
}

// mapFilter is map(attribute="a.b", default=x) or map("filter", args...).
func mapFilter(r *run, v Value, a args) (Value, error) {
	return r.lazily(v, func() (change, error) {
		if attribute, ok, rest := takeKeyword(a.kw, "attribute"); ok && len(a.pos) == 0 {
			fallback, _, rest := takeKeyword(rest, "default")
			if len(rest) > 0 {
				return nil, errorf(FilterArgument, "Unexpected keyword argument %s", reprString(rest[0].name))
			}
			return func(item Value) (Value, bool, error) {
				out, err := r.path(item, attribute, fallback)
				return out, true, err
			}, nil
		}
		if len(a.pos) == 0 {
			return nil, errorf(FilterArgument, "map requires a filter argument")
		}
		return func(item Value) (Value, bool, error) {
			out, err := r.invokeNamed("filter", r.env.filters, item, a)
			return out, true, err
		}, nil
	}), nil
}

// invokeNamed calls the filter or test that the first argument names with the others.
func (r *run) invokeNamed(what string, table map[string]builtin, v Value, a args) (Value, error) {
	id, _ := str(a.pos[0])
	b, ok := table[id]
	if !ok {
		return nil, errorf(RuntimeError, "No %s named %s.", what, reprString(id))
	}
	return b.invoke(r, id, v, args{a.pos[1:], a.kw})
}

// selecting keeps the items that pass a test, or that are true if none is named; those that fail if want is false. With
// attr the first argument says what of each item is tested.
func selecting(attr, want bool) func(*run, Value, args) (Value, error) {
	return func(r *run, v Value, a args) (Value, error) {
		return r.lazily(v, func() (change, error) {
			var attribute Value
			if attr {
				if len(a.pos) == 0 {
					return nil, errorf(FilterArgument, "Missing parameter for attribute name")
				}
				attribute, a.pos = a.pos[0], a.pos[1:]
			}
			return func(item Value) (Value, bool, error) {
				tested, err := item, error(nil)
				if attr {
					tested, err = r.path(item, attribute, nil)
				}
				if err == nil && len(a.pos) > 0 {
					tested, err = r.invokeNamed("test", r.env.tests, tested, a)
				}
				return item, err == nil && truth(tested) == want, err
			}, nil
		}), nil
	}
}

func uniqueFilter(r *run, v Value, a args) (Value, error) {
	seen := map[any]bool{}
	next, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	return &generator{func() (Value, bool, error) {
		for {
			item, ok, err := next()
			if err == nil {
				err = r.step(1)
			}
			if err != nil || !ok {
				return nil, false, err
			}
			key, err := r.sortKey(item, a.pos[1], truth(a.pos[0]))
			if err != nil {
				return nil, false, err
			}
			h, err := r.hash(key, 0)
			if err != nil {
				return nil, false, err
			}
			if !seen[h] {
				seen[h] = true
				return item, true, r.growItems(2)
			}
		}
	}}, nil
}

// countAndItems are the first argument of a filter that cuts v, and what it cuts.
func (r *run) countAndItems(v Value, a args) (n int, items []Value, err error) {
	if n, err = toInt(a.pos[0]); err == nil {
		items, err = r.collect(v)
	}
	return n, items, err
}

func batchFilter(r *run, v Value, a args) (Value, error) {
	n, items, err := r.countAndItems(v, a)
	if err != nil {
		return nil, err
	}
	var rows []Value
	for len(items) > 0 {
		k := min(max(n, 1), len(items))
		row := append([]Value(nil), items[:k]...)
		items = items[k:]
		for a.pos[1] != nil && len(row) < n {
			if err := r.growItems(1); err != nil {
				return nil, err
			}
			row = append(row, a.pos[1])
		}
		rows = append(rows, &List{row})
	}
	return &generator{overSlice(rows)}, nil
}

// sliceFilter cuts v into n lists of nearly equal length, the longer ones first.
func sliceFilter(r *run, v Value, a args) (Value, error) {
	n, items, err := r.countAndItems(v, a)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, errorf(ZeroDivisionError, "integer division or modulo by zero")
	}
	if err := r.growItems(len(items) + 4*min(max(n, 0), r.limits.Memory)); err != nil {
		return nil, err
	}
	var rows []Value
	for i, start := 0, 0; i < n; i++ {
		k := len(items) / n
		long := i < len(items)%n
		if long {
			k++
		}
		row := append([]Value(nil), items[start:start+k]...)
		start += k
		if a.pos[1] != nil && !long {
			row = append(row, a.pos[1])
		}
		rows = append(rows, &List{row})
	}
	return &generator{overSlice(rows)}, nil
}

func groupbyFilter(r *run, v Value, a args) (Value, error) {
	items, err := r.collect(v)
	if err != nil {
		return nil, err
	}
	if err := r.growItems(4 * len(items)); err != nil {
		return nil, err
	}
	ks := make([]keyed, len(items))
	for i, item := range items {
		key, err := r.path(item, a.pos[0], a.pos[1])
		if err != nil {
			return nil, err
		}
		if !truth(a.pos[2]) {
			if key, err = r.folded(key); err != nil {
				return nil, err
			}
		}
		ks[i] = keyed{key, item}
	}
	if _, err := r.order(ks, false); err != nil {
		return nil, err
	}
	return r.groups(ks, a)
}

// groups makes (grouper, list) of each run of equal keys. The grouper is the first item's own spelling.
func (r *run) groups(ks []keyed, a args) (Value, error) {
	var out []Value
	for len(ks) > 0 {
		group := &List{}
		key := ks[0].key
		own, err := r.path(ks[0].value, a.pos[0], a.pos[1])
		if err != nil {
			return nil, err
		}
		for len(ks) > 0 {
			same, err := r.equal(key, ks[0].key, 0)
			if err != nil {
				return nil, err
			}
			if !same {
				break
			}
			group.Items = append(group.Items, ks[0].value)
			ks = ks[1:]
		}
		out = append(out, &Tuple{Items: []Value{own, group}, names: []string{"grouper", "list"}})
	}
	return &List{out}, nil
}
