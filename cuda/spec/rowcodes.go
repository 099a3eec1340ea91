package spec

import (
	"encoding/binary"
	"math"
)

// rowcodes.go says what codes of 8 bits are to caches, cuda.Q8Row. It is told to the bit.

const rowGroup = 64 // numbers that have a factor

// CodeRows gives rows of dim numbers as a cache has them: for each 64 of a row, or as many as are left, their factor in f32 and then a code
// for each, both as MatMulCoded has them. Where one is infinite or no number the factor is so, too, and codes mean nothing.
func CodeRows(x []float32, dim int) (rows []byte) {
	for ; len(x) > 0; x = x[dim:] {
		for at := 0; at < dim; at += rowGroup {
			codes, factor := codesOf(x[at:min(at+rowGroup, dim)])
			rows = binary.LittleEndian.AppendUint32(rows, math.Float32bits(factor))
			for _, c := range codes {
				rows = append(rows, byte(int8(c)))
			}
		}
	}
	return rows
}

// ReadRows gives the numbers that such rows stand for: each code times its factor, rounded once.
func ReadRows(rows []byte, dim int) (x []float32) {
	for len(rows) > 0 {
		for left := dim; left > 0; left -= rowGroup {
			factor := math.Float32frombits(binary.LittleEndian.Uint32(rows))
			codes := rows[4:][:min(left, rowGroup)]
			for _, c := range codes {
				x = append(x, float32(int8(c))*factor)
			}
			rows = rows[4+len(codes):]
		}
	}
	return x
}
