// document.go reads a schema's JSON with its order of keys, and within bounds.

package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Bounds of a schema. The library that resolves it takes time that grows with the square of its objects.
const (
	maxBytes   = 1 << 20
	maxDepth   = 128
	maxObjects = 4096
	maxValues  = 1 << 16
	maxDigits  = 400 // of a number, and its exponent
)

// value is a JSON value with the order of its keys.
type value struct {
	keys   []string // of an object
	items  []*value // of an array, or by key
	scalar any      // string, json.Number, bool, nil
	kind   byte     // '{', '[' or 0
}

// reader counts what it reads.
type reader struct {
	dec             *json.Decoder
	objects, values int
}

func parse(raw []byte) (*value, error) {
	if len(raw) > maxBytes {
		return nil, tooLarge("#", "it has %d bytes; at most %d are read", len(raw), maxBytes)
	}
	r := &reader{dec: json.NewDecoder(bytes.NewReader(raw))}
	r.dec.UseNumber()
	v, err := r.value("#", 0)
	if err != nil {
		return nil, err
	}
	if _, err := r.dec.Token(); !errors.Is(err, io.EOF) {
		return nil, invalid("#", "more follows behind the schema")
	}
	return v, nil
}

func (r *reader) value(path string, depth int) (*value, error) {
	token, err := r.dec.Token()
	if err != nil {
		return nil, invalid(path, "it is not JSON: %v", err)
	}
	r.values++
	switch {
	case depth > maxDepth:
		return nil, tooLarge(path, "it is nested more than %d deep", maxDepth)
	case r.values > maxValues || r.objects > maxObjects:
		return nil, tooLarge("#", "it has more than %d values or %d objects", maxValues, maxObjects)
	}
	switch t := token.(type) {
	case json.Delim:
		if t == '{' {
			return r.object(path, depth)
		}
		return r.array(path, depth)
	case json.Number:
		if err := checkNumber(t.String()); err != nil {
			return nil, invalid(path, "%v", err)
		}
	}
	return &value{scalar: token}, nil
}

func (r *reader) object(path string, depth int) (*value, error) {
	r.objects++
	v := &value{kind: '{'}
	seen := map[string]bool{}
	for r.dec.More() {
		key, err := r.dec.Token()
		if err != nil {
			return nil, invalid(path, "it is not JSON: %v", err)
		}
		name, _ := key.(string)
		if seen[name] {
			return nil, invalid(path, "the key %.60q appears twice", name)
		}
		seen[name] = true
		item, err := r.value(path+"/"+escapePointer(name), depth+1)
		if err != nil {
			return nil, err
		}
		v.keys, v.items = append(v.keys, name), append(v.items, item)
	}
	return v, r.close(path)
}

func (r *reader) array(path string, depth int) (*value, error) {
	v := &value{kind: '['}
	for r.dec.More() {
		item, err := r.value(path+"/"+strconv.Itoa(len(v.items)), depth+1)
		if err != nil {
			return nil, err
		}
		v.items = append(v.items, item)
	}
	return v, r.close(path)
}

func (r *reader) close(path string) error {
	if _, err := r.dec.Token(); err != nil {
		return invalid(path, "it is not JSON: %v", err)
	}
	return nil
}

// checkNumber bounds a number whose digits might be written out.
func checkNumber(s string) error {
	_, exponent, has := strings.Cut(strings.ToLower(s), "e")
	if n, err := strconv.Atoi(exponent); has && (err != nil || math.Abs(float64(n)) > maxDigits) || len(s) > maxDigits {
		return errors.New("the number " + strconv.Quote(s[:min(len(s), 40)]) + " has too many digits")
	}
	return nil
}

// plain is the value as package json and the library have it.
func (v *value) plain() any {
	switch v.kind {
	case '{':
		m := make(map[string]any, len(v.keys))
		for i, k := range v.keys {
			m[k] = v.items[i].plain()
		}
		return m
	case '[':
		list := make([]any, len(v.items))
		for i, item := range v.items {
			list[i] = item.plain()
		}
		return list
	}
	return v.scalar
}

func (v *value) get(key string) *value {
	if v == nil || v.kind != '{' {
		return nil
	}
	if i := slices.Index(v.keys, key); i >= 0 {
		return v.items[i]
	}
	return nil
}

// at is the value at a JSON pointer, nil if there is none.
func (v *value) at(pointer string) *value {
	for pointer != "" && v != nil {
		var token string
		token, pointer, _ = strings.Cut(pointer[1:], "/")
		if pointer != "" {
			pointer = "/" + pointer
		}
		token = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
		if v.kind == '[' {
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(v.items) {
				return nil
			}
			v = v.items[i]
			continue
		}
		v = v.get(token)
	}
	return v
}

func escapePointer(s string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(s) }

// any says whether a test holds for v or anything in it.
func (v *value) any(test func(*value) bool) bool {
	return test(v) || slices.ContainsFunc(v.items, func(item *value) bool { return item.any(test) })
}
