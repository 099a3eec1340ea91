package limits

import "golang.org/x/sys/cpu"

const chains = 12 // of a round: as many as hide how long one takes, on two units

// widest is the widest loop of multiply-adds that this processor has, and the operations of a round; nil: it has none.
func widest() (rounds func(n int), flops float64) {
	switch {
	case cpu.X86.HasAVX512F:
		return multiply512, chains * 16 * 2
	case cpu.X86.HasAVX2 && cpu.X86.HasFMA:
		return multiply256, chains * 8 * 2
	}
	return nil, 0
}

//go:noescape
func multiply512(n int)

//go:noescape
func multiply256(n int)
