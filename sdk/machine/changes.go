package machine

import (
	"context"
	"io/fs"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// changes.go says how long nobody need look: memory is used up no faster than it is written, and a limit that somebody lowers at once is told.

// follower is told when the limits of cgroups are written to.
type follower struct {
	root    kernel
	files   *fsnotify.Watcher
	follows []string
}

// Changes sends when somebody has written to a limit of the cgroups that this process is in, until ctx ends. It is nil where the system does not tell. A limit
// further up than what is mounted here, of version 1, is seen by the next look alone. Look is called by the same goroutine.
func (w *Watch) Changes(ctx context.Context) <-chan struct{} {
	root, ok := w.root.(kernel)
	if !ok {
		return nil
	}
	files, err := fsnotify.NewWatcher()
	if err != nil {
		return nil // there is a limit on how many a user may have
	}
	f := &follower{root: root, files: files}
	w.follower = f
	f.follow(w.groups)
	changes := make(chan struct{}, 1)
	go func() {
		defer files.Close()
		for {
			select {
			case <-ctx.Done():
				return
			case _, ok = <-files.Events:
			case _, ok = <-files.Errors: // some were lost
			}
			if !ok {
				return
			}
			select {
			case changes <- struct{}{}:
			default:
			}
		}
	}()
	return changes
}

// follow has the follower told of these groups' limits from now on.
func (f *follower) follow(in []group) {
	if f == nil {
		return
	}
	var follows []string
	for _, g := range in {
		for file, key := range g.limits() {
			name := filepath.Join(f.root.dir, file)
			if key == "" && f.files.Add(name) == nil { // not all groups have all
				follows = append(follows, name)
			}
		}
	}
	for _, name := range f.follows {
		if !slices.Contains(follows, name) {
			_ = f.files.Remove(name) // it may be gone
		}
	}
	f.follows = follows
}

// fastest is how many bytes a second one processor writes to fresh memory, at most: 2 to 3 GB of small pages, 8 of huge ones.
const fastest = 8e9

// Lasts is for how long so many bytes of memory last at least, whatever programs begin to take them.
func (w *Watch) Lasts(bytes int64) time.Duration {
	return time.Duration(float64(max(0, bytes)) / (fastest * float64(max(1, w.processors))) * float64(time.Second))
}

// processors is how many the machine has, of which this process may use fewer: "0-3,8" is five.
func processors(root fs.FS) (n int) {
	for line := range lines(root, "sys/devices/system/cpu/online") {
		for part := range strings.SplitSeq(line, ",") {
			first, last, isRange := strings.Cut(part, "-")
			from, err := strconv.Atoi(first)
			to := from
			if isRange && err == nil {
				to, err = strconv.Atoi(last)
			}
			if err == nil && to >= from {
				n += to - from + 1
			}
		}
	}
	return max(n, runtime.NumCPU())
}
