package jinja

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// hostile are templates that would hang, fill the memory or break the stack of an engine without limits.
var hostile = map[string]string{
	"endless recursion":         "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
	"recursion with a branch":   "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
	"recursive loop":            "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
	"caller recursion":          "{% macro m(n) %}{% call m(n + 1) %}{{ n }}{% endcall %}{{ caller() }}{% endmacro %}{% call m(1) %}{% endcall %}",
	"nested loops":              "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
	"filtered loops":            "{% for a in range(100000) if range(100000) | select('gt', a) | list | length < 0 %}{% endfor %}",
	"doubling text":             "{% set ns = namespace(s='x' * 1000) %}{% for i in range(100) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
	"doubling lists":            "{% set ns = namespace(s=[1]) %}{% for i in range(100) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
	"doubling by reference":     "{% set ns = namespace(s=[1]) %}{% for i in range(64) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s }}",
	"doubling, compared":        "{% set a = namespace(s=[1]) %}{% set b = namespace(s=[1]) %}{% for i in range(64) %}{% set a.s = [a.s, a.s] %}{% set b.s = [b.s, b.s] %}{% endfor %}{{ a.s == b.s }}",
	"doubling, as JSON":         "{% set ns = namespace(s=[1]) %}{% for i in range(64) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s | tojson }}",
	"doubling, as a key":        "{% set ns = namespace(s=(1,)) %}{% for i in range(64) %}{% set ns.s = (ns.s, ns.s) %}{% endfor %}{{ {ns.s: 1} }}",
	"deep value, printed":       "{% set ns = namespace(s=[]) %}{% for i in range(100000) %}{% set ns.s = [ns.s] %}{% endfor %}{{ ns.s }}",
	"deep value, compared":      "{% set ns = namespace(s=[], t=[]) %}{% for i in range(9000) %}{% set ns.s = [ns.s] %}{% set ns.t = [ns.t] %}{% endfor %}{{ ns.s == ns.t }}",
	"deep value, ordered":       "{% set ns = namespace(s=[1], t=[2]) %}{% for i in range(9000) %}{% set ns.s = [ns.s] %}{% set ns.t = [ns.t] %}{% endfor %}{{ ns.s < ns.t }}",
	"a value inside itself":     "{% set ns = namespace() %}{% set ns.self = ns %}{{ ns }}",
	"a huge repetition":         "{{ 'x' * 1000000000000 }}",
	"a huge list":               "{{ [0] * 1000000000000 }}",
	"a huge power":              "{{ 9 ** 99999 }}",
	"a huge product":            "{% set ns = namespace(n=2 ** 10000) %}{% for i in range(1000) %}{% set ns.n = ns.n * ns.n %}{% endfor %}",
	"a huge field":              "{{ '%1000000000d' % 1 }}",
	"a huge field of format":    "{{ '{:1000000000}'.format(1) }}",
	"a huge precision":          "{{ '%.1000000000f' % 1 }}",
	"a huge indent":             "{{ 'a\nb' | indent(1000000000000) }}",
	"a huge indent of JSON":     "{{ [1] | tojson(indent=1000000000000) }}",
	"a huge centre":             "{{ 'a' | center(1000000000000) }}",
	"huge zeros":                "{{ '1'.zfill(1000000000000) }}",
	"a huge batch":              "{{ [1] | batch(1000000000000, 'x') | list }}",
	"a huge slice":              "{{ [1] | slice(1000000000000) | list }}",
	"a huge range":              "{{ range(1000000000000) | list }}",
	"huge tabs":                 "{{ '\t'.expandtabs(1000000000000) }}",
	"a join that multiplies":    "{{ ('x' * 1000000).join('y' * 1000000) }}",
	"a replace that multiplies": "{{ ('x' * 1000000).replace('x', 'y' * 1000000) }}",
	"scanning again and again":  "{% set s = 'a' * 5000000 %}{% for i in range(100000) %}{% if 'b' in s %}{% endif %}{% endfor %}",
	"comparing again and again": "{% set s = 'a' * 5000000 %}{% set t = s + '' %}{% for i in range(100000) %}{% if s == t %}{% endif %}{% endfor %}",
	"measuring again and again": "{% set s = 'a' * 5000000 %}{% for i in range(100000) %}{% set n = s | length %}{% endfor %}",
	"indexing again and again":  "{% set s = 'ä' * 2000000 %}{% for i in range(100000) %}{% set n = s[i] %}{% endfor %}",
	"titles again and again":    "{% set s = 'ä ' * 200000 %}{% for i in range(100000) %}{% set n = s.title() | title %}{% endfor %}",
	"words again and again":     "{% set s = 'a ' * 400000 %}{% for i in range(100000) %}{% set n = s | wordcount %}{% endfor %}",
	"asking again and again":    "{% set s = 'ä ' * 200000 %}{% for i in range(100000) %}{% if s is lower or s is upper %}{% endif %}{% endfor %}",
	"formats again and again":   "{% set s = 'a ' * 400000 %}{% for i in range(100000) %}{% set n = s.format(1) %}{% endfor %}",
	"percents again and again":  "{% set s = 'a ' * 400000 %}{% for i in range(100000) %}{% set n = s % () %}{% endfor %}",
	"numbers again and again":   "{% set s = 'a ' * 400000 %}{% for i in range(100000) %}{% set n = s | int + s | float %}{% endfor %}",
	"keys again and again":      "{% set s = 'a ' * 400000 %}{% for i in range(100000) %}{% set n = {s: 1}[s] %}{% endfor %}",
	"few of many letters":       "{% set s = 'a ' * 400000 %}{% for i in range(100000) %}{% set n = s | unique | list %}{% endfor %}",
	"cut by many characters":    "{% set s = 'a ' * 400000 %}{% for i in range(100000) %}{% set n = s.strip('z' * 400000 ~ ' a') %}{% endfor %}",
	"many long keys":            "{% set l = [['A' * 400000]] * 1000 %}{% for i in range(100000) %}{% set n = l | groupby(0) %}{% set n = l | sort(attribute=0) %}{% endfor %}",
	"sums again and again":      "{% set l = [1] * 90000 %}{% for i in range(100000) %}{% set n = l | sum %}{% endfor %}",
	"slices again and again":    "{% set l = [1] * 90000 %}{% for i in range(100000) %}{% set n = l | slice(3) | first %}{% endfor %}",
	"arguments again and again": "{% set l = [1] * 90000 %}{% for i in range(100000) %}{% set n = cycler(*l) %}{% endfor %}",
	"long paths":                "{% set l = [{}] * 90000 %}{% set p = 'a.' * 90000 %}{{ l | map(attribute=p, default={}) | list }}",
	"deep brackets":             strings.Repeat("{{ (", 1) + strings.Repeat("(", 100000),
	"deep lists":                "{{ " + strings.Repeat("[", 100000) + strings.Repeat("]", 100000) + " }}",
	"deep negations":            "{{ " + strings.Repeat("not ", 100000) + "1 }}",
	"deep signs":                "{{ " + strings.Repeat("-", 100000) + "1 }}",
	"deep conditions":           strings.Repeat("{% if 1 %}", 100000),
	"deep choices":              "{{ " + strings.Repeat("1 if 0 else ", 50000) + "1 }}",
	"a long sum":                "{{ 1" + strings.Repeat("+1", 100000) + " }}",
	"a long chain of filters":   "{{ 1" + strings.Repeat("|string", 100000) + " }}",
	"a long chain of names":     "{{ a" + strings.Repeat(".b", 100000) + " }}",
	"a long chain of calls":     "{{ a" + strings.Repeat("()", 100000) + " }}",
	"a long choice":             "{% set a = " + strings.Repeat("a and ", 100000) + "a %}",
	"too long a template":       strings.Repeat("x", 2<<20),
	"too long a number":         "{{ " + strings.Repeat("9", 100000) + " }}",
}

// TestHostileTemplatesEndAtTheirLimits: each ends with an error, soon, and without much memory: what it does is counted in steps, of which there
// are no more than allowed, and what it allocates, garbage too, is bounded by these and the memory allowed, or by its source if it is not
// even read.
func TestHostileTemplatesEndAtTheirLimits(t *testing.T) {
	limits := Limits{Steps: 1_000_000, Memory: 64 << 20, Output: 16 << 20}
	const (
		perStep   = 128  // bytes: the arguments and frame of a call
		perSource = 1100 // bytes for each of the source: nodes of the tree
	)
	for name, source := range hostile {
		t.Run(name, func(t *testing.T) {
			r, allocated, err := count(t, source, nil, limits)
			if err == nil {
				t.Fatal("it rendered")
			}
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("%T: %v", err, err)
			}
			switch e.Kind {
			case LimitError, SyntaxError, OverflowError, TypeError, UndefinedError:
			default:
				t.Errorf("kind %s: %v", e.Kind, e)
			}
			if r.steps > limits.Steps && !strings.Contains(e.Message, "steps") || r.memory > limits.Memory {
				t.Errorf("it went on after %d steps and %d bytes: %v", r.steps, r.memory, e)
			}
			if most := limits.Memory + perStep*min(r.steps, limits.Steps) + perSource*min(len(source), maxSource); allocated > most {
				t.Errorf("it allocated %d bytes; %d are allowed with %d steps and %d bytes charged: %v", allocated, most, r.steps, r.memory, e)
			}
			t.Logf("%d steps, %d MB: %.80s", r.steps, allocated>>20, e.Message)
		})
	}
}

func TestLimitsCanBeSetLower(t *testing.T) {
	tmpl, err := Parse("{% for i in range(10) %}{{ 'x' * 10 }}{% endfor %}")
	if err != nil {
		t.Fatal(err)
	}
	for name, limits := range map[string]Limits{"steps": {Steps: 20}, "depth": {Depth: 2}, "memory": {Memory: 50}, "output": {Output: 99}} {
		var e *Error
		if _, err := tmpl.Render(context.Background(), Input{Limits: limits}); !errors.As(err, &e) || e.Kind != LimitError {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s, err := tmpl.Render(context.Background(), Input{Limits: Limits{Output: 100}}); err != nil || len(s) != 100 {
		t.Errorf("exactly the limit: %d bytes, %v", len(s), err)
	}
}

// leaving is a caller who leaves when the context has been looked at once.
type leaving struct {
	context.Context
	looks int
}

func (l *leaving) Err() error {
	if l.looks++; l.looks > 1 {
		return context.Canceled
	}
	return nil
}

func TestRenderingStopsWhenTheCallerLeaves(t *testing.T) {
	for _, source := range []string{
		"{% for i in range(10000) %}x{% endfor %}",
		"{{ 'x' * 1000000 }}{{ ('x' * 1000000) | upper | length }}",
	} {
		tmpl, err := Parse(source)
		if err != nil {
			t.Fatal(err)
		}
		caller := &leaving{Context: t.Context()}
		if s, err := tmpl.Render(caller, Input{}); !errors.Is(err, context.Canceled) || s != "" || caller.looks != 2 {
			t.Errorf("%s: %d bytes, %v after %d looks", source, len(s), err, caller.looks)
		}
	}
}

// TestATemplateCannotChangeWhatItIsGiven renders twice from the same values.
func TestATemplateCannotChangeWhatItIsGiven(t *testing.T) {
	v, err := FromJSON([]byte(`{"a": [1, 2, {"b": "c"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	tmpl, err := Parse("{% set x = d.a + [3] %}{% set y = dict(d, z=1) %}{% set z = d.a | reverse | list %}{% set w = d.a | map('string') | sort | list %}{{ d }}{{ x[0:1] + [9] }}{{ d.a }}")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		got, err := tmpl.Render(context.Background(), Input{Vars: map[string]Value{"d": v}})
		if want := "{'a': [1, 2, {'b': 'c'}]}[1, 9][1, 2, {'b': 'c'}]"; err != nil || got != want {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}
}

func TestErrorsHaveTheLineOfTheTemplate(t *testing.T) {
	for source, want := range map[string]string{
		"a\n{{ x.y }}": "line 2: UndefinedError: 'x' is undefined",
		"{% if true %}\n\n{{ 1 + 'a' }}{% endif %}": "line 3: TypeError: unsupported operand type(s) for +: 'int' and 'str'",
		"\n\n{{ 1 +\n}}":                                        "line 4: TemplateSyntaxError: unexpected 'end of print statement'",
		"\n{% for i in 5 %}{% endfor %}":                        "line 2: TypeError: 'int' object is not iterable",
		"{% macro m() %}\n{{ x() }}\n{% endmacro %}\n{{ m() }}": "line 2: UndefinedError: 'x' is undefined",
	} {
		if _, err := render(t, source, nil); err == nil || err.Error() != want {
			t.Errorf("%q:\n got  %v\n want %s", source, err, want)
		}
	}
}
