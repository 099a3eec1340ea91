package jinja

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"testing"
	"unicode/utf8"
)

// tight keeps a fuzzed template from taking a second.
var tight = Limits{Steps: 200_000, Memory: 8 << 20, Output: 1 << 20}

// FuzzTemplate: no template panics, hangs or breaks the stack, and every failure is an *Error.
func FuzzTemplate(f *testing.F) {
	vars, cases := readCases(f, "testdata/more.json")
	_, random := readCases(f, "testdata/random.json")
	for _, c := range append(cases, random[:300]...) {
		f.Add(c.Template)
	}
	for _, source := range hostile {
		if len(source) < 1000 {
			f.Add(source)
		}
	}
	f.Fuzz(func(t *testing.T, source string) {
		tmpl, err := Parse(source)
		var text string
		if err == nil {
			text, err = tmpl.Render(context.Background(), Input{Vars: vars, Limits: tight})
		}
		var e *Error
		if err != nil && !errors.As(err, &e) {
			t.Fatalf("%T: %v", err, err)
		}
		if err == nil && utf8.ValidString(source) && !utf8.ValidString(text) {
			t.Fatalf("%q renders invalid UTF-8: %q", source, text)
		}
	})
}

// FuzzJSON: what is read is what encoding/json reads, and tojson writes it so that it reads the same.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"b":1,"a":[1.0,null,true,"é<>&'"],"b":2}`, `123456789012345678901234567890`, `1e400`, `-0`, `-0.0`, `"\ud83d\ude00\u0007"`, `[[[]]]`, `{`, `[1,]`, `"\ud800"`, ` 1 2`} {
		f.Add([]byte(s))
	}
	data, err := os.ReadFile("testdata/jinja.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := FromJSON(data)
		if err != nil {
			return
		}
		if !json.Valid(data) {
			t.Fatalf("%q was read, but is no JSON", data)
		}
		text, err := ToJSON(v)
		if err != nil {
			t.Fatal(err)
		}
		again, err := FromJSON([]byte(text))
		if err != nil {
			if e := (*json.SyntaxError)(nil); errors.As(err, &e) && holdsInfinity(v) {
				return // 1e400 reads as infinite, which Python writes as Infinity
			}
			t.Fatalf("%q: %v", text, err)
		}
		if second, err := ToJSON(again); err != nil || second != text {
			t.Fatalf("%q becomes %q becomes %q (%v)", data, text, second, err)
		}
	})
}

func holdsInfinity(v Value) bool {
	switch v := v.(type) {
	case float64:
		return v > 1e308 || v < -1e308
	case *List:
		for _, x := range v.Items {
			if holdsInfinity(x) {
				return true
			}
		}
	case *Dict:
		for _, x := range v.values {
			if holdsInfinity(x) {
				return true
			}
		}
	}
	return false
}
