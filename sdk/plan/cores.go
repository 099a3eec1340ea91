// cores.go divides the machine's cores between the models that work, and counts what a model expects of its share: two that each computed on all of
// them would spend much of their time waiting for threads that the other has put aside.

package plan

import (
	"slices"
	"strings"
	"time"
)

// Worker is a model among those that share cores.
type Worker struct {
	Name     string
	Threads  int // which it never uses more than; 0: as many as there are cores
	Priority int
	Busy     bool          // it has requests in work, or loads
	Idle     time.Duration // since it last was busy; Never if it never was
}

// CoreShare is what one model may use now.
type CoreShare struct {
	Cores int
	Why   string // completes "it has so many cores: "
	Works bool   // it counts as working
	With  int    // how many others do
}

// DivideCores gives each model its share, in their order. A model counts as working for so long after its last request. Those that work share the cores equally, none beyond its threads, what does not
// divide going to the first; those of a lower priority get what is left of the higher. Each has at least one, also an idle one, which has what
// is left besides, and all if nobody works. again is after what time the division is another though nothing has happened; 0: never.
func DivideCores(cores int, users []Worker, linger time.Duration) (shares []CoreShare, again time.Duration) {
	shares = make([]CoreShare, len(users))
	var working, idle []int
	for i, u := range users {
		if u.Busy || u.Idle < linger {
			working = append(working, i)
			shares[i].Works = true
		} else {
			idle = append(idle, i)
		}
		if rest := linger - u.Idle; !u.Busy && rest > 0 && (again == 0 || rest < again) {
			again = rest
		}
	}
	left := cores
	slices.SortStableFunc(working, func(a, b int) int { return users[b].Priority - users[a].Priority })
	for from := 0; from < len(working); {
		to := from + 1
		for to < len(working) && users[working[to]].Priority == users[working[from]].Priority {
			to++
		}
		left = fillCores(left, cores, users, shares, working[from:to])
		from = to
	}
	for _, i := range idle {
		shares[i].Cores = users[i].Most(cores)
		if len(working) > 0 {
			shares[i].Cores = min(shares[i].Cores, max(1, left))
		}
	}
	for i := range shares {
		var others []string
		for _, w := range working {
			if w != i {
				others = append(others, users[w].Name)
			}
		}
		shares[i].explain(users[i], cores, others)
	}
	return shares, again
}

// fillCores divides what is left between equals, and returns what they leave.
func fillCores(left, cores int, users []Worker, shares []CoreShare, equals []int) int {
	for _, i := range equals {
		shares[i].Cores = 1
		left--
	}
	for gave := true; gave && left > 0; { // one each in turn: a machine has few
		gave = false
		for _, i := range equals {
			if left > 0 && shares[i].Cores < users[i].Most(cores) {
				shares[i].Cores++
				left--
				gave = true
			}
		}
	}
	return max(0, left)
}

// Most is what a model can use of a machine's cores.
func (u Worker) Most(cores int) int {
	if u.Threads > 0 {
		return min(u.Threads, cores)
	}
	return max(1, cores)
}

// explain says why a share is what it is, beside the others that work.
func (s *CoreShare) explain(u Worker, cores int, others []string) {
	s.With = len(others)
	switch names := strings.Join(others, ", "); {
	case s.Works && s.With > 0:
		s.Why = "it works at the same time as " + names
	case s.Works:
		s.Why = "it works alone"
	case s.With > 0:
		s.Why = "it has nothing to do while there is work for " + names
	default:
		s.Why = "nobody works"
	}
	if s.Cores == u.Threads && u.Threads < cores {
		s.Why += ", and its entry has so many threads"
	}
}

// OnCores is an input for a model that has so many of the cores on which its CPU's rates were measured, while others work on the rest: of what the
// memory gives, and of what is computed, it has as large a part. How long it takes until all threads have an op stays.
func OnCores(in Input, has, of int) Input {
	if has <= 0 || has >= of {
		return in
	}
	devices := slices.Clone(in.Devices)
	for i := range devices {
		devices[i].ReadRate = in.readRate(devices[i])
	}
	part := float64(has) / float64(of)
	devices[0].ReadRate *= part
	devices[0].FLOPS *= part
	in.Devices = devices
	return in
}
