"""Writes what jinja2, set up as for chat templates, makes of more templates than a person would write.

    python reference.py        # needs jinja2 alone

more.json      templates written to find a difference, each with its text or the kind of its error
random.json    templates put together at random from a fixed seed: text, or that there is an error
"""

import copy
import datetime
import json
import pathlib
import random
import warnings

import jinja2
import jinja2.ext
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

HERE = pathlib.Path(__file__).parent
warnings.simplefilter("ignore")


class Generation(jinja2.ext.Extension):
    """{% generation %} marks the model's own words in training; for rendering it is its body."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("body"), [], [], body).set_lineno(line)

    def body(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment():
    e = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    e.filters["tojson"] = tojson
    e.globals["raise_exception"] = raise_exception
    e.globals["strftime_now"] = lambda f: datetime.datetime(2026, 3, 4, 15, 6, 7).strftime(f)
    return e


def render(e, template, context):
    try:
        return {"text": e.from_string(template).render(**copy.deepcopy(context))}
    except Exception as x:  # noqa: BLE001
        return {"error": type(x).__name__, "message": str(x)}


CONTEXT = {
    "s": "Hello wörld <b>", "empty": "", "d": {"k": "v", "a": 1, "n": {"m": [1, 2]}, "items": [3]}, "l": [{"n": "a", "v": 1}, {"n": "B", "v": 0}, {"n": "c"}],
    "mixed": [3, 1.5, True, None, "z"], "f": 2.5, "i": -7, "big": 12345678901234567890, "t": True, "no": None, "nums": [5, 3, 9, 3, -2], "e": [],
    "schema": {"type": "object", "properties": {"city": {"type": "string", "description": "é & <x>"}, "n": {"type": ["integer", "null"]}}, "required": ["city"]},
}

# One template a line; "⏎" is a newline in it.
MORE = r"""
{{ strftime_now('%d %b %Y') }}|{{ strftime_now('%A %-d %B, %H:%M:%S %p %j %U %W %V %y %%') }}|{{ strftime_now('%F %T %e %I %C %u %w') }}
{{ 7.0 // 2 }}|{{ -7.5 % 2 }}|{{ 7 % -3 }}|{{ -7 // -2 }}|{{ 2 ** 100 }}|{{ 9007199254740993 + 1 }}|{{ 9223372036854775807 + 1 }}|{{ big * big }}|{{ big // 7 }}|{{ big % 1000 }}|{{ -big }}|{{ 1 / 3 }}|{{ 5 // 0.0 }}
{{ 1 / 0 }}
{{ 1 % 0 }}
{{ 2 ** 0.5 }}|{{ 4 ** -2 }}|{{ 0 ** 0 }}|{{ true + true }}|{{ true * 3 }}|{{ [1] * 3 }}|{{ 3 * 'ab' }}|{{ 'ab' * -1 }}|{{ (1,) + (2,) }}
{{ 1_000 }}|{{ 0x1F }}|{{ 0b101 }}|{{ 0o17 }}|{{ 1e3 }}|{{ 1.5e-3 }}|{{ 1E5 }}|{{ 12_3.4_5 }}
{{ 1e22 }}|{{ 123456789.123 }}|{{ 1e-4 }}|{{ 0.00001 }}|{{ 1e400 }}|{{ -1e400 }}|{{ 5e-324 }}|{{ 1.7976931348623157e308 }}|{{ 100000000000000000000.0 }}
{{ [1e400, -0.0] | tojson }}|{{ {1: 2, true: 3, none: 4, 2.5: 5} | tojson }}|{{ {(1,): 2} | length }}|{{ (1, [2, ()]) | tojson }}
{{ {(1,): 2} | tojson }}
{{ undefined_name | tojson }}
{{ range(3) | tojson }}
{{ {1: 'a', 1.0: 'b', true: 'c'} }}|{{ {'a': 1, 'a': 2} }}|{{ {}.get('x') }}|{{ {(1, 2): 3}[(1, 2)] }}|{{ {(1.0, true): 3}[(1, 1)] }}
{{ {[]: 1} }}
{{ schema | tojson(indent=2) }}|{{ schema | tojson(indent=0) }}|{{ schema | tojson(indent='\t') }}|{{ schema | tojson(separators=(',', ':'), sort_keys=true) }}|{{ 'é😀\x7f' | tojson(ensure_ascii=true) }}
{{ s.split('l', 1) }}|{{ ' a  b c '.split(none, 1) }}|{{ ' a  b c '.rsplit(None, 1) }}|{{ 'a\r\nb\x0bc\u2028d'.splitlines() }}|{{ 'a\nb\n'.splitlines(true) }}|{{ ''.split() }}|{{ ''.split(',') }}|{{ ',a,'.split(',') }}|{{ 'aXbXc'.split(sep='X', maxsplit=1) }}
{{ 'a'.split('') }}
{{ 'wörld'.find('l') }}|{{ 'wörld'.index('d', 2) }}|{{ 'wörld'.rfind('ö', -4) }}|{{ 'aaa'.count('a', 1) }}|{{ 'abc'.startswith('b', 1) }}|{{ 'abc'.endswith('b', 0, 2) }}|{{ 'abc'.startswith(('x', 'a')) }}|{{ 'abc'.count('') }}|{{ 'abc'.find('', 5) }}
{{ 'abc'.index('z') }}
{{ 'abc'.startswith(1) }}
{{ ','.join([1]) }}
{{ 'straße'.title() }}|{{ "they're bill's".title() }}|{{ "they're bill's" | title }}|{{ 'ǆ'.capitalize() }}|{{ 'ὈΔΥΣΣΕΎΣ'.lower() }}|{{ 'ﬁ'.upper() }}|{{ 'ß'.casefold() }}|{{ 'aBc ÉÀ'.swapcase() }}|{{ 'hello-world (foo) [bar] {baz} <q>' | title }}
{{ '²'.isdigit() }}|{{ '²'.isdecimal() }}|{{ '½'.isnumeric() }}|{{ '٣'.isdigit() }}|{{ 'é'.isalpha() }}|{{ 'a1'.isalnum() }}|{{ ''.isalpha() }}|{{ 'A1'.isupper() }}|{{ 'Ab Cd'.istitle() }}|{{ '\u2003'.isspace() }}|{{ 'a_1'.isidentifier() }}|{{ '1a'.isidentifier() }}
{{ '%5.2f|%-6s|%06d|%+d|%x|%X|%o|%#x|%e|%g|%g|%g|%c|%r|%%' % (3.14159, 'ab', 42, 5, 255, 255, 8, 255, 12345.678, 0.0001, 1e10, 1.0, 65, 'q') }}
{{ '%(a)s-%(b)d' % {'a': 1, 'b': 2} }}|{{ '%s' % [1, 2] }}|{{ '%*d' % (5, 3) }}|{{ '%.*f' % (1, 2.55) }}|{{ '%s' % none }}|{{ '%d' % 3.9 }}|{{ '%s %s' | format('a', 1) }}|{{ '%(x)s' | format(x=3) }}
{{ '%d' % 'x' }}
{{ '%s %s' % 'x' }}
{{ '%s' % ('x', 'y') }}
{{ '%q' % 1 }}
{{ '{} {1}'.format(1, 2) }}
{{ '{:>8}|{:<8}|{:^8}|{:*^8}|{:08.3f}|{:+d}|{:,}|{:x}|{:%}|{:e}|{!r}|{:.2}'.format('a', 'b', 'c', 'd', 3.14159, 5, 1234567, 255, 0.25, 12345.678, 'q', 'xyz') }}
{{ '{0.k}{0[a]}{1[0]}'.format(d, nums) }}|{{ '{a}{b}'.format(a=1, b=2) }}|{{ '{{}}'.format() }}|{{ '{:{}}'.format(1, 5) }}|{{ '{}'.format(none) }}|{{ '{:5}|{:5}'.format(true, 1.5) }}
{{ '{'.format(1) }}
{{ '{:d}'.format('a') }}
{{ '{0.__class__}'.format(d) }}
{{ "it's" ~ '' }}|{{ ["it's \"q\""] }}|{{ ['\n\t\\\x00\u200b\xa0é😀'] }}|{{ ['\''] }}|{{ "\N" }}
{{ 'a\
b' }}|{{ '\101\x41\u0041\U00000041\q' }}
{{ '\x4' }}
{{ nums | sort(reverse=true) | first }}|{{ l | sort(attribute='n') | map(attribute='n') | join }}|{{ l | sort(attribute='n', case_sensitive=true) | map(attribute='n') | join }}|{{ [[2, 1], [1, 9], [1, 2]] | sort }}|{{ l | map(attribute='v', default=9) | sum }}|{{ l | sum(attribute='n.x') }}
{{ [1, 'a'] | sort }}
{{ [none, 1] | max }}
{{ l | groupby('n') | map(attribute='grouper') | list }}|{% for g, items in [{'a': 1}, {'a': 2}, {'a': 1}] | groupby('a') %}{{ g }}:{{ items | length }} {% endfor %}|{{ ([{'a': 'x'}, {'a': 'X'}] | groupby('a'))[0].list | length }}
{{ nums | map('string') | list }}|{{ nums | select('gt', 3) | list }}|{{ nums | reject('in', [3]) | list }}|{{ l | selectattr('v', 'defined') | map(attribute='v') | list }}|{{ l | rejectattr('v') | list }}|{{ [[1, 2], [3]] | map('first') | list }}|{{ ['a-b'] | map('replace', '-', '+') | first }}
{{ nums | map('nosuch') | list }}
{{ nums | select('nosuch') | list }}
{{ nums | map | list }}
{{ nums | map('upper') | length }}
{{ (nums | select)[0] }}|{% if [] | select %}true{% endif %}|{% set g = nums | select('odd') %}{{ g | list }}{{ g | list }}
{{ nums | batch(2, 0) | list }}|{{ nums | slice(3, 'x') | list }}|{{ nums | unique | list }}|{{ ['a', 'A'] | unique | list }}|{{ nums | reverse | list }}|{{ 'abc' | reverse }}|{{ d | reverse | list }}|{{ d | first }}|{{ d | last }}|{{ [] | first is undefined }}|{{ [] | max is undefined }}
{{ 5 | reverse }}
{{ nums | select | last }}
{{ 42.55 | round(1) }}|{{ 0.5 | round }}|{{ 1.5 | round }}|{{ 2.675 | round(2) }}|{{ 1234 | round(-2) }}|{{ 1250 | round(-2) }}|{{ 2.1 | round(0, 'ceil') }}|{{ 2.9 | round(method='floor') }}|{{ 5 | round }}
{{ ' 12 ' | int }}|{{ '0x1f' | int(base=16) }}|{{ '1f' | int(0, 16) }}|{{ '1_000' | int }}|{{ '-3.9' | int }}|{{ 'x' | int(7) }}|{{ none | int }}|{{ '1e3' | int }}|{{ ' 1.5 ' | float }}|{{ 'inf' | float }}|{{ [] | float(2.5) }}|{{ true | int }}
{{ 'a b\n\nc' | indent(3) }}|{{ 'a\n\nb' | indent(2, true, true) }}|{{ 'a\nb' | indent('> ', first=true) }}|{{ 'one two three four' | truncate(11) }}|{{ 'one two three four' | truncate(11, true) }}|{{ 'one two three' | truncate(9, false, '…', 0) }}|{{ "it's a_b c-d" | wordcount }}
{{ 'a b&c/d?é' | urlencode }}|{{ {'a b': 1, 'c': 'é&'} | urlencode }}|{{ '<!-- c --><p class="x">a  &amp; b</p>\n' | striptags }}|{{ '<' | e }}|{{ '<' | e | e }}|{{ '<' | e | forceescape }}
{{ '<' | safe + '<' }}|{{ '<' + ('>' | safe) }}|{{ '<' | safe ~ '<' }}|{{ ['<' | safe, '&'] | join }}|{{ ('a' | safe) is escaped }}|{{ ['x' | safe] }}
{{ d['items'] }}
{{ d.get('items') }}|{{ d.copy() == d }}|{{ d.keys() }}|{{ d.values() | list | length }}|{{ d.items() | first }}|{{ d.n.m.index(2) }}|{{ nums.count(3) }}|{{ (1, 2).index(2) }}|{{ 'k' in d.keys() }}|{{ ('k', 'v') in d.items() }}|{{ d.keys()[0] is defined }}
{{ nums.index(77) }}
{{ d.pop('k') }}
{{ d.update({}) }}
{{ nums.sort() }}
{{ d.nosuch() }}
{{ ''.__class__ is defined }}|{{ [].__doc__ }}
{{ cycler.__init__.__globals__ }}
{{ self.__init__ }}
{{ namespace(a=1).a }}|{{ namespace({'b': 2}, c=3).c }}|{{ namespace() }}|{{ dict([('a', 1), ['b', 2]], c=3) }}|{{ namespace(a=1).b is defined }}
{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{% set _ = c.reset() %}{{ c.current }}|{% set j = joiner('; ') %}{{ j() }}a{{ j() }}b{{ j() }}c
{{ range(3) }}|{{ range(1, 3) }}|{{ range(0, 10, 3) }}|{{ range(5)[1:3] }}|{{ range(5)[-1] }}|{{ range(5) | length }}|{{ 3 in range(5) }}|{{ range(5)[::-1] | list }}|{{ range(3) is sequence }}|{{ range(3) == range(3) }}
{{ range() }}
{{ range(1, 2, 0) }}
{{ nums[1:-1] }}|{{ nums[::-2] }}|{{ nums[10:] }}|{{ s[-3:] }}|{{ s[::-1] }}|{{ s[7] }}|{{ s[99] is undefined }}|{{ nums[true] }}|{{ d[1] is undefined }}|{{ nums['x'] is undefined }}|{{ (1, 2, 3)[1:] }}
{{ nums[::0] }}
{{ no[1:] }}
{{ d[1:] }}
{{ nums['a':] }}
{{ nums.0 }}|{{ l.0.n }}|{{ d.n.m.1 }}
{{ 1 < 2 == true }}|{{ 1 < 3 > 2 }}|{{ 'a' < 'b' < 'c' }}|{{ [1, 2] < [1, 3] }}|{{ (1,) < (1, 0) }}|{{ 1 == 1.0 == true }}|{{ none == none }}|{{ undefined_name == none }}|{{ undefined_name == other_name }}|{{ 2 > 1.5 }}|{{ big > 1e19 }}|{{ 1 != '1' }}|{{ not 1 > 2 }}
{{ 1 < 'a' }}
{{ none < 1 }}
{{ undefined_name < 1 }}
{{ [1] < (1,) }}
{{ 1 in 'abc' }}
{{ 'a' in 5 }}
{{ 'a' in undefined_name }}|{{ undefined_name ~ 'x' }}|{{ undefined_name | length }}|{{ undefined_name | list }}|{{ undefined_name | join }}|{{ undefined_name | upper }}|{{ undefined_name is iterable }}|{{ undefined_name is sequence }}|{{ undefined_name is callable }}|{{ undefined_name is mapping }}|{{ [undefined_name] }}|{{ undefined_name or 'x' }}|{{ undefined_name | default }}|{{ '%s' % undefined_name }}
{{ undefined_name + 1 }}
{{ -undefined_name }}
{{ undefined_name() }}
{{ undefined_name[0] }}
{{ 1 is divisibleby(0) }}
{{ 'x' is sameas 'x' }}|{{ none is sameas none }}|{{ 1 is sameas true }}|{{ 3 is not odd }}|{{ 5 is gt 3 }}|{{ 5 is lt(3) }}|{{ 5 is ge 5 }}|{{ 'a' is in 'abc' }}|{{ 1 is ne 2 }}|{{ 'upper' is filter }}|{{ 'odd' is test }}|{{ d is iterable }}|{{ 5 is iterable }}|{{ d is sequence }}|{{ range is callable }}|{{ 'Ab' is lower }}|{{ 2.0 is integer }}|{{ big is integer }}|{{ true is integer }}|{{ none is boolean }}|{{ s is string and s is not mapping }}
{{ x is defined is true }}
{{ 'a' is nosuch if false }}|{{ 'a' | nosuch if false }}|{% if false %}{{ 'a' | nosuch }}{% endif %}
{{ 'a' | nosuch if true }}
{{ [1, 2, 3,] }}|{{ (1, 2,) }}|{{ {'a': 1,} }}|{{ () }}|{{ 1, 2 }}|{{ (1) }}|{{ [[], {}, ()] }}
{{ d.k.upper().lower().title() }}|{{ 'a'.upper() ~ 'b'.upper() }}|{{ (s | upper).lower() }}|{{ [s, 'x'] | map('upper') | join(',') | replace(',', ';') }}|{{ s | replace('o', '0') | length + 1 }}|{{ -1 | abs }}|{{ - 2 | abs }}|{{ not false and true or false }}
{{ 'x' if t }}|{{ 'x' if no else 'y' if t else 'z' }}|{{ (1 if t else 2) + 1 }}|{{ [1 if t else 2, 3] }}|{{ 1 + 1 if t else 5 }}
{% macro f(x, y=2, *args) %}{% endmacro %}
{% macro f(x, y=x) %}{{ x }}{{ y }}{% endmacro %}{{ f(1) }}{{ f(1, 3) }}{{ f(y=4, x=5) }}{{ f(*[6, 7]) }}{{ f(**{'x': 8, 'y': 9}) }}{{ f.name }}{{ f.arguments }}{{ f.catch_varargs }}
{% macro f() %}{{ varargs | length }}{{ kwargs | tojson }}{% endmacro %}{{ f(1, 2, a=3) }}{{ f.catch_kwargs }}
{% macro f(x) %}{{ x }}{% endmacro %}{{ f(1, 2) }}
{% macro f(x) %}{{ x }}{% endmacro %}{{ f(z=2) }}
{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }}
{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ q }}{% endmacro %}{% set q = 'late' %}{{ f() }}
{% set q = 1 %}{% macro f() %}{{ q }}{% set q = 2 %}{{ q }}{% endmacro %}{{ f() }}{{ q }}
{% macro f() %}[{{ caller(1, z=3) }}]{% endmacro %}{% call(a, b=2, z=0) f() %}{{ a }}{{ b }}{{ z }}{% endcall %}
{% macro f() %}x{% endmacro %}{% call f() %}y{% endcall %}
{% macro f() %}{{ caller() }}{% endmacro %}{{ f() }}
{% for i in nums %}{{ loop.index }}{% if not loop.last %},{% endif %}{% endfor %}|{% for i in nums if i > 3 %}{{ loop.first }}{{ loop.last }}{{ loop.nextitem }}{{ loop.previtem }} {% endfor %}
{% set ns = namespace(seen=[]) %}{% for i in nums if i not in ns.seen %}{% set ns.seen = ns.seen + [i] %}{{ i }}{% endfor %}|{{ ns.seen }}
{% for a, b in [(1, 2), [3, 4]] %}{{ a }}{{ b }}{% endfor %}|{% for (a, (b, c)) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}|{% for k in d %}{{ k }}{% endfor %}|{% for c in 'añ' %}{{ c }}.{% endfor %}
{% for a, b in [(1, 2, 3)] %}{% endfor %}
{% for a, b in [(1,)] %}{% endfor %}
{% for a, b in [1] %}{% endfor %}
{% for i in 5 %}{% endfor %}
{% for i in none %}x{% endfor %}
{% for i in undefined_name %}x{% else %}none{% endfor %}
{% for i in nums %}{% break %}{% else %}never finished{% endfor %}|{% for i in nums %}{% if i == 9 %}{% break %}{% endif %}{{ i }}{% else %}x{% endfor %}
{% for i in nums recursive %}{{ loop.depth }}{% if loop.first and loop.depth < 3 %}({{ loop([1, 2]) }}){% endif %}{% endfor %}
{% for i in nums %}{{ loop(nums) }}{% endfor %}
{% for i in [1, 2] %}{% for j in [1, 2] %}{{ loop.index0 }}{% endfor %}{{ loop.index0 }}{% endfor %}{{ loop is defined }}
{% set x = 1 %}{% if t %}{% set x = 2 %}{% endif %}{{ x }}{% for i in [1] %}{% set x = 3 %}{{ x }}{% endfor %}{{ x }}{% with x = 4, y = x %}{{ x }}{{ y }}{% set x = 5 %}{% endwith %}{{ x }}
{% set a, b = 'xy' %}{{ a }}{{ b }}{% set (c, d) = (1, 2) %}{{ c }}{{ d }}{% set e = 1, 2 %}{{ e }}{% set f, = [3] %}{{ f }}
{% set ns = namespace() %}{% set ns.a, ns.b = 1, 2 %}{{ ns.a }}{{ ns.b }}{% set ns.c %}blk{% endset %}{{ ns.c }}
{% set d.k = 1 %}
{% set nosuch.k = 1 %}
{% set 1 = 2 %}
{% set true = 2 %}
{% set x %}a{% set y = 1 %}{{ y }}{% endset %}{{ x }}{{ y is defined }}|{% set z | trim | upper %} q {% endset %}[{{ z }}]
{% filter upper | replace('A', 'b') %}a{{ s }}{% endfilter %}|{% filter indent(2) %}a⏎b{% endfilter %}
{% block b %}{{ s }}{% endblock b %}|{% print s %}|{% print 1, 2 %}
{% raw -%}  {{ x }} {%- endraw %}|{%- raw %} a {% endraw -%}  b|{% raw %}{% endraw %}
  {%- raw %}⏎ {{ a }} ⏎{%- endraw +%}⏎x
a⏎  {#- c -#}  ⏎b|{#+ c +#}⏎d⏎  {# e #}⏎f
a  {%- set q = 1 -%}  b  {%+ set q = 1 +%}⏎c⏎⏎  {% set q = 1 %}⏎⏎d
⏎⏎  {{ 1 }}  ⏎⏎{{- 2 -}}⏎⏎x⏎
{% if t %}⏎a⏎{% else %}⏎b⏎{% endif %}⏎⏎
a 	{%- if t %}b{% endif -%} 	c
	{% if t %}⏎	x{% endif %}
x{% if t %} y{% endif %} z
{{ '{{' }}{{ '}}' }}{{ "{%" }}{{ '%}' }}{{ '#}' }}|{ { } }|{{'a'}}|{{-1}}|{{ -1 }}|{{+1}}
{{ {'a': {'b': 1}}['a']['b'] }}|{{ {'a': {}} }}|{{ [{'}}': 1}] }}
{{ 1 }}}
{{ [1 }}
{{ 1 ]}}
{{ (1, }}
{{ 'a }}
{{ a b }}
{{ }}
{{ . }}
{{ 1. }}
{{ a.1b }}
{{ 5 if }}
{{ not }}
{{ f(a=1, 2) }}
{{ f(*a, *b) }}
{{ x | }}
{{ x is }}
{{ @ }}
{{ 'x
{# x
{% raw %}x
{% if %}x{% endif %}
{% if t %}x{% endfor %}
{% endif %}
{% for %}x{% endfor %}
{% for x %}{% endfor %}
{% for loop in nums %}{% endfor %}
{% for x in %}{% endfor %}
{% set %}
{% set x = %}
{% macro %}{% endmacro %}
{% macro f(a=1, b) %}{% endmacro %}
{% call 5 %}{% endcall %}
{% with x %}{% endwith %}
{% 5 %}
{% if t %}{% else %}{% else %}{% endif %}
{% extends 'x' %}
{% from 'x' import y %}
{{ raise_exception() }}
{{ raise_exception(5) }}
{{ raise_exception('a ' ~ s) if t }}
{{ s.upper(1) }}
{{ 'x'.replace('a') }}
{{ s | replace('a') }}
{{ s | upper(1) }}
{{ s | indent(wdth=1) }}
{{ s() }}
{{ s.x.y }}
{{ no.x.y }}
{{ no() }}
{{ d | attr('k') is defined }}{{ (s | attr('upper'))() }}
{{ s|string|length }}{{ 5|string|length }}{{ [1]|string }}{{ none|string }}{{ true|string }}
{{ 'a' if 'b' in 'abc' and not 'z' in 'abc' }}{{ 1 if 2 not in [1] else 0 }}
{{ 'a'~'b'~1+1 }}
{{ 2 * 3 ~ 4 }}|{{ 2 + 3 ~ 4 if false else '' }}|{{ 2 ** 3 ** 2 }}|{{ -2 ** 2 }}|{{ 10 - 2 - 3 }}|{{ 100 / 10 / 2 }}|{{ 7 // 2 * 2 }}|{{ 1 - -1 }}|{{ 2 * -3 }}
"""


def more():
    e, rows = environment(), []
    for line in MORE.strip("\n").split("\n"):
        template = line.replace("⏎", "\n")
        parts = [template]
        if "|{{" in template:  # each expression alone too, so that one gap does not hide the others
            first, *rest = template.split("|{{")
            parts += [first] + ["{{" + p for p in rest]
        rows += [{"template": p, **render(e, p, CONTEXT)} for p in parts]
    return rows


LITERALS = """1|0|-1|2|3.5|-0.5|10|"abc"|"a b c"|""|"Ab-cD"|"  x\\n"|none|true|false|[]|{}|[1,2,3]|["b","A","c"]|{"a":1,"b":[2]}|(1,2)|("a",)|"é<&>"|"12"|"1.5e3"|1e16|1e-5|"a,b,,c"|
[[1,2],[3]]|{1:2}|range(4)|"x" "y"|[none,true]|"\\t;"|'q"s'|1e300|"\\u2028"|"😀 x"|99999999999999999999""".replace("\n", "").split("|")
NAMES = list(CONTEXT) + ["undef", "d.k", "d.n.m", "l[0].n", "l[1]", "d.missing", "schema.properties", "schema.required"]
BINARY = ["+", "-", "*", "/", "//", "%", "~", "==", "!=", "<", ">", "<=", ">=", "in", "not in", "and", "or"]
FILTERS = """upper|lower|title|capitalize|trim|length|count|first|last|list|reverse|sort|unique,list|sum|min|max|join|join(",")|join("-",attribute="n")|abs|int|float|round|round(1)|round(1,"ceil")|string|tojson|
tojson(indent=2)|tojson(sort_keys=true)|e|escape|safe|default("D")|default("D",true)|d(3)|dictsort|dictsort(reverse=true)|dictsort(by="value")|items,list|map("upper"),list|map(attribute="n"),list|
map(attribute="n",default="?"),list|select,list|reject,list|select("odd"),list|selectattr("v"),list|selectattr("n","eq","a"),list|rejectattr("v","defined"),list|select("string"),list|batch(2),list|slice(2),list|
groupby("n")|replace("a","X")|replace("a","X",1)|indent|indent(2,true)|truncate(5)|truncate(5,true,"..",0)|wordcount|center(9)|striptags|sort(reverse=true)|sort(attribute="n")|sort(case_sensitive=true)|
sum(start=1)|sum(attribute="v")|forceescape|trim("a")|int(5)|int(base=16)|float(1)|map("tojson"),join(";")|map("default","q"),list|unique(attribute="n"),list|max(attribute="n")""".replace("\n", "").split("|")
TESTS = "defined|undefined|none|string|number|integer|float|boolean|mapping|sequence|iterable|callable|true|false|odd|even|upper|lower|divisibleby 3|eq 1|ne 1|gt 0|lt(2)|in [1,2]|sameas none|not none|not defined|escaped|ge 1|le 'b'".split("|")
METHODS = """upper()|lower()|title()|strip()|strip("a")|lstrip()|rstrip("c")|split()|split(",")|split(",",1)|rsplit(",",1)|splitlines()|partition(",")|rpartition("b")|replace("a","")|replace("","-")|startswith("a")|
endswith(("c","x"))|find("b")|rfind("b")|index("b")|count("a")|join(["p","q"])|join("xy")|isdigit()|isalpha()|isspace()|isupper()|islower()|istitle()|zfill(5)|center(8,"*")|ljust(6)|swapcase()|capitalize()|
removeprefix("a")|removesuffix("c")|format(1)|get("k")|get("zz",1)|keys(),list|values(),list|items(),list|append(1)|pop()|nosuch()|is_integer()""".replace("\n", "").split("|")
SUBSCRIPTS = '[0]|[-1]|[1]|[5]|["k"]|["n"]|.k|.n|.zz|.n.m'.split("|")
SLICES = "[1:]|[:-1]|[::-1]|[::2]|[1:2]|[-2:]|[3:1:-1]|[:0]".split("|")
FORMATS = '"%s"|"%d"|"%5d;"|"%-5s;"|"%05.1f"|"%r"|"%+d"|"%e"|"%g"|"%s-%s"|"%.2s"'.split("|")


def expression(r, depth):
    """A random expression. Slices are of names alone: of literals jinja2 computes them beforehand, by other rules."""
    pick = r.random()
    if depth <= 0 or pick < 0.15:
        return r.choice(LITERALS) if r.random() < 0.6 else r.choice(NAMES)
    sub = lambda: expression(r, depth - 1)  # noqa: E731
    if pick < 0.37:
        return f"({sub()} {r.choice(BINARY)} {sub()})"
    if pick < 0.60:
        return f"({sub()})|" + r.choice(FILTERS).replace(",list", "|list").replace(',join(";")', '|join(";")')
    if pick < 0.68:
        return f"(({sub()}) is {r.choice(TESTS)})"
    if pick < 0.80:
        return f"({sub()})." + r.choice(METHODS).replace("(),list", "()|list")
    if pick < 0.86:
        return f"({sub()}){r.choice(SUBSCRIPTS)}"
    if pick < 0.89:
        return r.choice(list(CONTEXT)) + r.choice(SLICES)
    if pick < 0.92:
        return f"({r.choice(FORMATS)} % {sub()})"
    if pick < 0.95:
        return f"({sub()} if {sub()} else {sub()})"
    if pick < 0.97:
        return f"[{sub()}, {sub()}]"
    return "{'k': " + sub() + ', "j": ' + sub() + "}"


SPACE = ["", " ", "\n", "\n\n", "  ", "\t", " \n ", "\n  ", "\r\n", "\u00a0"]
WORDS = ["a", "b c", "x{", "}y", "%", "#", "{ {", "-", "é", '"', "'"]
PRINTED = """s|d.k|1|x|y|loop.index|loop.first|loop.last|loop.length|loop.nextitem|loop.previtem|ns.v|m(1)|m(1,b=2)|m()|caller()|nums,length|nums,sort|not x|x if y|i|k|v|loop.revindex|"a}}b"|'%}'|{"a":1}|
x is defined|loop.cycle("p","q")|loop.changed(i)|s.nosuch.x|d.items(),list""".replace("\n", "").split("|")
LOOPS = "i in nums|k, v in d.items()|i in e|i in nums if i > 1|k in d|i in 'abc'|i in range(3)|i in nums recursive|i, j in [(1,2),(3,4)]|i in undef|i in 5|(i, j) in [(1,2)]|x in nums".split("|")
SETS = "x = 1|y = x|x, y = 1, 2|ns = namespace(v=1)|ns.v = 2|x = m(2)|x = loop.index|i = 9|x = [1] + [x]|(x, y) = (3, 4)|x, y = 1|m = 3|ns.v = ns.v + 1".split("|")


def tag(r, words):
    return "{%" + r.choice(["", "", "", "-", "+"]) + r.choice([" ", "\n "]) + words + r.choice([" ", "\n"]) + r.choice(["", "", "", "-", "+"]) + "%}"


def body(r, depth):
    return "".join(r.choice(SPACE) + statement(r, depth) + r.choice(SPACE) for _ in range(r.randint(0, 3)))


def statement(r, depth):
    pick, inner = r.random(), lambda: body(r, depth - 1)  # noqa: E731
    if depth <= 0 or pick < 0.35:
        if r.random() < 0.4:
            return r.choice(WORDS)
        what = r.choice(PRINTED).replace(",length", "|length").replace(",sort", "|sort").replace(",list", "|list")
        return "{{" + r.choice(["", "", "-", "+"]) + " " + what + " " + r.choice(["", "", "-"]) + "}}"
    if pick < 0.42:
        return "{#" + r.choice(["", "-", "+"]) + r.choice([" c ", "", " {{ x }} ", "\n"]) + r.choice(["", "-", "+"]) + "#}"
    if pick < 0.54:
        s = tag(r, "if " + r.choice(["t", "no", "x", "nums", "y is defined", "1 == 1", "e"])) + inner()
        s += tag(r, "elif x") + inner() if r.random() < 0.3 else ""
        s += tag(r, "else") + inner() if r.random() < 0.4 else ""
        return s + tag(r, "endif")
    if pick < 0.68:
        s = tag(r, "for " + r.choice(LOOPS)) + inner()
        s += tag(r, "if loop.last") + tag(r, r.choice(["break", "continue"])) + tag(r, "endif") if r.random() < 0.3 else ""
        s += tag(r, "else") + inner() if r.random() < 0.3 else ""
        return s + tag(r, "endfor")
    if pick < 0.79:
        return tag(r, "set " + r.choice(SETS))
    if pick < 0.83:
        return tag(r, "set " + r.choice(["x", "y", "x | upper"])) + inner() + tag(r, "endset")
    if pick < 0.89:
        return tag(r, "macro " + r.choice(["m(a)", "m(a, b=2)", "m(a, b=a)", "m()"])) + inner() + r.choice(["", "{{ a }}", "{{ a }}{{ b }}", "{{ caller() }}"]) + tag(r, "endmacro")
    if pick < 0.92:
        return tag(r, "call" + r.choice([" ", "(q) "]) + r.choice(["m(1)", "m()", "m(1,2)"])) + inner() + tag(r, "endcall")
    if pick < 0.95:
        return tag(r, "filter " + r.choice(["upper", "trim|upper"])) + inner() + tag(r, "endfilter")
    if pick < 0.98:
        return tag(r, "with " + r.choice(["", "x = 1", "x = 2, y = x"])) + inner() + tag(r, "endwith")
    return "{%" + r.choice(["", "-"]) + " raw %}" + r.choice(WORDS) + r.choice(SPACE) + "{%" + r.choice(["", "-"]) + " endraw " + r.choice(["", "-", "+"]) + "%}"


def at_random():
    e, rows = environment(), []
    for seed in range(3000):
        r = random.Random(seed)
        template = "{{ " + expression(r, r.choice([1, 2, 2, 3])) + " }}" if seed % 2 else body(r, 3) + r.choice(["", "\n"])
        got = render(e, template, CONTEXT)
        text = got.get("text", "")
        if template and len(text) < 400 and len(template) < 400 and " at 0x" not in text:
            rows.append({"template": template, "text": text} if "text" in got else {"template": template, "error": "any"})
    return rows


def main():
    for name, cases in (("more.json", more()), ("random.json", at_random())):
        (HERE / name).write_text(json.dumps({"context": CONTEXT, "cases": cases}, ensure_ascii=False, indent=0, separators=(",", ":")) + "\n")
        print(name, len(cases), sum("text" in c for c in cases))


if __name__ == "__main__":
    main()
