// types.go says how much room elements of each type take. Types are added by ggml and never changed.

package gguf

import (
	"cmp"
	"fmt"
	"math"
	"math/bits"
	"slices"
)

// Element is a type of a tensor's elements: blocks of Values elements of a row that take Bytes.
type Element struct {
	Name          string
	Values, Bytes int
	Read          bool // numbers are made of it
}

// Numbers of element types that are plain numbers.
const (
	TypeF32  = 0
	TypeF16  = 1
	TypeBF16 = 30
)

var elements = map[uint32]Element{
	TypeF32: {"F32", 1, 4, true}, TypeF16: {"F16", 1, 2, true}, TypeBF16: {"BF16", 1, 2, true}, 28: {"F64", 1, 8, false},
	24: {"I8", 1, 1, false}, 25: {"I16", 1, 2, false}, 26: {"I32", 1, 4, false}, 27: {"I64", 1, 8, false},
	2: {"Q4_0", 32, 18, true}, 3: {"Q4_1", 32, 20, true}, 6: {"Q5_0", 32, 22, true}, 7: {"Q5_1", 32, 24, true}, 8: {"Q8_0", 32, 34, true}, 9: {"Q8_1", 32, 40, false},
	10: {"Q2_K", 256, 84, true}, 11: {"Q3_K", 256, 110, true}, 12: {"Q4_K", 256, 144, true}, 13: {"Q5_K", 256, 176, true}, 14: {"Q6_K", 256, 210, true}, 15: {"Q8_K", 256, 292, false},
	16: {"IQ2_XXS", 256, 66, false}, 17: {"IQ2_XS", 256, 74, false}, 18: {"IQ3_XXS", 256, 98, false}, 19: {"IQ1_S", 256, 50, false}, 20: {"IQ4_NL", 32, 18, true}, 21: {"IQ3_S", 256, 110, false},
	22: {"IQ2_S", 256, 82, false}, 23: {"IQ4_XS", 256, 136, true}, 29: {"IQ1_M", 256, 56, false}, 34: {"TQ1_0", 256, 54, false}, 35: {"TQ2_0", 256, 66, false},
	39: {"MXFP4", 32, 17, true}, 40: {"NVFP4", 64, 36, true}, 41: {"Q1_0", 128, 18, false},
}

// ElementOf is the type of a number, false for one that is not known.
func ElementOf(number uint32) (Element, bool) {
	e, ok := elements[number]
	return e, ok
}

// TypeName is what people call a type.
func TypeName(number uint32) string {
	if e, ok := elements[number]; ok {
		return e.Name
	}
	return fmt.Sprintf("type %d", number)
}

// Bytes is what a tensor takes; false if its type is not known, or a row of it is no whole number of blocks.
func (t Tensor) Bytes() (int64, bool) {
	e, ok := elements[t.Type]
	row := 1
	if n := len(t.Shape); n > 0 {
		row = t.Shape[n-1]
	}
	if !ok || row%e.Values != 0 {
		return 0, false
	}
	n := uint64(e.Bytes)
	for i, d := range t.Shape {
		if i == len(t.Shape)-1 {
			d /= e.Values
		}
		hi, lo := bits.Mul64(n, uint64(d))
		if hi != 0 || lo > math.MaxInt64 {
			return 0, false
		}
		n = lo
	}
	return int64(n), true
}

// within refuses tensors that share bytes or go on behind the end of the file. Of a type that is not known only the beginning is.
func (h *Header) within(size int64) error {
	order := slices.Clone(h.Tensors)
	slices.SortStableFunc(order, func(a, b Tensor) int { return cmp.Compare(a.Offset, b.Offset) })
	end, before := h.Data, ""
	for _, t := range order {
		n, known := t.Bytes()
		if e, ok := elements[t.Type]; ok && !known {
			return fmt.Errorf("tensor %q: shape %v of %s is no whole number of blocks of %d", t.Name, t.Shape, e.Name, e.Values)
		}
		if n > size-t.Offset {
			return fmt.Errorf("tensor %q: takes %d bytes from byte %d on, but the file has %d; is the download complete?", t.Name, n, t.Offset, size)
		}
		if t.Offset < end && n > 0 {
			return fmt.Errorf("tensor %q: begins at byte %d, inside tensor %q", t.Name, t.Offset, before)
		}
		if n > 0 {
			end, before = t.Offset+n, t.Name
		}
	}
	return nil
}
