// Package gguftest writes GGUF files for tests: whatever keys and tensors, also those that no converter writes any more.
package gguftest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// The types of values.
const typeU32, typeI32, typeF32, typeBool, typeString, typeArray = uint32(4), uint32(5), uint32(6), uint32(7), uint32(8), uint32(9)

// File is what a file has. Values of keys are string, bool, uint32, int32, float32, and lists of strings, int32, float32 and bool.
type File struct {
	Keys    map[string]any
	Tensors []Tensor
}

// Tensor is a tensor with its bytes. The shape's last dimension lies together.
type Tensor struct {
	Name  string
	Type  uint32 // of its elements; 0 is F32
	Shape []int
	Data  []byte
}

// F32 is a tensor of numbers.
func F32(name string, shape []int, numbers ...float32) Tensor {
	t := Tensor{Name: name, Shape: shape}
	for _, x := range numbers {
		t.Data = binary.LittleEndian.AppendUint32(t.Data, math.Float32bits(x))
	}
	return t
}

// Write writes the file into a folder that lasts as long as the test, and returns its path.
func (f File) Write(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, f.Bytes(t), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Bytes is the file.
func (f File) Bytes(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	put := func(values ...any) {
		for _, v := range values {
			if s, ok := v.(string); ok {
				v = append(binary.LittleEndian.AppendUint64(nil, uint64(len(s))), s...)
			}
			if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
				t.Fatal(err)
			}
		}
	}
	b.WriteString("GGUF")
	put(uint32(3), uint64(len(f.Tensors)), uint64(len(f.Keys)))
	for _, key := range slices.Sorted(maps.Keys(f.Keys)) {
		put(key)
		switch v := f.Keys[key].(type) {
		case string:
			put(typeString, v)
		case bool:
			put(typeBool, v)
		case uint32:
			put(typeU32, v)
		case int32:
			put(typeI32, v)
		case float32:
			put(typeF32, v)
		case []string:
			put(typeArray, typeString, uint64(len(v)))
			for _, s := range v {
				put(s)
			}
		case []int32:
			put(typeArray, typeI32, uint64(len(v)), v)
		case []float32:
			put(typeArray, typeF32, uint64(len(v)), v)
		case []bool:
			put(typeArray, typeBool, uint64(len(v)), v)
		default:
			t.Fatal(fmt.Errorf("key %s is a %T", key, v))
		}
	}
	at := uint64(0)
	for _, x := range f.Tensors {
		put(x.Name, uint32(len(x.Shape)))
		for _, d := range slices.Backward(x.Shape) {
			put(uint64(d))
		}
		put(x.Type, at)
		at += uint64(len(x.Data)+31) &^ 31
	}
	for _, x := range f.Tensors {
		b.Write(make([]byte, -b.Len()&31))
		b.Write(x.Data)
	}
	b.Write(make([]byte, -b.Len()&31))
	return b.Bytes()
}
