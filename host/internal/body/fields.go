// fields.go fills a protocol's request by a table: one reader for each field that the protocol knows. A field that is in no table
// is ignored, and somebody told of it.
package body

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/inference-pio/inference-pio/host/internal/problem"
)

// Reader takes one field's value into a protocol's request. Its error starts with a verb ("is ..."): the field's name is put before it.
type Reader[R any] func(r *R, v json.RawMessage) error

// Fields are the readers of a protocol's fields; nil for one that has no effect.
type Fields[R any] map[string]Reader[R]

// FieldError blames a path inside a field.
type FieldError struct {
	Path string
	Err  error
}

// In blames a path inside a field for err.
func In(path string, err error) error { return &FieldError{path, err} }

func (e *FieldError) Error() string { return e.Err.Error() }

// ids are the fields that are lists of token ids, which are read as they are counted.
var ids = []string{"prompt", "tokens", "input"}

// Fill reads the members of a body by tables, of which the first that knows a field reads it. null is the same as leaving a field out.
// unknown is told of each key that is in no table.
func Fill[R any](r *R, members []Member, unknown func(key string), tables ...Fields[R]) error {
	for _, m := range members {
		read, known := lookup(m.Key, tables)
		if !known {
			unknown(m.Key)
			continue
		}
		if read == nil || IsNull(m.Value) {
			continue
		}
		if !slices.Contains(ids, m.Key) {
			if err := NotTooMany(m.Value); err != nil {
				return Blame(m.Key, err)
			}
		}
		if err := read(r, m.Value); err != nil {
			return Blame(m.Key, err)
		}
	}
	return nil
}

func lookup[R any](key string, tables []Fields[R]) (Reader[R], bool) {
	for _, t := range tables {
		if read, known := t[key]; known {
			return read, true
		}
	}
	return nil, false
}

// Blame is the 400 that names a field, or the path inside of it, with what a reader says of its value; err itself if it is one already.
func Blame(key string, err error) *problem.Error {
	var whole *problem.Error
	if errors.As(err, &whole) {
		return whole
	}
	var inside *FieldError
	if errors.As(err, &inside) {
		key = inside.Path
	}
	return problem.Invalid(key, "%s %v", key, err)
}

// Unbuilt refuses a field that would change the answer if it were built; neutral are the values that ask for nothing,
// as compact JSON.
func Unbuilt[R any](neutral ...string) Reader[R] {
	return func(_ *R, v json.RawMessage) error {
		if len(v) <= longestNeutral && slices.Contains(neutral, Compact(v)) {
			return nil
		}
		expected := "nothing: this host does not support the field yet, leave it out"
		if len(neutral) > 0 {
			expected = strings.Join(neutral, " or ") + ": this host does not support other values yet"
		}
		return Wrong(v, expected)
	}
}

// longestNeutral bounds what is looked at to see whether it asks for nothing, spaces included.
const longestNeutral = 1 << 10

// Optional reads a number in [low, high] into what at names; open leaves low itself out.
func Optional[R any](low, high float64, open bool, at func(*R) **float64) Reader[R] {
	return func(r *R, v json.RawMessage) error {
		f, err := Number(v, low, high, open)
		*at(r) = &f
		return err
	}
}
