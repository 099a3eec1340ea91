// Package machine says how much memory the processes of one host may take together: what the machine has, or less where a
// cgroup (a container, a systemd slice) allows less. Threads need nothing of the kind: runtime.GOMAXPROCS(0) obeys the
// cgroup's share of the processors.
//
// Why not a library: those there are read the process's own cgroup alone, and a limit is usually set further up.
package machine

import (
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// Memory is in bytes; 0 is unknown.
type Memory struct {
	Total     int64  // the least of what the machine has and what the cgroups on the way to the root allow
	Available int64  // what could be taken now without swapping, by the system's estimate, and within the cgroups' limits
	From      string // the file that Total stands in
}

// Read looks at the machine as it is now.
func Read() Memory { return read(Root()) }

// The reserve is what Usable leaves to others: the host with the requests on their way (a quarter of a gigabyte when it is
// flooded), the system, and the file pages that the system wants to keep. A machine of 24 GiB keeps 2.
const (
	reserveLeast = 512 << 20
	reserveShare = 16
)

// Usable is what models may be given in all: the total without a reserve, and at least half of it. 0 is unknown.
func (m Memory) Usable() int64 {
	return m.Total - min(reserveLeast+m.Total/reserveShare, m.Total/2)
}

func read(root fs.FS) Memory { return readIn(root, groups(root)) }

// readIn is read for a process in these cgroups.
func readIn(root fs.FS, in []group) Memory {
	root = onceOf(root)
	m := Memory{From: "/proc/meminfo"}
	for line := range lines(root, "proc/meminfo") {
		name, rest, _ := strings.Cut(line, ":")
		kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		switch name {
		case "MemTotal":
			m.Total = kib << 10
		case "MemAvailable":
			m.Available = kib << 10
		}
	}
	if m.Total == 0 {
		m.From = ""
	}
	for _, group := range in {
		for file, key := range group.limits() {
			if n := limit(root, file, key); n > 0 && (m.Total == 0 || n < m.Total) {
				m.Total, m.From = n, "/"+file
			}
		}
	}
	m.Available = min(m.Available, m.Total)
	for _, group := range in {
		for dir := range group.dirs() {
			if free, ok := group.room(root, dir); ok {
				m.Available = min(m.Available, free)
			}
		}
	}
	return m
}

// group is the cgroup of this process in one hierarchy, as a path below the place where it is mounted.
type group struct {
	mount   string
	path    string
	unified bool // version 2
}

// limits yields every file that may limit the memory of the group, its own and those of the groups around it, each with
// the key of its line, "" for a file that is one number.
func (g group) limits() func(yield func(file, key string) bool) {
	return func(yield func(file, key string) bool) {
		for dir := range g.dirs() {
			if g.unified {
				if !yield(path.Join(dir, "memory.max"), "") || !yield(path.Join(dir, "memory.high"), "") {
					return
				}
			} else if !yield(path.Join(dir, "memory.limit_in_bytes"), "") || !yield(path.Join(dir, "memory.stat"), "hierarchical_memory_limit") {
				return // memory.stat tells of groups further up than what is mounted here
			}
		}
	}
}

// dirs yields the folders of the group and of those around it.
func (g group) dirs() func(yield func(dir string) bool) {
	return func(yield func(dir string) bool) {
		for at := g.path; yield(path.Join(g.mount, at)) && at != "/"; at = path.Dir(at) {
		}
	}
}

// groups finds the hierarchies that can limit memory and where this process is in them.
func groups(root fs.FS) []group {
	mine := map[string]string{} // by controller: "memory", or "" for version 2
	for line := range lines(root, "proc/self/cgroup") {
		f := strings.SplitN(line, ":", 3) // hierarchy, controllers, path
		if len(f) != 3 {
			continue
		}
		for _, controller := range strings.Split(f[1], ",") {
			mine[controller] = f[2]
		}
	}
	var list []group
	for line := range lines(root, "proc/self/mountinfo") {
		before, after, _ := strings.Cut(line, " - ")
		f, kind := strings.Fields(before), strings.Fields(after)
		if len(f) < 5 || len(kind) < 3 {
			continue
		}
		controller, unified := "memory", kind[0] == "cgroup2"
		if unified {
			controller = ""
		} else if kind[0] != "cgroup" || !strings.Contains(","+kind[2]+",", ",memory,") {
			continue
		}
		if where, ok := mine[controller]; ok {
			list = append(list, group{strings.TrimPrefix(f[4], "/"), below(where, f[3]), unified})
		}
	}
	return list
}

// below is a cgroup's path seen from a mount of the group at root. A container that is not told of the groups around it
// may be given a path that is not below what it has mounted: what is mounted is its own then.
func below(where, root string) string {
	rest, ok := strings.CutPrefix(where, strings.TrimSuffix(root, "/"))
	if !ok || strings.Contains(where, "/..") {
		return "/"
	}
	return path.Clean("/" + rest)
}

// limit reads a number of bytes; 0 if there is none ("max", or no such file).
func limit(root fs.FS, file, key string) int64 {
	for line := range lines(root, file) {
		name, value, found := strings.Cut(line, " ")
		if !found {
			name, value = "", line
		}
		if name == key {
			n, _ := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			return n
		}
	}
	return 0
}

// lines yields those of a file of the kernel's; none if it cannot be read.
func lines(root fs.FS, name string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return
		}
		for line := range strings.Lines(string(text)) {
			if !yield(strings.TrimSuffix(line, "\n")) {
				return
			}
		}
	}
}
