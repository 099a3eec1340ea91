// What a loader asks of weights, wherever they come from.

package weights

import "github.com/inference-pio/inference-pio/cuda"

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

// dtypes are the element types of safetensors that the tensor library has.
var dtypes = map[string]cuda.DType{"F32": cuda.F32, "F16": cuda.F16, "BF16": cuda.BF16, "F8_E4M3": cuda.F8E4M3, "I32": cuda.I32}
