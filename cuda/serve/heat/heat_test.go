package heat

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// The order of two things is that of what their needs count by definition, which is a sum over all of them; and what was never needed is the last.
func TestTheOrderIsThatOfTheSums(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var heats [4]Heat
		var needs [len(heats)][]int
		passes := rapid.IntRange(1, 400).Draw(t, "passes")
		for pass := 1; pass <= passes; pass++ {
			if i := rapid.IntRange(0, len(heats)).Draw(t, "needed"); i < len(heats) {
				heats[i], needs[i] = heats[i].Needed(uint64(pass)), append(needs[i], pass)
			}
		}
		sum := func(i int) (s float64) {
			for _, then := range needs[i] {
				s += math.Pow(0.5, float64(passes-then)/Half)
			}
			return s
		}
		for i := range heats {
			for j := range heats {
				if a, b := sum(i), sum(j); a < b*(1-1e-9) && heats[i] >= heats[j] {
					t.Fatalf("needs of passes %v count %g, those of %v %g, and the heats are %v and %v", needs[i], a, needs[j], b, heats[i], heats[j])
				}
			}
		}
	})
}

// A need counts half as much after Half passes: two that are as long ago are worth one of now. So it is after a day of passes, too.
func TestHalfIsHalf(t *testing.T) {
	for _, begin := range []uint64{1, 1 << 32} {
		twice := Heat(0).Needed(begin).Needed(begin)
		once := Heat(0).Needed(begin + Half)
		if math.Abs(float64(twice-once)) > 1e-6 {
			t.Errorf("from pass %d: twice is %v, and once %d passes later %v", begin, twice, Half, once)
		}
	}
}
