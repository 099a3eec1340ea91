package jinja

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// accounting_test.go holds what is charged against the limits to what is really done.

// count renders a template and returns what it was charged, and what it allocated.
func count(t testing.TB, source string, vars map[string]Value, limits Limits) (r counted, allocated int, err error) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	tmpl, err := Parse(source)
	names := &scope{}
	r.run = &run{ctx: context.Background(), env: standard(), vars: vars, now: time.Now, limits: limits.orDefault()}
	if err == nil {
		_, _, err = r.capture(tmpl.body, names)
	}
	runtime.ReadMemStats(&after)
	r.made = map[string]Value{}
	for i, name := range names.names {
		r.made[name] = names.values[i]
	}
	return r, int(after.TotalAlloc - before.TotalAlloc), err
}

type counted struct {
	*run
	made map[string]Value // by the name it was set to
}

// large are values of some size, and small ones of the same kinds.
func large(n int) map[string]Value {
	words, numbers, dicts, dict := &List{}, &List{}, &List{}, &Dict{}
	for i := range n {
		word := fmt.Sprintf("Word %d", (i*7919)%n)
		words.Items = append(words.Items, word)
		numbers.Items = append(numbers.Items, int64((i*7919)%n))
		d := &Dict{}
		d.Set("k", word)
		dicts.Items = append(dicts.Items, d)
		dict.Set(word, int64(i))
	}
	return map[string]Value{"text": strings.Repeat("Ab <é> ", n), "ascii": strings.Repeat("aB c%&\n", n), "words": words, "numbers": numbers, "dicts": dicts, "dict": dict}
}

// expressions are each filter and method on all that is large; those that do not take it fail, which is no matter here.
func expressions() (list []string) {
	arguments := map[string][]string{
		"attr": {"('k')"}, "batch": {"(3)"}, "slice": {"(3)"}, "groupby": {"('k')"}, "map": {"('upper')", "(attribute='k')"}, "select": {"('string')"}, "reject": {"('string')"},
		"selectattr": {"('k')"}, "rejectattr": {"('k')"}, "replace": {"('b', 'xyz')"}, "sort": {"", "(reverse=true)", "(attribute='k')"}, "default": {"(1)"}, "d": {"(1)"},
		"truncate": {"(99999)"}, "format": {"(1)"}, "indent": {"(2)"}, "center": {"(900000)"}, "trim": {"", "('A')"}, "join": {"(', ')"}, "unique": {"", "(attribute='k')"},
		"sum": {"", "(start=1)"}, "min": {"", "(attribute='k')"}, "max": {""}, "dictsort": {"", "(by='value')", "(reverse=true)"}, "tojson": {"", "(indent=2)"},
	}
	for _, name := range slices.Sorted(maps.Keys(standard().filters)) {
		for _, a := range append(arguments[name], "")[:max(1, len(arguments[name]))] {
			list = append(list, "| "+name+a)
		}
	}
	methods := map[string][]string{
		"replace": {"('b', 'xyz')"}, "split": {"()", "(' ')"}, "rsplit": {"(' ')"}, "startswith": {"('A')"}, "endswith": {"('A')"}, "find": {"('zz')"}, "rfind": {"('zz')"}, "count": {"('b')"},
		"index": {"('c')"}, "join": {"(words)"}, "center": {"(900000)"}, "ljust": {"(900000)"}, "rjust": {"(900000)"}, "zfill": {"(900000)"}, "partition": {"('zz')"}, "rpartition": {"('zz')"},
		"removeprefix": {"('Ab')"}, "removesuffix": {"('> ')"}, "translate": {"({})"}, "strip": {"()", "('Ab <é>')"}, "format": {"()"}, "get": {"('x')"},
	}
	for _, table := range []map[string]builtin{standard().strMethods, standard().dictMethods, standard().listMethods} {
		for _, name := range slices.Sorted(maps.Keys(table)) {
			calls := methods[name]
			if calls == nil {
				calls = []string{"()"}
			}
			for _, a := range calls {
				list = append(list, "."+name+a)
			}
		}
	}
	return append(list, "[::-1]", "[1:]", "+ V", "* 2", "== V + V", "~ V", "in [V]", "is lower", "is iterable")
}

// TestWhatIsMadeIsCharged: no filter or method allocates much more than it is charged for, in memory or in steps, and none that makes a text
// is charged for less than half of that text (what stands between the pieces is free). Small values are taken off: what is fixed does not grow.
func TestWhatIsMadeIsCharged(t *testing.T) {
	vars, small := large(10_000), large(10)
	worked := 0
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		for _, e := range expressions() {
			source := "{% set x = " + name + " " + strings.ReplaceAll(e, "V", name) + " %}{% if x is not string and x is not mapping and x is iterable %}{% set y = x | list %}{% endif %}"
			r, allocated, err := count(t, source, vars, Limits{})
			if err != nil {
				continue
			}
			worked++
			less, fixed, _ := count(t, source, small, Limits{})
			const perCharge, noise = 20, 256 << 10 // the most is 17: small pieces, each with its header
			if charged := r.memory - less.memory + scanPerStep/16*(r.steps-less.steps); allocated-fixed > perCharge*charged+noise {
				t.Errorf("%s %s: %d bytes were allocated; charged were %d bytes and %d steps", name, e, allocated-fixed, r.memory, r.steps)
			}
			if x, ok := r.made["x"].(string); ok && x != vars[name] && len(x) > 2*r.memory && len(x) > 1000 {
				t.Errorf("%s %s: a text of %d bytes was made; charged were %d", name, e, len(x), r.memory)
			}
		}
	}
	if worked < 300 {
		t.Errorf("only %d expressions worked", worked)
	}
}

// TestChargesAreThose: the bytes of what is copied on the way, which no result shows.
func TestChargesAreThose(t *testing.T) {
	const n = 10_000
	vars := large(n)
	ascii := len(vars["ascii"].(string))
	folded := 0
	for _, w := range vars["words"].(*List).Items {
		folded += len(w.(string))
	}
	for _, c := range []struct {
		expression string
		least      int
	}{
		{"words | last", 16 * n}, {"words | reverse", 16 * n}, {"words | reverse | list", 16 * n}, {"ascii | reverse", ascii}, {"words | sort", folded + 64*n}, {"words | min", folded + 64*n},
		{"words | max", folded + 64*n}, {"dicts | sort(attribute='k')", folded + 64*n}, {"words | unique | list", folded}, {"dict | dictsort", folded + 64*n}, {"ascii | urlencode", 3 * ascii},
		{"ascii | upper", ascii}, {"dict | items | list", 48 * n}, {"words + words", 32 * n}, {"ascii * 2", 2 * ascii}, {"words[1:]", 16 * (n - 1)}, {"words | join", folded},
		{"words | tojson", folded}, {"numbers | list", 0},
	} {
		r, _, err := count(t, "{% set x = "+c.expression+" %}", vars, Limits{})
		if err != nil || r.memory < c.least {
			t.Errorf("%s: %d bytes are charged, at least %d are made (%v)", c.expression, r.memory, c.least, err)
		}
	}
}
