package jinja

import (
	"strings"
	"unicode/utf8"
)

// strmethods.go has the methods of Python's str that join, search and pad; strsplit.go has those that cut. Positions are
// code points.

// onString makes a method of a function of the string and its arguments.
func onString(f func(r *run, s string, a []Value) (Value, error), params ...param) builtin {
	return builtin{params: params, run: func(r *run, self Value, a args) (Value, error) {
		s, err := r.text(self)
		if err != nil {
			return nil, err
		}
		if err := r.grow(len(s)); err != nil {
			return nil, err
		}
		return f(r, s, a.pos)
	}}
}

func stringMethods() map[string]builtin {
	chars := opt("chars", nil)
	cut := []param{opt("sep", nil), opt("maxsplit", int64(-1))}
	where := []param{need("sub"), opt("start", nil), opt("end", nil)}
	pad := []param{need("width"), opt("fillchar", " ")}
	return map[string]builtin{
		"strip":        onString(stripMethod(strings.TrimFunc), chars),
		"lstrip":       onString(stripMethod(strings.TrimLeftFunc), chars),
		"rstrip":       onString(stripMethod(strings.TrimRightFunc), chars),
		"split":        onString(splitMethod(splitLeft, fieldsLeft), cut...),
		"rsplit":       onString(splitMethod(splitRight, fieldsRight), cut...),
		"splitlines":   onString(splitlines, opt("keepends", false)),
		"partition":    onString(partition(strings.Index, false), need("sep")),
		"rpartition":   onString(partition(strings.LastIndex, true), need("sep")),
		"replace":      onString(replaceMethod, need("old"), need("new"), opt("count", int64(-1))),
		"startswith":   onString(affix(strings.HasPrefix, "startswith"), need("prefix"), opt("start", nil), opt("end", nil)),
		"endswith":     onString(affix(strings.HasSuffix, "endswith"), need("suffix"), opt("start", nil), opt("end", nil)),
		"removeprefix": onString(removeAffix(strings.TrimPrefix), need("prefix")),
		"removesuffix": onString(removeAffix(strings.TrimSuffix), need("suffix")),
		"find":         onString(findMethod(strings.Index, false), where...),
		"rfind":        onString(findMethod(strings.LastIndex, false), where...),
		"index":        onString(findMethod(strings.Index, true), where...),
		"rindex":       onString(findMethod(strings.LastIndex, true), where...),
		"count":        onString(countMethod, where...),
		"join":         onString(joinMethod, need("iterable")),
		"center":       onString(padMethod(centerMargin), pad...),
		"ljust":        onString(padMethod(func(n, _ int) int { return 0 }), pad...),
		"rjust":        onString(padMethod(func(n, _ int) int { return n }), pad...),
		"zfill":        onString(zfill, need("width")),
		"expandtabs":   onString(expandtabs, opt("tabsize", int64(8))),
		"format":       {variadic: true, run: formatMethod},
	}
}

// strArg is an argument that must be a string.
func strArg(v Value) (string, error) {
	if err := used(v); err != nil {
		return "", err
	}
	if s, ok := str(v); ok {
		return s, nil
	}
	return "", errorf(TypeError, "must be str, not %s", typeName(v))
}

func replaceMethod(r *run, s string, a []Value) (Value, error) {
	from, err := strArg(a[0])
	if err != nil {
		return nil, err
	}
	to, err := strArg(a[1])
	if err != nil {
		return nil, err
	}
	n, err := toInt(a[2])
	if err != nil {
		return nil, err
	}
	return r.replace(s, from, to, n)
}

func (r *run) replace(s, from, to string, n int) (Value, error) {
	found := strings.Count(s, from)
	if n >= 0 {
		found = min(found, n)
	}
	if err := r.grow(times(len(to), int64(found))); err != nil {
		return nil, err
	}
	return strings.Replace(s, from, to, found), nil
}

// span is s between two positions that may be absent or count from the end, and the code points before it.
func span(s string, start, end Value) (part string, before int, err error) {
	if start == nil && end == nil {
		return s, 0, nil
	}
	runes := []rune(s)
	from, to, _, err := sliceBounds([3]Value{start, end}, len(runes))
	if n, ok := small64(start); err != nil || from > to || ok && n > int64(len(runes)) {
		return "", -1, err
	}
	return string(runes[from:to]), from, nil
}

func affix(has func(s, affix string) bool, name string) func(*run, string, []Value) (Value, error) {
	return func(_ *run, s string, a []Value) (Value, error) {
		part, before, err := span(s, a[1], a[2])
		if err != nil {
			return nil, err
		}
		options := []Value{a[0]}
		if t, ok := a[0].(*Tuple); ok {
			options = t.Items
		}
		for _, o := range options {
			x, ok := str(o)
			if !ok {
				if err := used(o); err != nil {
					return nil, err
				}
				return nil, errorf(TypeError, "%s first arg must be str or a tuple of str, not %s", name, typeName(o))
			}
			if before >= 0 && has(part, x) {
				return true, nil
			}
		}
		return false, nil
	}
}

func removeAffix(trim func(s, affix string) string) func(*run, string, []Value) (Value, error) {
	return func(_ *run, s string, a []Value) (Value, error) {
		x, err := strArg(a[0])
		return trim(s, x), err
	}
}

func findMethod(index func(s, sub string) int, must bool) func(*run, string, []Value) (Value, error) {
	return func(_ *run, s string, a []Value) (Value, error) {
		sub, err := strArg(a[0])
		if err != nil {
			return nil, err
		}
		part, before, err := span(s, a[1], a[2])
		if err != nil {
			return nil, err
		}
		i := index(part, sub)
		switch {
		case i >= 0 && before >= 0:
			return int64(before + utf8.RuneCountInString(part[:i])), nil
		case must:
			return nil, errorf(ValueError, "substring not found")
		}
		return int64(-1), nil
	}
}

func countMethod(_ *run, s string, a []Value) (Value, error) {
	sub, err := strArg(a[0])
	if err != nil {
		return nil, err
	}
	part, before, err := span(s, a[1], a[2])
	if err != nil || before < 0 {
		return int64(0), err
	}
	return int64(strings.Count(part, sub)), nil
}

func joinMethod(r *run, s string, a []Value) (Value, error) {
	items, err := r.collect(a[0])
	if err != nil {
		return nil, err
	}
	parts := make([]string, len(items))
	for i, v := range items {
		p, ok := str(v)
		if !ok {
			return nil, errorf(TypeError, "sequence item %d: expected str instance, %s found", i, typeName(v))
		}
		parts[i] = p
	}
	return r.joinStrings(parts, s)
}

func (r *run) joinStrings(parts []string, sep string) (Value, error) {
	n := times(len(sep), int64(len(parts)))
	if err := r.grow(n); err != nil {
		return nil, err
	}
	for _, p := range parts {
		if err := r.grow(len(p)); err != nil {
			return nil, err
		}
	}
	return strings.Join(parts, sep), nil
}

// centerMargin is how much of the padding n goes to the left in a field of the given width.
func centerMargin(n, width int) int { return n/2 + (n & width & 1) }

func padMethod(left func(n, width int) int) func(*run, string, []Value) (Value, error) {
	return func(r *run, s string, a []Value) (Value, error) {
		width, err := toInt(a[0])
		if err != nil {
			return nil, err
		}
		fill, err := strArg(a[1])
		if err != nil {
			return nil, err
		}
		if utf8.RuneCountInString(fill) != 1 {
			return nil, errorf(TypeError, "The fill character must be exactly one character long")
		}
		n := width - utf8.RuneCountInString(s)
		if n <= 0 {
			return s, nil
		}
		if err := r.grow(times(len(fill), int64(n))); err != nil {
			return nil, err
		}
		l := left(n, width)
		return strings.Repeat(fill, l) + s + strings.Repeat(fill, n-l), nil
	}
}

func zfill(r *run, s string, a []Value) (Value, error) {
	width, err := toInt(a[0])
	if err != nil {
		return nil, err
	}
	n := max(width-utf8.RuneCountInString(s), 0)
	if err := r.grow(n); err != nil {
		return nil, err
	}
	sign := ""
	if s != "" && (s[0] == '-' || s[0] == '+') {
		sign, s = s[:1], s[1:]
	}
	return sign + strings.Repeat("0", n) + s, nil
}

func expandtabs(r *run, s string, a []Value) (Value, error) {
	size, err := toInt(a[0])
	if err != nil {
		return nil, err
	}
	if err := r.read(len(s)); err != nil {
		return nil, err
	}
	var b strings.Builder
	column := 0
	for _, c := range s {
		switch c {
		case '\t':
			if size > 0 {
				n := size - column%size
				if err := r.grow(n); err != nil {
					return nil, err
				}
				b.WriteString(strings.Repeat(" ", n))
				column += n
			}
			continue
		case '\n', '\r':
			column = -1
		}
		column++
		b.WriteRune(c)
	}
	return b.String(), nil
}
