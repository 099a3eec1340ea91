package cuda

import (
	"encoding/binary"
	"math"
)

// codes.go writes codes that somebody else has made into the quantised forms, which changes none of them.

const (
	codeRows = 16  // of a block of q8 and q4
	codeCols = 128 // of a block, with one factor in each row
	subCols  = 32  // of q4, with one whole number in each row
)

// CodeBlocks is how many factors a row of so many columns has in q8 and q4.
func CodeBlocks(cols int) int { return ceilDiv(cols, codeCols) }

// PutCodes makes up to 16 rows of a matrix in q8 or q4, from a multiple of 16 on, of rows of codes, -127 to 127 in q8 and -8 to 7 in q4, and
// the factors of each row, CodeBlocks of them, which are rounded to bf16. What there is not of 16 rows becomes zeros.
func (m Matrix) PutCodes(row int, codes []int8, factors []float32) {
	blocks, rows := CodeBlocks(m.Cols), len(codes)/max(1, m.Cols)
	planes := [2][]byte{m.Plane(0).Raw(), m.Plane(1).Raw()}
	for b := range blocks {
		at := row/codeRows*blocks + b
		put := putQ8
		if m.Layout.Name == Q4 {
			put = putQ4
		}
		c, f := m.Layout.Planes[0].Bytes, m.Layout.Planes[1].Bytes
		for r := range codeRows {
			var line [codeCols]int8
			factor := float32(0)
			if r < rows {
				copy(line[:], codes[r*m.Cols+b*codeCols:min((r+1)*m.Cols, r*m.Cols+(b+1)*codeCols)])
				factor = factors[r*blocks+b]
			}
			put(planes[0][at*c:(at+1)*c], planes[1][at*f:(at+1)*f], r, &line)
			binary.LittleEndian.PutUint16(planes[1][at*f+2*r:], NearestBF16(factor))
		}
	}
}

// putQ8 writes a row of a block: four columns of 16 rows lie together.
func putQ8(codes, _ []byte, row int, line *[codeCols]int8) {
	for i := 0; i < codeCols; i += 4 {
		to := codes[(i/4*codeRows+row)*4:][:4]
		to[0], to[1], to[2], to[3] = byte(line[i]), byte(line[i+1]), byte(line[i+2]), byte(line[i+3])
	}
}

// putQ4 does so of halves of bytes: the first 16 of 32 columns with the others. Its whole numbers are ones.
func putQ4(codes, factors []byte, row int, line *[codeCols]int8) {
	for sub := 0; sub < codeCols; sub += subCols {
		for i := range subCols / 2 {
			low, high := byte(line[sub+i]+8), byte(line[sub+i+subCols/2]+8)
			codes[sub*codeRows/2+(i/4*codeRows+row)*4+i%4] = low | high<<4
		}
	}
	for i := range codeCols / subCols / 2 {
		factors[2*codeRows+i*codeRows+row] = 0x11
	}
}

// NearestBF16 is the bits of a number in bf16: rounded to nearest, ties to even; what is no number stays none.
func NearestBF16(x float32) uint16 {
	b := math.Float32bits(x)
	if b&0x7FFFFFFF > 0x7F800000 {
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7FFF + b>>16&1) >> 16)
}
