// Blocks of llama.cpp's K-types that q4k and q6k have as they are: nothing is made of them but another order.

package nn

import (
	"encoding/binary"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// keeps is the form that has every number of codes as it is; "" if there is none.
func keeps(c weights.Coded) string {
	if b, ok := c.(weights.Blocks); ok {
		switch b.Type() {
		case "Q4_K":
			return cuda.Q4K
		case "Q6_K":
			return cuda.Q6K
		}
	}
	return ""
}

const kCols = 256 // of a block

// reorder makes some rows of a weight of the blocks of a file. from is a multiple of 16.
func (z *Quantiser) reorder(dst cuda.Matrix, c weights.Coded, from, to int) {
	data, plane := c.File(from, to), dst.Plane(0).Raw()
	put, theirs, own := putQ4K, 144, dst.Layout.Planes[0].Bytes
	if dst.Layout.Name == cuda.Q6K {
		put, theirs = putQ6K, 210
	}
	blocks := dst.Cols / kCols // whole ones, as a file has no others
	inParallel((to-from+codeRows-1)/codeRows, func(a, b int) {
		for group := a; group < b; group++ {
			for k := range blocks {
				block := plane[((from/codeRows+group)*blocks+k)*own:][:own]
				clear(block)
				for r := range min(codeRows, to-from-group*codeRows) {
					put(block, r, data[((group*codeRows+r)*blocks+k)*theirs:][:theirs])
				}
			}
		}
	})
	if z.Read != nil {
		z.Read(data)
	}
}

// Where in a block things are: see cuda/cpu/kcodes.h.
const (
	line         = 4 * codeRows // bytes of a word, or of four codes, of each row
	factorsOfQ4K = 3 * line
	codesOfQ4K   = 4 * line
	factorsOfQ6K = 4 * line
	codesOfQ6K   = 5 * line
)

// putQ4K writes a row of a block: d, dmin, 12 bytes of factors and minima, 128 of codes, each 32 of them those of 64 columns.
func putQ4K(to []byte, row int, b []byte) {
	copy(to[factorsOfQ4K+2*row:][:2], b)
	copy(to[factorsOfQ4K+line/2+2*row:][:2], b[2:])
	s, f, m := b[4:16], [8]uint16{}, [8]uint16{} // factors and minima
	for i := range 4 {
		f[i], m[i] = uint16(s[i]&63), uint16(s[i+4]&63)
		f[i+4], m[i+4] = uint16(s[i+8]&15|s[i]>>6<<4), uint16(s[i+8]>>4|s[i+4]>>6<<4)
	}
	for i := range 2 {
		at := to[4*row+2*i:]
		binary.LittleEndian.PutUint16(at, f[i]|f[i+2]<<6|m[i+4]<<12)
		binary.LittleEndian.PutUint16(at[line:], m[i]|m[i+2]<<6|m[i+6]<<12)
		binary.LittleEndian.PutUint16(at[2*line:], f[i+4]|f[i+6]<<6|m[i+4]>>4<<12|m[i+6]>>4<<14)
	}
	for i := range 4 {
		codes, at := b[16+32*i:][:32], to[codesOfQ4K+8*i*line+4*row:]
		for j := range 2 {
			first, second := binary.LittleEndian.Uint64(codes[8*j:]), binary.LittleEndian.Uint64(codes[16+8*j:])
			putTwo(at[2*j*line:], first&lowHalves|second&lowHalves<<4)
			putTwo(at[(4+2*j)*line:], first>>4&lowHalves|second&^lowHalves)
		}
	}
}

// putTwo writes two quads of a row.
func putTwo(to []byte, quads uint64) {
	binary.LittleEndian.PutUint32(to, uint32(quads))
	binary.LittleEndian.PutUint32(to[line:], uint32(quads>>32))
}

// putQ6K writes a row of a block: 128 bytes of low bits, 64 of high ones, 16 factors, d.
func putQ6K(to []byte, row int, b []byte) {
	copy(to[factorsOfQ6K+2*row:][:2], b[208:])
	for s := range 16 {
		to[s/4*line+4*row+s%4/2+s%2*2] = b[192+s]
		quarter, in := s%8/2, s%2*16
		low, high := b[s/8*64+quarter%2*32+in:][:16], b[128+s/8*32+in:][:16]
		at := to[codesOfQ6K+3*s*line+4*row:]
		var upper uint32
		for j := range 2 {
			four := binary.LittleEndian.Uint64(low[8*j:]) >> (quarter / 2 * 4) & lowHalves
			two := binary.LittleEndian.Uint64(high[8*j:]) >> (2 * quarter) & (lowHalves / 5)
			binary.LittleEndian.PutUint32(at[j*line:], uint32(four)|uint32(four>>32)<<4)
			upper |= (uint32(two) | uint32(two>>32)<<2) << (4 * j)
		}
		binary.LittleEndian.PutUint32(at[2*line:], upper)
	}
}
