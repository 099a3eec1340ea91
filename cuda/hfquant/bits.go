// bits.go unpacks codes of a few bits.

package hfquant

import "encoding/binary"

// stream unpacks codes that follow each other, the least significant bit first, as many as there is room for.
func stream(to []float32, data []byte, bits int) {
	switch bits {
	case 8:
		for i := range to {
			to[i] = float32(data[i])
		}
	case 4:
		for i := 0; i+1 < len(to); i += 2 {
			b := data[i/2]
			to[i], to[i+1] = float32(b&15), float32(b>>4)
		}
		if n := len(to); n%2 == 1 {
			to[n-1] = float32(data[n/2] & 15)
		}
	default:
		for i, at := 0, 0; i < len(to); i, at = i+1, at+bits {
			word := uint(data[at/8])
			if at/8+1 < len(data) {
				word |= uint(data[at/8+1]) << 8
			}
			to[i] = float32(word >> (at % 8) & (1<<bits - 1))
		}
	}
}

// words unpacks codes of which each word of 32 bits has as many as are whole in it.
func words(to []float32, data []byte, bits int) {
	each := 32 / bits
	for i := range to {
		to[i] = float32(binary.LittleEndian.Uint32(data[i/each*4:]) >> (i % each * bits) & (1<<bits - 1))
	}
}
