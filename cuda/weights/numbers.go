// numbers.go makes f32 of tensors in plain types.

package weights

import (
	"encoding/binary"
	"math"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/weights/blocks"
)

// Numbers makes the numbers of a view, whatever it has them as. A tensor without dimensions is a row of one. false is a type that is not read.
func Numbers(v View) (Coded, bool) {
	if !v.Known || v.Coded != nil {
		return v.Coded, v.Known && v.Coded != nil
	}
	p := plainRows{data: v.Data, cols: 1, size: v.DType.Size()}
	if n := len(v.Shape); n > 0 {
		p.cols = v.Shape[n-1]
	}
	switch v.DType {
	case cuda.F32:
		p.read = func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) }
	case cuda.BF16:
		p.read = func(b []byte) float32 { return math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16) }
	case cuda.F16:
		p.read = blocks.Half
	case cuda.F8E4M3:
		p.read = func(b []byte) float32 { return blocks.E4M3(b[0]) }
	default:
		return nil, false
	}
	return p, true
}

type plainRows struct {
	data       []byte
	cols, size int
	read       func(b []byte) float32
}

// Widen implements Coded.
func (p plainRows) Widen(to []float32, row int) {
	for i, at := 0, row*p.cols*p.size; i < len(to); i, at = i+1, at+p.size {
		to[i] = p.read(p.data[at:])
	}
}

// File implements Coded.
func (p plainRows) File(from, to int) []byte { return p.data[from*p.cols*p.size : to*p.cols*p.size] }
