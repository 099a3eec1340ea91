// value.go has the values of keys. A number may be written in any type that holds it, since writers differ.

package gguf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// Type is the type of a value.
type Type uint32

// The types, as files number them.
const (
	U8 Type = iota
	I8
	U16
	I16
	U32
	I32
	F32
	Bool
	String
	Array
	U64
	I64
	F64
)

// sizes are the bytes of a value of each type; 0 is one whose length is written before it.
var sizes = [...]int{U8: 1, I8: 1, U16: 2, I16: 2, U32: 4, I32: 4, F32: 4, Bool: 1, U64: 8, I64: 8, F64: 8, String: 0, Array: 0}

// Value is the value of a key.
type Value struct {
	Type  Type
	Elem  Type // of an Array: the type of its elements
	Count int  // of an Array: their number
	data  []byte
}

// value reads a value with its type before it.
func (in *reader) value() (Value, error) {
	t, err := in.u32()
	if err != nil {
		return Value{}, err
	}
	v := Value{Type: Type(t)}
	switch {
	case t >= uint32(len(sizes)):
		return v, fmt.Errorf("is of type %d, which is not known", t)
	case v.Type == Array:
		v.Elem, v.Count, v.data, err = in.array(1)
	case v.Type == String:
		var n uint64
		if n, err = in.u64(); err == nil {
			v.data, err = in.bytes(n)
		}
	default:
		v.data, err = in.bytes(uint64(sizes[t]))
	}
	return v, err
}

// array reads a list's type, length and elements. Strings stay as they are written, each with its length before it.
func (in *reader) array(depth int) (elem Type, count int, data []byte, err error) {
	t, err := in.u32()
	if err != nil {
		return 0, 0, nil, err
	}
	n, err := in.u64()
	if err != nil {
		return 0, 0, nil, err
	}
	switch elem = Type(t); {
	case t >= uint32(len(sizes)):
		return 0, 0, nil, fmt.Errorf("is a list of type %d, which is not known", t)
	case depth > maxDepth:
		return 0, 0, nil, fmt.Errorf("is a list in more than %d lists", maxDepth)
	case n > uint64(in.left): // no element takes less than a byte
		return 0, 0, nil, errors.New("is a list of more elements than the file has bytes")
	case elem == String:
		for range n {
			length, err := in.u64()
			if err != nil {
				return 0, 0, nil, err
			}
			data = binary.LittleEndian.AppendUint64(data, length)
			text, err := in.bytes(length)
			if err != nil {
				return 0, 0, nil, err
			}
			data = append(data, text...)
		}
	case elem == Array: // known to no reader here: it is only gone through
		for range n {
			if _, _, _, err := in.array(depth + 1); err != nil {
				return 0, 0, nil, err
			}
		}
	default:
		data, err = in.bytes(n * uint64(sizes[t]))
	}
	return elem, int(n), data, err
}

// Int is a whole number; false if it is none, or does not fit.
func (v Value) Int() (int64, bool) { return whole(v.Type, v.data) }

func whole(t Type, data []byte) (int64, bool) {
	if t >= Type(len(sizes)) || sizes[t] == 0 || len(data) < sizes[t] {
		return 0, false
	}
	switch t {
	case U8:
		return int64(data[0]), true
	case I8:
		return int64(int8(data[0])), true
	case U16:
		return int64(binary.LittleEndian.Uint16(data)), true
	case I16:
		return int64(int16(binary.LittleEndian.Uint16(data))), true
	case U32:
		return int64(binary.LittleEndian.Uint32(data)), true
	case I32:
		return int64(int32(binary.LittleEndian.Uint32(data))), true
	case U64:
		n := binary.LittleEndian.Uint64(data)
		return int64(n), n <= math.MaxInt64
	case I64:
		return int64(binary.LittleEndian.Uint64(data)), true
	}
	return 0, false
}

// Float is a number; whole ones count.
func (v Value) Float() (float64, bool) { return number(v.Type, v.data) }

// Shortest is the number with the fewest digits that is the same in f32: 1e-6 and not 9.99999997e-7. It is what somebody wrote before a file
// had it in f32.
func Shortest(f float32) float64 {
	x, err := strconv.ParseFloat(strconv.FormatFloat(float64(f), 'g', -1, 32), 64)
	if err != nil {
		return float64(f)
	}
	return x
}

func number(t Type, data []byte) (float64, bool) {
	switch {
	case t == F32 && len(data) >= 4:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(data))), true
	case t == F64 && len(data) >= 8:
		return math.Float64frombits(binary.LittleEndian.Uint64(data)), true
	case t == U64 && len(data) >= 8: // also one that is no int64
		return float64(binary.LittleEndian.Uint64(data)), true
	}
	n, ok := whole(t, data)
	return float64(n), ok
}

// Bool is a truth value.
func (v Value) Bool() (value, ok bool) {
	if v.Type != Bool || len(v.data) != 1 {
		return false, false
	}
	return v.data[0] != 0, true
}

// Text is a string. It need not be UTF-8.
func (v Value) Text() (string, bool) { return string(v.data), v.Type == String }

// Ints is a list of whole numbers or truth values, or one of them as a list of one.
func (v Value) Ints() ([]int64, bool) {
	return list(v, func(t Type, data []byte) (int64, bool) {
		if t == Bool {
			return int64(data[0]), true
		}
		return whole(t, data)
	})
}

// Floats is a list of numbers, or one of them as a list of one.
func (v Value) Floats() ([]float64, bool) { return list(v, number) }

func list[T any](v Value, read func(Type, []byte) (T, bool)) ([]T, bool) {
	elem, count := v.Elem, v.Count
	if v.Type != Array {
		elem, count = v.Type, 1
	}
	size := 0
	if elem < Type(len(sizes)) {
		size = sizes[elem]
	}
	if size == 0 || len(v.data) != count*size {
		return nil, false
	}
	all := make([]T, count)
	for i := range all {
		var ok bool
		if all[i], ok = read(elem, v.data[i*size:(i+1)*size]); !ok {
			return nil, false
		}
	}
	return all, true
}

// Texts calls each with the strings of a list, in their order, until it returns false; false if this is no list of strings.
func (v Value) Texts(each func(i int, text []byte) bool) bool {
	if v.Type != Array || v.Elem != String {
		return false
	}
	for i, at := 0, 0; i < v.Count; i++ {
		n := int(binary.LittleEndian.Uint64(v.data[at:]))
		at += 8
		if !each(i, v.data[at:at+n:at+n]) {
			break
		}
		at += n
	}
	return true
}

// String is the value for people: lists by their length.
func (v Value) String() string {
	if text, ok := v.Text(); ok {
		return fmt.Sprintf("%.60q", text)
	}
	if b, ok := v.Bool(); ok {
		return fmt.Sprint(b)
	}
	if v.Type == Array {
		return fmt.Sprintf("a list of %d", v.Count)
	}
	if n, ok := v.Int(); ok {
		return fmt.Sprint(n)
	}
	f, _ := v.Float()
	return fmt.Sprint(f)
}
