package plan

import (
	"cmp"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestShares(t *testing.T) {
	for _, c := range []struct {
		name   string
		free   int64
		claims []Claim
		want   []int64
	}{
		{"nobody", 100, nil, []int64{}},
		{"enough for all", 100, []Claim{{0, 10, 30}, {0, 20, 40}}, []int64{30, 40}},
		{"equals are raised to one level", 100, []Claim{{0, 10, 90}, {0, 20, 90}}, []int64{50, 50}},
		{"who has enough leaves the rest", 100, []Claim{{0, 10, 20}, {0, 10, 90}, {0, 10, 90}}, []int64{20, 40, 40}},
		{"who needs more than the level keeps it", 100, []Claim{{0, 60, 90}, {0, 10, 90}, {0, 10, 90}}, []int64{60, 20, 20}},
		{"the higher priority has what it wants first", 100, []Claim{{0, 10, 90}, {5, 10, 70}, {-5, 10, 90}}, []int64{20, 70, 10}},
		{"priority decides who is admitted", 30, []Claim{{0, 20, 20}, {1, 20, 25}}, []int64{NoShare, 25}},
		{"among equals the first is admitted", 30, []Claim{{0, 20, 20}, {0, 20, 20}}, []int64{20, NoShare}},
		{"a smaller one fits where a larger does not", 30, []Claim{{0, 20, 20}, {0, 20, 20}, {0, 10, 10}}, []int64{20, NoShare, 10}},
		{"exactly", 30, []Claim{{0, 20, 50}, {0, 10, 50}}, []int64{20, 10}},
		{"bytes that do not divide", 32, []Claim{{0, 10, 50}, {0, 10, 50}, {0, 10, 50}}, []int64{11, 11, 10}},
		{"nothing at all", 0, []Claim{{0, 0, 50}, {0, 1, 50}}, []int64{0, NoShare}},
	} {
		if got := Share(c.free, c.claims); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestShareInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		free := rapid.Int64Range(0, 1000).Draw(t, "free")
		claims := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Claim {
			least := rapid.Int64Range(0, 300).Draw(t, "least")
			return Claim{rapid.IntRange(-1, 1).Draw(t, "priority"), least, least + rapid.Int64Range(0, 500).Draw(t, "more")}
		}), 0, 6).Draw(t, "claims")
		shares := Share(free, claims)

		left, open := free, false // open: somebody would take more
		for i, c := range claims {
			if shares[i] == NoShare {
				continue
			}
			if shares[i] < c.Least || shares[i] > c.Wanted {
				t.Errorf("claim %d of %+v got %d", i, c, shares[i])
			}
			left -= shares[i]
			open = open || shares[i] < c.Wanted
		}
		if left < 0 || left > 0 && open {
			t.Errorf("%d of %d are left, and somebody wants more: %v", left, free, open)
		}
		for i, a := range claims {
			if shares[i] == NoShare {
				if room := free - leastBefore(claims, shares, i); a.Least <= room {
					t.Errorf("claim %d needs %d, is refused, and %d are free beside those before it", i, a.Least, room)
				}
				continue
			}
			for j, b := range claims {
				if shares[j] == NoShare || shares[i] >= a.Wanted || shares[j] <= b.Least {
					continue
				}
				// a would take more, and b has more than it needs
				if a.Priority > b.Priority {
					t.Errorf("claim %d, of a higher priority, has less than it wants, and %d has more than it needs", i, j)
				}
				if a.Priority == b.Priority && shares[j] > shares[i]+1 {
					t.Errorf("equals %d and %d have %d and %d", i, j, shares[i], shares[j])
				}
			}
		}
	})
}

// leastBefore adds up what those need that are admitted before claim i.
func leastBefore(claims []Claim, shares []int64, i int) (sum int64) {
	for j, c := range claims {
		before := cmp.Compare(claims[i].Priority, c.Priority)
		if shares[j] != NoShare && (before < 0 || before == 0 && j < i) {
			sum += c.Least
		}
	}
	return sum
}
