// superblocks.go has the types with 256 numbers to a block, whose factors are codes themselves.

package blocks

import "encoding/binary"

// q2k: 16 bytes of factor (low) and minimum (high), 64 of codes, d, dmin. Each 32 bytes of codes hold 128 elements, 32 for each two bits.
func q2k(to []float32, b []byte) {
	d, dmin := half(b[80:]), half(b[82:])
	for e := 0; e < 256; e += 16 {
		factor, min := d*float32(b[e/16]&15), dmin*float32(b[e/16]>>4)
		codes, shift := b[16+e/128*32+e%32:][:16], e%128/32*2
		for l, q := range codes {
			to[e+l] = float32(factor*float32(q>>shift&3)) - min
		}
	}
}

// q3k: 32 bytes of third bits, 64 of codes, 12 with 16 factors of 6 bits, d. A third bit that is not set takes 4 away.
func q3k(to []float32, b []byte) {
	d, scales := half(b[108:]), b[96:108]
	for e := 0; e < 256; e += 16 {
		i := e / 16
		low := scales[i%8] >> (i / 8 * 4) & 15
		factor := d * float32(int(low|scales[8+i%4]>>(i/4*2)&3<<4)-32)
		high, codes, shift := b[e%32:][:16], b[32+e/128*32+e%32:][:16], e%128/32*2
		for l, q := range codes {
			code := int(q>>shift&3) - 4
			if high[l]>>(e/32)&1 != 0 {
				code += 4
			}
			to[e+l] = factor * float32(code)
		}
	}
}

// sixes reads factor j and minimum j of eight of each, 6 bits wide, in 12 bytes.
func sixes(s []byte, j int) (factor, min float32) {
	if j < 4 {
		return float32(s[j] & 63), float32(s[j+4] & 63)
	}
	return float32(s[j+4]&15 | s[j-4]>>6<<4), float32(s[j+4]>>4 | s[j]>>6<<4)
}

// q4k: d, dmin, 12 bytes of factors and minima, 128 of codes. Parts 2k and 2k+1 share 32 bytes.
func q4k(to []float32, b []byte) {
	d, dmin, scales := half(b), half(b[2:]), b[4:16]
	for part := range 8 {
		factor, min := sixes(scales, part)
		factor, min = d*factor, dmin*min
		codes, shift, to := b[16+part/2*32:][:32], part%2*4, to[32*part:32*part+32]
		for l, q := range codes {
			to[l] = float32(factor*float32(q>>shift&15)) - min
		}
	}
}

// q5k: as q4k, with 32 bytes of fifth bits before the codes.
func q5k(to []float32, b []byte) {
	d, dmin, scales, high := half(b), half(b[2:]), b[4:16], b[16:48]
	for part := range 8 {
		factor, min := sixes(scales, part)
		factor, min = d*factor, dmin*min
		codes, shift, to := b[48+part/2*32:][:32], part%2*4, to[32*part:32*part+32]
		for l, q := range codes {
			to[l] = float32(factor*float32(q>>shift&15|high[l]>>part&1<<4)) - min
		}
	}
}

// q6k: 128 bytes of low bits, 64 of high ones, 16 factors, d.
func q6k(to []float32, b []byte) {
	d := half(b[208:])
	for e := 0; e < 256; e += 16 {
		n, quarter, l := e/128, e%128/32, e%32
		factor := d * float32(int8(b[192+e/16]))
		low, shift := b[64*n+quarter%2*32+l:][:16], quarter/2*4
		high, up := b[128+32*n+l:][:16], quarter*2
		for i, q := range low {
			to[e+i] = factor * float32(int(q>>shift&15|high[i]>>up&3<<4)-32)
		}
	}
}

// iq4xs: d, 16 bits and 4 bytes with 8 factors of 6 bits, 128 bytes of codes.
func iq4xs(to []float32, b []byte) {
	d, high := half(b), binary.LittleEndian.Uint16(b[2:])
	for part := range 8 {
		code := b[4+part/2]>>(part%2*4)&15 | byte(high>>(2*part)&3)<<4
		factor, to := d*float32(int(code)-32), to[32*part:32*part+32]
		for j, q := range b[8+16*part:][:16] {
			to[j], to[j+16] = factor*iq4[q&15], factor*iq4[q>>4]
		}
	}
}
