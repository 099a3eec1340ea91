// spans.go finds where the values inside a JSON text lie, without copying them: a picture is megabytes of letters, and what
// stands around it must stay as it was sent. The text must be valid JSON, as bodies are by the time they are looked at here.
package body

import (
	"bytes"
	"encoding/json"
	"iter"
)

// Span is v[from:to] of some text v.
type Span struct{ From, To int }

// Elements yields the places of an array's elements; nothing if v[at:] begins with another value.
func Elements(v []byte, at int) iter.Seq[Span] {
	return func(yield func(Span) bool) {
		if v[at] != '[' {
			return
		}
		for i := skip(v, at+1); v[i] != ']'; i = skip(v, i) {
			s := Span{i, valueEnd(v, i)}
			if !yield(s) {
				return
			}
			i = s.To
		}
	}
}

// FieldsOf yields the keys of an object with the places of their values, also of keys that are there twice; nothing if v[at:] begins
// with another value.
func FieldsOf(v []byte, at int) iter.Seq2[string, Span] {
	return func(yield func(string, Span) bool) {
		if v[at] != '{' {
			return
		}
		for i := skip(v, at+1); v[i] != '}'; i = skip(v, i) {
			end := valueEnd(v, i)
			var key string
			_ = json.Unmarshal(v[i:end], &key) // a valid string
			i = skip(v, end)
			s := Span{i, valueEnd(v, i)}
			if !yield(key, s) {
				return
			}
			i = s.To
		}
	}
}

// skip steps over white space and what separates values.
func skip(v []byte, i int) int {
	for v[i] == ' ' || v[i] == '\t' || v[i] == '\r' || v[i] == '\n' || v[i] == ',' || v[i] == ':' {
		i++
	}
	return i
}

// valueEnd is the place after the value that begins at i.
func valueEnd(v []byte, i int) int {
	for depth := 0; i < len(v); {
		switch v[i] {
		case '"':
			i = stringEnd(v, i)
		case '[', '{':
			depth++
			i++
		case ']', '}':
			if depth == 0 { // of what is around a number
				return i
			}
			depth--
			i++
		case ' ', '\t', '\r', '\n', ',', ':':
			if depth == 0 {
				return i
			}
			i++
			continue
		default: // of a number or a word, which go on
			i++
			continue
		}
		if depth == 0 {
			return i
		}
	}
	return i
}

// stringEnd is the place after the string that begins at i.
func stringEnd(v []byte, i int) int {
	for {
		i += 1 + bytes.IndexByte(v[i+1:], '"')
		before := i
		for v[before-1] == '\\' {
			before--
		}
		if (i-before)%2 == 0 {
			return i + 1
		}
	}
}

// Extent is how many values a JSON text has in it, keys not counted, and how deep they nest.
func Extent(v []byte) (values, deepest int) {
	depth := 0
	values = 1
	for i := 0; i < len(v); i++ {
		switch v[i] {
		case '"':
			i = stringEnd(v, i) - 1
		case '[', '{':
			depth++
			deepest = max(deepest, depth)
			if next := skip(v, i+1); v[next] != ']' && v[next] != '}' {
				values++
			}
		case ']', '}':
			depth--
		case ',':
			values++
		}
	}
	return values, deepest
}

// FieldAt returns the last value that an object has for a key, as templates and most readers take it.
func FieldAt(v []byte, key string) (json.RawMessage, bool) {
	var value json.RawMessage
	for k, s := range FieldsOf(v, 0) {
		if k == key {
			value = v[s.From:s.To]
		}
	}
	return value, value != nil
}

// FirstOf is what the first element of an array begins with, false if there is none.
func FirstOf(v json.RawMessage) (byte, bool) {
	for at := range Elements(v, 0) {
		return v[at.From], true
	}
	return 0, false
}
