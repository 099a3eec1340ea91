// bits.go unpacks codes of a few bits, to a byte each.

package hfquant

import (
	"encoding/binary"

	"github.com/inference-pio/inference-pio/cuda/weights/blocks"
)

// stream unpacks codes that follow each other, the least significant bit first, as many as there is room for.
func stream(to, data []byte, bits int) {
	switch bits {
	case 8:
		copy(to, data)
	case 4:
		blocks.Nibbles(to, data)
	default:
		for i, at := 0, 0; i < len(to); i, at = i+1, at+bits {
			word := uint(data[at/8])
			if at/8+1 < len(data) {
				word |= uint(data[at/8+1]) << 8
			}
			to[i] = byte(word >> (at % 8) & (1<<bits - 1))
		}
	}
}

// words unpacks codes of which each word of 32 bits has as many as are whole in it.
func words(to, data []byte, bits int) {
	for each := 32 / bits; len(to) > 0; data = data[4:] {
		word := binary.LittleEndian.Uint32(data)
		n := min(each, len(to))
		for i := range to[:n] {
			to[i] = byte(word & (1<<bits - 1))
			word >>= bits
		}
		to = to[n:]
	}
}
