// philox.go is the counter-based generator behind sampling: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random
// numbers: as easy as 1, 2, 3", SC 2011). A draw is a pure function of its key and counter, so there is no generator
// state to keep, to lose with a process, or to replay.

package engine

import "math/bits"

const (
	philoxM0 = 0xD2511F53
	philoxM1 = 0xCD9E8D57
	philoxW0 = 0x9E3779B9 // golden ratio
	philoxW1 = 0xBB67AE85 // sqrt(3) - 1
)

// philox scrambles a 128-bit counter under a 64-bit key in ten rounds.
func philox(counter [4]uint32, key [2]uint32) [4]uint32 {
	for range 10 {
		hi0, lo0 := mul32(philoxM0, counter[0])
		hi1, lo1 := mul32(philoxM1, counter[2])
		counter = [4]uint32{hi1 ^ counter[1] ^ key[0], lo1, hi0 ^ counter[3] ^ key[1], lo0}
		key[0] += philoxW0
		key[1] += philoxW1
	}
	return counter
}

func mul32(a, b uint32) (hi, lo uint32) {
	h, l := bits.Mul64(uint64(a)<<32, uint64(b))
	return uint32(h), uint32(l >> 32)
}

// uniform is the number in [0, 1), of 53 bits, that decides the id at one position of one choice.
func uniform(seed uint64, choice, position uint32) float64 {
	r := philox([4]uint32{position, choice}, [2]uint32{uint32(seed), uint32(seed >> 32)})
	return float64((uint64(r[0])<<32|uint64(r[1]))>>11) / (1 << 53)
}
