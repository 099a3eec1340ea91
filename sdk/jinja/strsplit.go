package jinja

import (
	"math"
	"slices"
	"strings"
)

// strsplit.go has the methods of Python's str that cut it.

func stripMethod(trim func(string, func(rune) bool) string) func(*run, string, []Value) (Value, error) {
	return func(r *run, s string, a []Value) (Value, error) {
		cut := isSpace
		if a[0] != nil {
			chars, err := strArg(a[0])
			if err != nil {
				return nil, err
			}
			if err := r.read(len(chars)); err != nil {
				return nil, err
			}
			cut = oneOf(chars)
		}
		rest := trim(s, cut)
		return rest, r.read(len(s) - len(rest))
	}
}

func oneOf(chars string) func(rune) bool {
	const few = 32
	if len(chars) <= few {
		return func(c rune) bool { return strings.ContainsRune(chars, c) }
	}
	set := map[rune]bool{}
	for _, c := range chars {
		set[c] = true
	}
	return func(c rune) bool { return set[c] }
}

func (r *run) stringList(parts []string) (Value, error) {
	if err := r.growItems(len(parts)); err != nil {
		return nil, err
	}
	out := make([]Value, len(parts))
	for i, p := range parts {
		out[i] = p
	}
	return &List{out}, nil
}

// splitMethod cuts at a separator, or at runs of white space, n times at most; n < 0 means everywhere.
func splitMethod(cut func(s, sep string, n int) []string, fields func(s string, n int) []string) func(*run, string, []Value) (Value, error) {
	return func(r *run, s string, a []Value) (Value, error) {
		n, err := toInt(a[1])
		if err != nil {
			return nil, err
		}
		if a[0] == nil {
			return r.stringList(fields(s, n))
		}
		sep, err := strArg(a[0])
		if err != nil {
			return nil, err
		}
		if sep == "" {
			return nil, errorf(ValueError, "empty separator")
		}
		if err := r.growItems(strings.Count(s, sep)); err != nil {
			return nil, err
		}
		return r.stringList(cut(s, sep, n))
	}
}

func splitLeft(s, sep string, n int) []string {
	if n < 0 || n == math.MaxInt {
		return strings.Split(s, sep)
	}
	return strings.SplitN(s, sep, n+1)
}

func splitRight(s, sep string, n int) []string {
	parts := strings.Split(s, sep)
	if n < 0 || len(parts) <= n+1 {
		return parts
	}
	k := len(parts) - n
	return append([]string{strings.Join(parts[:k], sep)}, parts[k:]...)
}

func fieldsLeft(s string, n int) []string {
	var out []string
	for s = strings.TrimLeftFunc(s, isSpace); s != ""; s = strings.TrimLeftFunc(s, isSpace) {
		end := strings.IndexFunc(s, isSpace)
		if end < 0 || n >= 0 && len(out) == n {
			return append(out, s)
		}
		out = append(out, s[:end])
		s = s[end:]
	}
	return out
}

func fieldsRight(s string, n int) []string {
	var out []string
	for s = strings.TrimRightFunc(s, isSpace); s != ""; s = strings.TrimRightFunc(s, isSpace) {
		if n >= 0 && len(out) == n {
			out = append(out, s)
			break
		}
		start := strings.LastIndexFunc(s, isSpace)
		if start >= 0 {
			start += runeLen(s[start:])
		} else {
			start = 0
		}
		out = append(out, s[start:])
		s = s[:start]
	}
	slices.Reverse(out)
	return out
}

// splitlines cuts at everything Python takes for the end of a line.
func splitlines(r *run, s string, a []Value) (Value, error) {
	keep := truth(a[0])
	var parts []string
	for s != "" {
		i := strings.IndexAny(s, "\n\r\v\f\x1c\x1d\x1e\u0085\u2028\u2029")
		if i < 0 {
			parts = append(parts, s)
			break
		}
		n := runeLen(s[i:])
		if strings.HasPrefix(s[i:], "\r\n") {
			n = 2
		}
		if keep {
			parts = append(parts, s[:i+n])
		} else {
			parts = append(parts, s[:i])
		}
		s = s[i+n:]
	}
	return r.stringList(parts)
}

func partition(index func(s, sep string) int, last bool) func(*run, string, []Value) (Value, error) {
	return func(_ *run, s string, a []Value) (Value, error) {
		sep, err := strArg(a[0])
		if err != nil {
			return nil, err
		}
		if sep == "" {
			return nil, errorf(ValueError, "empty separator")
		}
		if i := index(s, sep); i >= 0 {
			return tuple(s[:i], sep, s[i+len(sep):]), nil
		}
		if last {
			return tuple("", "", s), nil
		}
		return tuple(s, "", ""), nil
	}
}
