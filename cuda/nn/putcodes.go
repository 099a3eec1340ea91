// putcodes.go writes codes that somebody else has made into q8 and q4, which changes none of them.

package nn

import (
	"encoding/binary"
	"unsafe"

	"github.com/inference-pio/inference-pio/cuda"
)

const (
	codeRows = 16  // of a block of q8 and q4
	codeCols = 128 // of a block, with one factor in each row
	subCols  = 32  // of q4, with one whole number in each row
)

// putCodes is cuda.Matrix.PutCodes of any number of rows, eight codes at a time.
func putCodes(m cuda.Matrix, row int, codes []int8, factors []float32) {
	rows, own, planes := len(codes)/max(1, m.Cols), cuda.CodeBlocks(m.Cols), [2][]byte{m.Plane(0).Raw(), m.Plane(1).Raw()}
	c, f := m.Layout.Planes[0].Bytes, m.Layout.Planes[1].Bytes
	at := row / codeRows * own
	for first := 0; first < rows; first += codeRows {
		for b := range own {
			block := codeBlock{planes[0][at*c : (at+1)*c], planes[1][at*f : (at+1)*f]}
			for r := range codeRows {
				var line [codeCols]byte
				factor := float32(0)
				if from := first + r; from < rows {
					all := codes[from*m.Cols : (from+1)*m.Cols]
					copy(line[:], asBytes(all[b*codeCols:min(len(all), (b+1)*codeCols)]))
					factor = factors[from*own+b]
				}
				if m.Layout.Name == cuda.Q4 {
					block.putQ4(r, &line)
				} else {
					block.putQ8(r, &line)
				}
				binary.LittleEndian.PutUint16(block.factors[2*r:], cuda.NearestBF16(factor))
			}
			at++
		}
	}
}

func asBytes(codes []int8) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(codes))), len(codes))
}

// codeBlock is 16 rows by 128 columns.
type codeBlock struct{ codes, factors []byte }

// putQ8 writes a row of a block: four columns of 16 rows lie together.
func (b codeBlock) putQ8(row int, line *[codeCols]byte) {
	for i := 0; i < codeCols; i += 4 {
		binary.LittleEndian.PutUint32(b.codes[(i*codeRows/4+row)*4:], binary.LittleEndian.Uint32(line[i:]))
	}
}

const (
	lowHalves = 0x0F0F0F0F0F0F0F0F // of eight bytes
	eights    = 0x0808080808080808 // which added to a number of 4 bits is its highest bit turned
)

// putQ4 does so of halves of bytes: the first 16 of 32 columns with the others. Its whole numbers are ones.
func (b codeBlock) putQ4(row int, line *[codeCols]byte) {
	for quad := 0; quad < codeCols/8; quad += 2 { // two quads of columns, and those 16 columns on
		i := quad/(subCols/8)*subCols + quad%(subCols/8)*4
		low, high := binary.LittleEndian.Uint64(line[i:]), binary.LittleEndian.Uint64(line[i+subCols/2:])
		both := (low^eights)&lowHalves | (high^eights)&lowHalves<<4
		binary.LittleEndian.PutUint32(b.codes[(quad*codeRows+row)*4:], uint32(both))
		binary.LittleEndian.PutUint32(b.codes[((quad+1)*codeRows+row)*4:], uint32(both>>32))
	}
	for i := range codeCols / subCols / 2 {
		b.factors[2*codeRows+i*codeRows+row] = 0x11
	}
}
