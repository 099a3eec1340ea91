package machine

import (
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"
)

// watch.go looks at the machine's memory again and again: it is shared with other programs, and the limits of cgroups are changed while
// processes run.

// Strain is the machine's memory at one moment.
type Strain struct {
	Memory
	// Stalled is the part of the time in which some process stood still for lack of memory, of late: 0 to 1, by the kernel's pressure
	// stall information; 0 where there is none.
	Stalled float64
	Where   string // the file that tells the most of it
}

// Watch looks at one machine.
type Watch struct {
	root fs.FS

	groups     []group
	processors int
	found      time.Time // when these were
	stalls     map[string]stall
	follower   *follower // of what is written to the groups' limits; nil: nobody is told
}

// stall is what a file of pressure stall information said.
type stall struct {
	total   int64 // microseconds since the start of the system
	at      time.Time
	stalled float64 // an exponential mean
}

// NewWatch watches the machine whose files are below root.
func NewWatch(root fs.FS) *Watch { return &Watch{root: root, stalls: map[string]stall{}} }

// findEvery is how long the process is taken to be in the cgroups that it was in: finding them is half the work of a look.
const findEvery = 15 * time.Second

// Look reads what there is now. It takes some ten files, a tenth of a millisecond.
func (w *Watch) Look(now time.Time) Strain {
	if w.found.IsZero() || now.Sub(w.found) >= findEvery {
		w.groups, w.processors, w.found = groups(w.root), processors(w.root), now
		w.follower.follow(w.groups)
	}
	s := Strain{Memory: readIn(w.root, w.groups)}
	for _, file := range w.pressures() {
		if part := w.stalled(file, now); part > s.Stalled {
			s.Stalled, s.Where = part, "/"+file
		}
	}
	return s
}

// pressures are the files that tell of stalls: the system's, and those of the unified cgroups that this process is in.
func (w *Watch) pressures() []string {
	files := []string{"proc/pressure/memory"}
	for _, g := range w.groups {
		if g.unified {
			for dir := range g.dirs() {
				files = append(files, path.Join(dir, "memory.pressure"))
			}
		}
	}
	return files
}

// stallMean is over which time stalls are averaged: one alone is no lack.
const stallMean = time.Second

// stalled is the part of the time in which somebody stood still, by the counter of a file: its own averages are of ten seconds and more.
func (w *Watch) stalled(file string, now time.Time) float64 {
	total, ok := someTotal(w.root, file)
	if !ok {
		delete(w.stalls, file)
		return 0
	}
	s, seen := w.stalls[file]
	if passed := now.Sub(s.at); seen && passed > 0 {
		part := min(1, max(0, float64(total-s.total)*1e3/float64(passed)))
		weight := min(1, float64(passed)/float64(stallMean))
		s.stalled += weight * (part - s.stalled)
	}
	s.total, s.at = total, now
	w.stalls[file] = s
	return s.stalled
}

// someTotal reads "some avg10=0.00 avg60=0.00 avg300=0.00 total=12345".
func someTotal(root fs.FS, file string) (micros int64, ok bool) {
	for line := range lines(root, file) {
		kind, rest, _ := strings.Cut(line, " ")
		_, total, found := strings.Cut(rest, "total=")
		if kind != "some" || !found {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(total), 10, 64)
		return n, err == nil && n >= 0
	}
	return 0, false
}

// room is what the processes of a cgroup's folder may still take before its limit: what holds files is given up for it. ok is false where
// there is no limit, or it is not told what is used.
func (g group) room(root fs.FS, dir string) (free int64, ok bool) {
	limits, current, prefix := []string{"memory.max", "memory.high"}, "memory.current", ""
	if !g.unified {
		limits, current, prefix = []string{"memory.limit_in_bytes"}, "memory.usage_in_bytes", "total_"
	}
	least := int64(0)
	for _, name := range limits {
		if n := limit(root, path.Join(dir, name), ""); n > 0 && (least == 0 || n < least) {
			least = n
		}
	}
	if least == 0 || least >= unlimited {
		return 0, false
	}
	used := limit(root, path.Join(dir, current), "")
	if used == 0 {
		return 0, false
	}
	stat := path.Join(dir, "memory.stat")
	files := limit(root, stat, prefix+"inactive_file") + limit(root, stat, prefix+"active_file")
	return max(0, least-max(0, used-files)), true
}

// unlimited is what version 1 writes where there is no limit: more than any machine has.
const unlimited = 1 << 60
