// values.go reads single JSON values with their range, and says in one sentence what was expected instead.
package body

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

const clipped = 60 // bytes

// Clip shortens what a client sent to what fits in a sentence.
func Clip(s string) string {
	if len(s) <= clipped {
		return s
	}
	s = s[:clipped]
	for !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s + "..."
}

// Wrong is the error of a value that is not what was expected; the caller adds the field's name.
func Wrong(v json.RawMessage, expected string) error {
	return fmt.Errorf("is %s; expected %s", Clip(string(v[:min(len(v), 2*clipped)])), expected)
}

// IsNull says whether a value is null, which is the same as leaving it out.
func IsNull(v json.RawMessage) bool { return string(v) == "null" }

// Given says whether there is a value that is not null.
func Given(v json.RawMessage) bool { return len(v) > 0 && !IsNull(v) }

// Boolean takes true or false.
func Boolean(v json.RawMessage) (bool, error) {
	switch string(v) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, Wrong(v, "true or false")
}

// Text takes a string.
func Text(v json.RawMessage) (string, error) {
	var s string
	if len(v) == 0 || v[0] != '"' || json.Unmarshal(v, &s) != nil {
		return "", Wrong(v, "a string")
	}
	return s, nil
}

// Integer is one in [low, high]. Some languages write 12 as 12.0, or 1e3 for what has a thousand; what is beyond 64 bits counts as their end.
func Integer(v json.RawMessage, low, high int64) (int64, error) {
	n, err := strconv.ParseInt(string(v), 10, 64)
	if err != nil {
		n, err = whole(v)
	}
	if err != nil || n < low || n > high {
		return 0, Wrong(v, intRange(low, high))
	}
	return n, nil
}

// whole is a number with a point, an exponent or many digits that is an integer all the same.
func whole(v json.RawMessage) (int64, error) {
	var f float64
	switch err := json.Unmarshal(v, &f); {
	case err != nil:
		return 0, err
	case f != math.Trunc(f) || IsNull(v):
		return 0, strconv.ErrSyntax
	case f >= math.MaxInt64:
		return math.MaxInt64, nil
	case f <= math.MinInt64:
		return math.MinInt64, nil
	}
	return int64(f), nil
}

func intRange(low, high int64) string {
	if high >= math.MaxInt32 {
		return fmt.Sprintf("an integer of at least %d", low)
	}
	return fmt.Sprintf("an integer from %d to %d", low, high)
}

// Seed takes any 64-bit integer, signed or not: clients draw both.
func Seed(v json.RawMessage) (uint64, error) {
	if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
		return uint64(n), nil
	}
	if n, err := strconv.ParseUint(string(v), 10, 64); err == nil {
		return n, nil
	}
	const exact = 1 << 53 // a number with a point says no more
	n, err := whole(v)
	if err != nil || n < -exact || n > exact {
		return 0, Wrong(v, "a 64-bit integer")
	}
	return uint64(n), nil
}

// Number is a finite number in [low, high]; open leaves low itself out.
func Number(v json.RawMessage, low, high float64, open bool) (float64, error) {
	var f float64
	if err := json.Unmarshal(v, &f); err != nil || f < low || f > high || open && f == low {
		return 0, Wrong(v, floatRange(low, high, open))
	}
	return f, nil
}

func floatRange(low, high float64, open bool) string {
	if open {
		return fmt.Sprintf("a number above %g, at most %g", low, high)
	}
	return fmt.Sprintf("a number from %g to %g", low, high)
}

// Compact is v without spaces, to compare values by their spelling.
func Compact(v json.RawMessage) string {
	var b bytes.Buffer
	if json.Compact(&b, v) != nil {
		return string(v)
	}
	return b.String()
}

// TextAt is the string that an object has for a key, "" if it has none or null.
func TextAt(object []byte, key string) (string, error) {
	v, _ := FieldAt(object, key)
	if !Given(v) {
		return "", nil
	}
	return Text(v)
}
