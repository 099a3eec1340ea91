package jinja

import (
	"html"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// filters_text.go has the filters that make text. Each takes any value and works on what it prints as.

func textFilters() map[string]builtin {
	escape := builtin{run: func(r *run, v Value, _ args) (Value, error) {
		if m, ok := v.(Markup); ok {
			return m, nil
		}
		return r.escaped(v)
	}}
	return map[string]builtin{
		"upper":      mapped(toUpper),
		"lower":      mapped(toLower),
		"capitalize": mapped(capitalize),
		"title":      rewritten(titleFilter),
		"trim":       onString(stripMethod(strings.TrimFunc), opt("chars", nil)),
		"replace":    onString(replaceFilter, need("old"), need("new"), opt("count", nil)),
		"center": onString(func(r *run, s string, a []Value) (Value, error) {
			return padMethod(centerMargin)(r, s, []Value{a[0], " "})
		}, opt("width", int64(80))),
		"indent":      onlyString(indentFilter, opt("width", int64(4)), opt("first", false), opt("blank", false)),
		"truncate":    truncate(opt("length", int64(255)), opt("killwords", false), opt("end", "..."), opt("leeway", int64(5))),
		"wordcount":   letters(wordCount),
		"striptags":   mapped(stripTags),
		"urlencode":   {run: urlencode},
		"e":           escape,
		"escape":      escape,
		"forceescape": {run: func(r *run, v Value, _ args) (Value, error) { return r.escaped(v) }},
		"safe":        onString(func(_ *run, s string, _ []Value) (Value, error) { return Markup(s), nil }),
		"string":      {run: stringFilter},
		"format":      {variadic: true, run: formatFilter},
		"tojson":      {params: []param{opt("ensure_ascii", false), opt("indent", nil), opt("separators", nil), opt("sort_keys", false)}, run: toJSON},
	}
}

// onlyString is onString for filters that do not make a string of what is none.
func onlyString(f func(r *run, s string, a []Value) (Value, error), params ...param) builtin {
	b := onString(f, params...)
	checked := b.run
	b.run = func(r *run, v Value, a args) (Value, error) {
		if _, err := strArg(v); err != nil {
			return nil, err
		}
		return checked(r, v, a)
	}
	return b
}

var htmlEscapes = strings.NewReplacer("&", "&amp;", ">", "&gt;", "<", "&lt;", "'", "&#39;", `"`, "&#34;")

func escapeHTML(s string) string { return htmlEscapes.Replace(s) }

func (r *run) escaped(v Value) (Value, error) {
	s, err := r.text(v)
	if err != nil {
		return nil, err
	}
	return Markup(escapeHTML(s)), r.grow(6 * len(s))
}

func stringFilter(r *run, v Value, _ args) (Value, error) {
	if m, ok := v.(Markup); ok {
		return m, nil
	}
	return r.text(v)
}

func formatFilter(r *run, v Value, a args) (Value, error) {
	s, err := r.text(v)
	if err != nil {
		return nil, err
	}
	if len(a.kw) == 0 {
		return r.percent(s, &Tuple{Items: a.pos})
	}
	if len(a.pos) > 0 {
		return nil, errorf(FilterArgument, "can't handle positional and keyword arguments at the same time")
	}
	d := &Dict{}
	for _, k := range a.kw {
		d.Set(k.name, k.value)
	}
	return r.percent(s, d)
}

// titleFilter makes the first letter of each word large; unlike str.title it sees words only after blanks and brackets.
func titleFilter(s string) string {
	start := true
	return eachLetter(s, func(c rune, one string) string {
		first := start
		start = isSpace(c) || strings.ContainsRune("-({[<", c)
		if first && !start {
			return toUpper(one)
		}
		return toLower(one)
	})
}

func replaceFilter(r *run, s string, a []Value) (Value, error) {
	from, err := r.text(a[0])
	if err != nil {
		return nil, err
	}
	to, err := r.text(a[1])
	if err != nil {
		return nil, err
	}
	n := -1
	if a[2] != nil {
		if n, err = toInt(a[2]); err != nil {
			return nil, err
		}
	}
	return r.replace(s, from, to, n)
}

func indentFilter(r *run, s string, a []Value) (Value, error) {
	by, ok := str(a[0])
	if !ok {
		n, err := toInt(a[0])
		if err != nil {
			return nil, err
		}
		if err := r.grow(max(n, 0)); err != nil {
			return nil, err
		}
		by = strings.Repeat(" ", max(n, 0))
	}
	v, err := splitlines(r, s+"\n", []Value{false})
	if err != nil {
		return nil, err
	}
	items := v.(*List).Items
	if err := r.grow(len(s) + times(len(by), int64(len(items)))); err != nil {
		return nil, err
	}
	var b strings.Builder
	for i, line := range items {
		text := line.(string)
		if i > 0 {
			b.WriteByte('\n')
		}
		if i == 0 && truth(a[1]) || i > 0 && (text != "" || truth(a[2])) {
			b.WriteString(by)
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

// truncate measures before it cuts: what is short enough need not be text.
func truncate(params ...param) builtin {
	b := onlyString(truncateFilter, params...)
	ofText := b.run
	b.run = func(r *run, v Value, a args) (Value, error) {
		if n, ok := length(v); ok {
			most, err := toInt(a.pos[0])
			if err != nil || n <= most {
				return v, err
			}
		}
		return ofText(r, v, a)
	}
	return b
}

func truncateFilter(_ *run, s string, a []Value) (Value, error) {
	length, err := toInt(a[0])
	if err != nil {
		return nil, err
	}
	end, err := strArg(a[2])
	if err != nil {
		return nil, err
	}
	leeway := 5
	if a[3] != nil {
		if leeway, err = toInt(a[3]); err != nil {
			return nil, err
		}
	}
	keep := length - utf8.RuneCountInString(end)
	if keep < 0 {
		return nil, errorf(ValueError, "truncate: a length of %d has no room for %s", length, reprString(end))
	}
	if utf8.RuneCountInString(s) <= length+leeway {
		return s, nil
	}
	s = clip(s, keep)
	if i := strings.LastIndexByte(s, ' '); i >= 0 && !truth(a[1]) {
		s = s[:i]
	}
	return s + end, nil
}

// wordCount counts runs of letters, numbers and underscores.
func wordCount(s string) Value {
	n, inside := int64(0), false
	for _, c := range s {
		before := inside
		if inside = c == '_' || unicode.IsLetter(c) || unicode.IsNumber(c); inside && !before {
			n++
		}
	}
	return n
}

// stripTags drops comments and tags and makes each run of white space one blank.
func stripTags(s string) string {
	for _, pair := range [][2]string{{"<!--", "-->"}, {"<", ">"}} {
		var b strings.Builder
		for {
			before, rest, found := strings.Cut(s, pair[0])
			_, after, closed := strings.Cut(rest, pair[1])
			if !found || !closed {
				b.WriteString(s)
				break
			}
			b.WriteString(before)
			s = after
		}
		s = b.String()
	}
	return html.UnescapeString(strings.Join(strings.FieldsFunc(s, isSpace), " "))
}

// urlencode quotes a string as a path, and a mapping or list of pairs as a query.
func urlencode(r *run, v Value, _ args) (Value, error) {
	if d, ok := v.(*Dict); ok {
		v = &List{d.items()}
	}
	items, ok := sequence(v)
	if !ok {
		s, err := r.text(v)
		if err != nil {
			return nil, err
		}
		return quote(s, true), r.grow(3 * len(s))
	}
	var parts []string
	for _, item := range items {
		pair, ok := sequence(item)
		if !ok || len(pair) != 2 {
			return nil, errorf(ValueError, "not enough values to unpack (expected 2)")
		}
		k, err := r.text(pair[0])
		if err != nil {
			return nil, err
		}
		x, err := r.text(pair[1])
		if err != nil {
			return nil, err
		}
		parts = append(parts, quote(k, false)+"="+quote(x, false))
	}
	return r.joinStrings(parts, "&")
}

func quote(s string, path bool) string {
	q := strings.ReplaceAll(url.QueryEscape(s), "%7E", "~")
	if path {
		q = strings.NewReplacer("+", "%20", "%2F", "/").Replace(q)
	}
	return q
}
