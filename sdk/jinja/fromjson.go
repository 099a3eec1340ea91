package jinja

// fromjson.go reads JSON into values.

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// maxJSONDepth is the nesting that FromJSON accepts; everything that walks a value can go deeper.
const maxJSONDepth = 200

// FromJSON reads one JSON text. Objects keep the order of their keys (of a repeated key the last value counts, at the
// first place), 1 becomes an int and 1.0 a float, integers of any size are exact. Beside what it returns it takes no memory
// worth the name: a text may be all that fits.
func FromJSON(data []byte) (Value, error) {
	var wrong *json.SyntaxError
	if err := json.Unmarshal(data, new(anything)); errors.As(err, &wrong) {
		return nil, fmt.Errorf("json: byte %d: %w", wrong.Offset, err)
	} else if err != nil {
		return nil, fmt.Errorf("json: %w", err)
	}
	r := &jsonReader{data: data}
	v, err := r.value(0)
	if err != nil {
		return nil, fmt.Errorf("json: byte %d: %w", r.at, err)
	}
	return v, nil
}

// anything is what JSON is read into to see that it is JSON.
type anything struct{}

func (*anything) UnmarshalJSON([]byte) error { return nil }

// jsonReader reads valid JSON.
type jsonReader struct {
	data []byte
	at   int
}

// next returns the first byte of the next value, or what closes the list or object around it.
func (r *jsonReader) next() byte {
	for strings.IndexByte(" \t\r\n,:", r.data[r.at]) >= 0 {
		r.at++
	}
	return r.data[r.at]
}

func (r *jsonReader) value(depth int) (Value, error) {
	switch c := r.next(); c {
	case '[', '{':
		if depth == maxJSONDepth {
			return nil, fmt.Errorf("nested deeper than %d", maxJSONDepth)
		}
		r.at++
		if c == '[' {
			return r.array(depth + 1)
		}
		return r.object(depth + 1)
	case '"':
		return r.text()
	case 't', 'n':
		r.at += len("true") // or null
		if c == 'n' {
			return nil, nil
		}
		return true, nil
	case 'f':
		r.at += len("false")
		return false, nil
	}
	from := r.at
	for r.at < len(r.data) && strings.IndexByte("+-.0123456789eE", r.data[r.at]) >= 0 {
		r.at++
	}
	return readNumber(string(r.data[from:r.at]))
}

func (r *jsonReader) array(depth int) (Value, error) {
	l := &List{}
	for r.next() != ']' {
		v, err := r.value(depth)
		if err != nil {
			return nil, err
		}
		l.Items = append(l.Items, v)
	}
	r.at++
	return l, nil
}

func (r *jsonReader) object(depth int) (Value, error) {
	o := &Dict{}
	for r.next() != '}' {
		key, err := r.text()
		if err != nil {
			return nil, err
		}
		v, err := r.value(depth)
		if err != nil {
			return nil, err
		}
		o.Set(key, v)
	}
	r.at++
	return o, nil
}

func (r *jsonReader) text() (s string, err error) {
	from := r.at
	for r.at++; r.data[r.at] != '"'; r.at++ {
		if r.data[r.at] == '\\' {
			r.at++
		}
	}
	r.at++
	err = json.Unmarshal(r.data[from:r.at], &s)
	return s, err
}

func readNumber(s string) (Value, error) {
	if strings.ContainsAny(s, ".eE") {
		f, _ := strconv.ParseFloat(s, 64) // out of range reads as infinite, as in Python
		return f, nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, nil
	}
	n, ok := new(big.Int).SetString(s[:min(len(s), maxDigits+1)], 10)
	if !ok || len(s) > maxDigits {
		return nil, fmt.Errorf("an integer has more than %d digits", maxDigits)
	}
	return n, nil
}
