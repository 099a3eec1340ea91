package jinja

import "testing"

// TestFiltersAtTheirBoundaries: ties, lengths that just fit and those that just do not. The values are jinja2's (3.1.6).
func TestFiltersAtTheirBoundaries(t *testing.T) {
	for source, want := range map[string]string{
		"{{ [{'k':1,'v':'a'},{'k':1,'v':'b'},{'k':2,'v':'c'},{'k':1,'v':'d'}] | sort(reverse=true, attribute='k') | map(attribute='v') | join }}": "cabd",
		"{{ ['b','B','a','A'] | sort(reverse=true) | join }}":            "bBaA",
		"{{ {'b':1,'a':1,'c':0} | dictsort(by='value', reverse=true) }}": "[('b', 1), ('a', 1), ('c', 0)]",
		"{{ ['b','B','a','A'] | min }}{{ ['b','B','a','A'] | max }}":     "ab",
		"{{ [2,1,2.0] | max }}{{ [1,1.0] | min }}":                       "21",
		"{{ ['b','B'] | unique | list }}":                                "['b']",
		"{{ 'abcdefghij' | truncate(5) }}":                               "abcdefghij", // just within the leeway of 5
		"{{ 'abcdefghijk' | truncate(5) }}":                              "ab...",
		"{{ 'abcdefghi' | truncate(5, leeway=4) }}":                      "abcdefghi",
		"{{ 'abcdefghij' | truncate(5, leeway=4) }}":                     "ab...",
		"{{ 'abc def ghi' | truncate(3, leeway=0) }}":                    "...", // the end alone fits
		"{{ 'abc def ghi' | truncate(4, true, leeway=0) }}":              "a...",
		"{{ 'éééééééé' | truncate(3, true, '', 4) }}":                    "ééé", // characters, not bytes
		"{{ 'éééééééé' | truncate(3, true, '', 5) }}":                    "éééééééé",
		"{{ 'aa bb cc' | truncate(5, false, '..', 0) }}":                 "aa..",
	} {
		if got, err := render(t, source, nil); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", source, got, err, want)
		}
	}
	if got, err := render(t, "{{ 'abc def ghi' | truncate(2, leeway=0) }}", nil); err == nil {
		t.Errorf("an end that does not fit: %q", got)
	}
}
