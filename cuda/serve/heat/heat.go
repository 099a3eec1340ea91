// Package heat ranks things that are needed now and then by how likely they are to be needed again: often and lately, as the policy LRFU does (Lee, Choi,
// Kim, Noh, Min, Cho and Kim: LRFU, a spectrum of policies that subsumes the least recently used and least frequently used policies; IEEE Transactions on
// Computers 50(12), 2001). Each need counts one, and half as much after so many passes. All that is remembered fades alike, so that the order of two
// things changes only when one of them is needed, and a rank is kept as it was then.
package heat

import "math"

// Heat is a rank: that of two things which is less is the less likely to be needed. The zero value is of what was never needed.
type Heat float64

// Half is after how many passes a need counts half. See docs/bench.md, "On imagined machines", for what decided it.
const Half = 8

// Needed is the rank of something that is needed in a pass, the first of which is 1.
func (h Heat) Needed(pass uint64) Heat {
	now := float64(pass) / Half
	if h == 0 {
		return Heat(now)
	}
	return Heat(now + math.Log2(1+math.Exp2(float64(h)-now)))
}
