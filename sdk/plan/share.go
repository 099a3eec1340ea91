// share.go divides one device's memory between the models that want some of it: a pure function, which the host calls
// when models come and `config check` calls to say what would happen.

package plan

import (
	"cmp"
	"slices"
)

// Claim is what one model wants of a device, in bytes.
type Claim struct {
	Priority int   // higher is served first
	Least    int64 // with less it cannot run
	Wanted   int64 // more is of no use to it; at least Least
}

// Share divides what is free. Models are admitted in the order of their priority, those of equal priority in the order of
// the list: one whose least fits beside the least of those before it gets a share, from its least to what it wants;
// one that does not fit gets NoShare. What is left beyond the least goes to the highest priority first, and among equals
// it is poured like water: all are raised to one level, but for those that have enough with less or need more to run.
func Share(free int64, claims []Claim) []int64 {
	order := make([]int, len(claims))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(claims[b].Priority, claims[a].Priority) })
	shares := make([]int64, len(claims))
	admitted := order[:0:0]
	for _, i := range order {
		if claims[i].Least > free {
			shares[i] = NoShare
			continue
		}
		shares[i] = claims[i].Least
		free -= claims[i].Least
		admitted = append(admitted, i)
	}
	for len(admitted) > 0 {
		n := 1
		for n < len(admitted) && claims[admitted[n]].Priority == claims[admitted[0]].Priority {
			n++
		}
		free = pour(free, claims, shares, admitted[:n])
		admitted = admitted[n:]
	}
	return shares
}

// NoShare is the share of a model that does not fit beside the others.
const NoShare = -1

// pour raises the shares of equals to one level, and returns what then is left. A byte that does not divide goes to the
// first.
func pour(free int64, claims []Claim, shares []int64, equals []int) int64 {
	open := slices.DeleteFunc(slices.Clone(equals), func(i int) bool { return shares[i] >= claims[i].Wanted })
	slices.SortStableFunc(open, func(a, b int) int { return cmp.Compare(shares[a], shares[b]) })
	for free > 0 && len(open) > 0 {
		low := shares[open[0]] // the lowest are raised together, to the next above them or as far as one of them wants
		n, until := 0, int64(1<<62)
		for n < len(open) && shares[open[n]] == low {
			until = min(until, claims[open[n]].Wanted)
			n++
		}
		if n < len(open) {
			until = min(until, shares[open[n]])
		}
		rise := min(until-low, free/int64(n))
		for _, i := range open[:n] {
			shares[i] += rise
		}
		free -= rise * int64(n)
		if rise == 0 { // fewer bytes than models
			for _, i := range open[:free] {
				shares[i]++
			}
			return 0
		}
		open = slices.DeleteFunc(open, func(i int) bool { return shares[i] >= claims[i].Wanted })
	}
	return free
}
