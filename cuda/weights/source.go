// What a loader asks of weights, wherever they come from.

package weights

import (
	"math"
	"math/bits"

	"github.com/inference-pio/inference-pio/cuda"
)

// Source gives tensors by name.
type Source interface {
	// Get returns the tensor of that name, or false if there is none. The shape is what the caller wants: a source that
	// invents weights follows it, one that reads them ignores it, so the caller compares it with the View's.
	Get(name string, shape []int) (View, bool)
	// Names lists every tensor, sorted; nil means the source has whatever it is asked for.
	Names() []string
}

// View is one tensor in its file's memory: row-major, little-endian, read-only. It is valid until its source is closed.
type View struct {
	Format string     // the element type in the file's own word: "BF16", "I64"
	DType  cuda.DType // the same for the tensor library, or what Coded is kept as; meaningful only if Known
	Known  bool       // the tensor library has this element type, or Coded makes numbers of it
	Shape  []int
	Data   []byte // aligned to the size of an element; nil if Coded makes them
	Coded  Coded  // nil: Data has them
}

// Coded makes the numbers of a tensor that its file has as codes with factors. A row is what lies along the last dimension. It is safe for
// concurrent use.
type Coded interface {
	// Widen writes whole rows, from one on, as many as there is room for.
	Widen(to []float32, row int)
	// File is the part of the file that rows from..to-1 are made of, nil where that is not one part.
	File(from, to int) []byte
}

// Whole is Coded of which every number is a whole one times a factor that 128 columns of a row share, from each multiple of 128 on: what q8 and
// q4 can have as it is.
type Whole interface {
	Coded
	// Range is the least and the greatest whole number.
	Range() (least, most int)
	// Codes writes whole rows, from one on, as many as there is room for, and of each row a factor for every 128 columns begun.
	Codes(to []int8, factors []float32, row int)
}

// Blocks is Coded whose rows are blocks of a type of GGUF files, which File gives.
type Blocks interface {
	Coded
	// Type is the blocks' type in llama.cpp's word, "Q4_K"; "" where numbers are multiplied by more than their blocks say.
	Type() string
}

// format describes an element type of safetensors.
type format struct {
	bits  int
	dtype cuda.DType
	known bool // has a cuda.DType
}

// formats are the element types whose size is known, so that a header's byte counts can be checked.
var formats = map[string]format{
	"F64": {bits: 64}, "F32": {32, cuda.F32, true}, "F16": {16, cuda.F16, true}, "BF16": {16, cuda.BF16, true},
	"F8_E4M3": {8, cuda.F8E4M3, true}, "F8_E5M2": {bits: 8}, "F8_E8M0": {bits: 8}, "F4": {bits: 4},
	"I64": {bits: 64}, "I32": {32, cuda.I32, true}, "I16": {bits: 16}, "I8": {bits: 8},
	"U64": {bits: 64}, "U32": {bits: 32}, "U16": {bits: 16}, "U8": {bits: 8}, "BOOL": {bits: 8},
}

// byteSize returns the bytes of a tensor of this shape, or false if that is more than an int64 holds or no whole number
// of bytes.
func (f format) byteSize(shape []int) (int64, bool) {
	n := uint64(f.bits)
	for _, d := range shape {
		if d == 0 {
			return 0, true
		}
	}
	for _, d := range shape {
		hi, lo := bits.Mul64(n, uint64(d))
		if hi != 0 || lo > math.MaxInt64 {
			return 0, false
		}
		n = lo
	}
	return int64(n / 8), n%8 == 0
}
