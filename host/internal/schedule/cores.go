// cores.go divides the machine's cores between the models that work: two that each computed on all of them would spend much of their time
// waiting for threads that the other has put aside. The division is a pure function; corekeeper.go has it carried out.
package schedule

import (
	"math"
	"slices"
	"strings"
	"time"
)

// coreLinger is how long a model counts as working after its last request. Whoever asks one question after the other has the next one
// there by then, so that the cores do not go back and forth between two of them.
const coreLinger = 500 * time.Millisecond

// coreUser is a model as the division sees it.
type coreUser struct {
	ID       string
	Threads  int // its entry's, which it never uses more than; 0: as many as there are cores
	Priority int
	Busy     bool          // it has requests in work, or loads
	Idle     time.Duration // since it last was busy; forever if it never was
}

// forever is long past any linger.
const forever = time.Duration(math.MaxInt64)

// coreShare is what one model may use now.
type coreShare struct {
	Cores int
	Why   string // completes "it has so many cores: "
	Works bool   // it counts as working
	With  int    // how many others do
}

// divideCores gives each model its share, in their order. Those that work share the cores equally, none beyond its threads, what does not
// divide going to the first; those of a lower priority get what is left of the higher. Each has at least one, also an idle one, which has what
// is left besides, and all if nobody works. again is after what time the division is another though nothing has happened; 0: never.
func divideCores(cores int, users []coreUser) (shares []coreShare, again time.Duration) {
	shares = make([]coreShare, len(users))
	var working, idle []int
	for i, u := range users {
		if u.Busy || u.Idle < coreLinger {
			working = append(working, i)
			shares[i].Works = true
		} else {
			idle = append(idle, i)
		}
		if rest := coreLinger - u.Idle; !u.Busy && rest > 0 && (again == 0 || rest < again) {
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
		left = fill(left, cores, users, shares, working[from:to])
		from = to
	}
	for _, i := range idle {
		shares[i].Cores = most(users[i], cores)
		if len(working) > 0 {
			shares[i].Cores = min(shares[i].Cores, max(1, left))
		}
	}
	for i := range shares {
		var others []string
		for _, w := range working {
			if w != i {
				others = append(others, users[w].ID)
			}
		}
		shares[i].explain(users[i], cores, others)
	}
	return shares, again
}

// fill divides what is left between equals, and returns what they leave.
func fill(left, cores int, users []coreUser, shares []coreShare, equals []int) int {
	for _, i := range equals {
		shares[i].Cores = 1
		left--
	}
	for gave := true; gave && left > 0; { // one each in turn: a machine has few
		gave = false
		for _, i := range equals {
			if left > 0 && shares[i].Cores < most(users[i], cores) {
				shares[i].Cores++
				left--
				gave = true
			}
		}
	}
	return max(0, left)
}

// most is what a model can use of a machine's cores.
func most(u coreUser, cores int) int {
	if u.Threads > 0 {
		return min(u.Threads, cores)
	}
	return max(1, cores)
}

// explain says why a share is what it is, beside the others that work.
func (s *coreShare) explain(u coreUser, cores int, others []string) {
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
