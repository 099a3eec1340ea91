package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// document collects the problems of one file.
type document struct {
	file     string
	lines    map[string]int
	problems Problems
	notes    []Problem
	asked    []question
}

// question is a key that the reader has asked a table for: what the file may have there. docs/config.md is held to these.
type question struct {
	table, key string
	kind       string // of the value, as docs/config.md names it
	fallback   any    // nil: there is none, or it depends on other things
}

// at reports a problem with the value of a key.
func (d *document) at(path, format string, args ...any) {
	d.problems = append(d.problems, Problem{d.file, d.lineOf(path), path, fmt.Sprintf(format, args...)})
}

// lineOf falls back to the enclosing table for a key that is absent.
func (d *document) lineOf(path string) int {
	for path != "" {
		if line, ok := d.lines[path]; ok {
			return line
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return 0
}

// table reads the keys of one TOML table. Each reader answers the default where the key is absent or wrong, and reports
// what is wrong; finish reports the keys nobody asked for.
type table struct {
	doc    *document
	path   string
	values map[string]any
	known  []string
}

func (d *document) table(path string, values map[string]any) *table {
	return &table{doc: d, path: path, values: values}
}

// problem reports something about key, or about the table itself if key is "".
func (t *table) problem(key, format string, args ...any) {
	path := t.path
	if key != "" {
		path = join(path, key)
	}
	t.doc.at(path, format, args...)
}

// asks notes that the file may have key.
func (t *table) asks(key, kind string, fallback any) {
	t.known = append(t.known, key)
	t.doc.asked = append(t.doc.asked, question{table: t.path, key: key, kind: kind, fallback: fallback})
}

// read finds key and its type; expected completes the sentence "expected ...".
func read[T any](t *table, key, expected string) (value T, ok bool) {
	raw, present := t.values[key]
	if !present {
		return value, false
	}
	if value, ok = raw.(T); !ok {
		t.problem(key, "expected %s, found %s", expected, kind(raw))
	}
	return value, ok
}

func (t *table) text(key, fallback, expected string) string {
	t.asks(key, "string", orNone(fallback))
	value, ok := read[string](t, key, expected)
	if !ok {
		return fallback
	}
	if strings.TrimSpace(value) == "" {
		t.problem(key, "is empty; expected %s", expected)
		return fallback
	}
	return value
}

// orNone is nil for the zero value, which is no default of its own.
func orNone[T comparable](fallback T) any {
	if fallback == *new(T) {
		return nil
	}
	return fallback
}

func (t *table) flag(key string, fallback bool) bool {
	t.asks(key, "true or false", fallback)
	if value, ok := read[bool](t, key, "true or false"); ok {
		return value
	}
	return fallback
}

// count reads a whole number of at least low and at most high; 0 if it is not there.
func (t *table) count(key string, low, high int64) int {
	t.asks(key, fmt.Sprintf("number, %d to %d", low, high), nil)
	return t.number(key, 0, low, high)
}

// countOr is count with a default.
func (t *table) countOr(key string, fallback int, low, high int64) int {
	t.asks(key, fmt.Sprintf("number, %d to %d", low, high), fallback)
	return t.number(key, fallback, low, high)
}

func (t *table) number(key string, fallback int, low, high int64) int {
	value, ok := read[int64](t, key, fmt.Sprintf("a whole number from %d to %d", low, high))
	if !ok {
		return fallback
	}
	if value < low || value > high {
		t.problem(key, "%d is out of range; expected a whole number from %d to %d", value, low, high)
		return fallback
	}
	return int(value)
}

func (t *table) duration(key string, fallback time.Duration) time.Duration {
	t.asks(key, "duration", fallback)
	return t.span(key, fallback, "")
}

// span reads a duration; or says what else may stand there.
func (t *table) span(key string, fallback time.Duration, or string) time.Duration {
	expected := `a duration such as "30s" or "2m", up to "24h"` + or
	value, ok := read[string](t, key, expected)
	if !ok {
		return fallback
	}
	d, err := time.ParseDuration(value)
	if err != nil || d < 0 || d > 24*time.Hour {
		t.problem(key, "%q is not %s", value, expected)
		return fallback
	}
	return d
}

// durationOrForever reads a duration, or the word forever, which is 0; the duration 0 is -1.
func (t *table) durationOrForever(key string, fallback time.Duration) time.Duration {
	t.asks(key, "duration or `\"forever\"`", nil)
	if t.values[key] == "forever" {
		return 0
	}
	switch d := t.span(key, Unsaid, `, or "forever"`); d {
	case Unsaid:
		return fallback
	case 0:
		return -1
	default:
		return d
	}
}

func (t *table) size(key string) int64 {
	t.asks(key, "size", nil)
	return t.bytes(key)
}

// sizeOrNone reads a size, or the word none, which is -1.
func (t *table) sizeOrNone(key string) int64 {
	t.asks(key, "size or `\"none\"`", nil)
	if t.values[key] == "none" {
		read[string](t, key, "")
		return -1
	}
	return t.bytes(key)
}

func (t *table) bytes(key string) int64 {
	const expected = `a size such as "20GiB" or "512MB"`
	value, ok := read[string](t, key, expected)
	if !ok {
		return 0
	}
	bytes, err := parseSize(value)
	if err != nil {
		t.problem(key, "%v; expected %s", err, expected)
	}
	return bytes
}

// bounded reads a size from low to high.
func (t *table) bounded(key string, fallback, low, high int64) int64 {
	t.asks(key, fmt.Sprintf("size, %s to %s", FormatSize(low), FormatSize(high)), FormatSize(fallback))
	bytes := t.bytes(key)
	switch {
	case bytes == 0: // absent, or reported already
		return fallback
	case bytes < low || bytes > high:
		t.problem(key, "%d bytes is out of range; expected %d KiB to %d MiB", bytes, low>>10, high>>20)
		return fallback
	}
	return bytes
}

func (t *table) rate(key string) float64 {
	const expected = `a rate such as "2GB/s"`
	t.asks(key, "rate", nil)
	value, ok := read[string](t, key, expected)
	if !ok {
		return 0
	}
	rate, err := parseRate(value)
	if err != nil {
		t.problem(key, "%v; expected %s", err, expected)
	}
	return rate
}

// texts reads an array of strings that are neither empty nor twice there.
func (t *table) texts(key, expected string, fallback ...string) []string {
	t.asks(key, "array of strings", fallback)
	values, ok := read[[]any](t, key, "an array of "+expected)
	if !ok {
		return fallback
	}
	var list []string
	for i, raw := range values {
		value, ok := raw.(string)
		switch {
		case !ok:
			t.problem(element(key, i), "expected %s, found %s", expected, kind(raw))
		case value == "":
			t.problem(element(key, i), "is empty; expected %s", expected)
		case slices.Contains(list, value):
			t.problem(element(key, i), "%q stands there twice", value)
		default:
			list = append(list, value)
		}
	}
	return list
}

// places are those in arrays, which TOML has no way to write.
var places = regexp.MustCompile(`\[[0-9]+\]`)

// sub reads a table; an absent one is empty.
func (t *table) sub(key string) *table {
	t.asks(key, "table", nil)
	values, _ := read[map[string]any](t, key, fmt.Sprintf("a table [%s]", places.ReplaceAllString(join(t.path, key), "")))
	return t.doc.table(join(t.path, key), values)
}

// list reads an array of tables.
func (t *table) list(key string) []*table {
	t.asks(key, "tables", nil)
	var list []*table
	add := func(i int, raw any) {
		path := element(join(t.path, key), i)
		values, ok := raw.(map[string]any)
		if !ok {
			t.doc.at(path, "expected a table [[%s]], found %s", key, kind(raw))
			return
		}
		list = append(list, t.doc.table(path, values))
	}
	switch raw := t.values[key].(type) {
	case nil:
	case []map[string]any: // [[key]]
		for i, values := range raw {
			add(i, values)
		}
	case []any: // key = [{...}]
		for i, value := range raw {
			add(i, value)
		}
	case map[string]any:
		t.problem(key, "expected tables with two brackets, [[%s]], found [%s]", key, key)
	default:
		t.problem(key, "expected tables [[%s]], found %s", key, kind(raw))
	}
	return list
}

// finish reports unknown keys.
func (t *table) finish() {
	for _, key := range slices.Sorted(maps.Keys(t.values)) {
		if slices.Contains(t.known, key) {
			continue
		}
		if meant := nearest(key, t.known); meant != "" {
			t.problem(key, "unknown key; did you mean %s?", meant)
		} else {
			t.problem(key, "unknown key; expected one of %s", strings.Join(t.known, ", "))
		}
	}
}

// kind names a TOML value for a person.
func kind(value any) string {
	switch value := value.(type) {
	case string:
		return fmt.Sprintf("the string %q", shorten(value))
	case int64:
		return fmt.Sprintf("the number %d", value)
	case float64:
		return fmt.Sprintf("the number %v", value)
	case bool:
		return fmt.Sprintf("%v", value)
	case time.Time:
		return "a date"
	case map[string]any:
		return "a table"
	case []map[string]any:
		return "an array of tables"
	case []any:
		return "an array"
	}
	return "something else"
}

// shorten keeps a quotation readable.
func shorten(s string) string {
	const most = 60
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return s
}
