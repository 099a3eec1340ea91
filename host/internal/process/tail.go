package process

import (
	"slices"
	"strings"
	"sync"
)

const (
	tailLines = 20
	tailBytes = 500 // of each line
)

// tail keeps a process's last words: the last lines it wrote, or, once one of them announced a crash, that line and those
// that follow it. The stack trace of the goroutine that panicked comes first, and hundreds of others may follow.
type tail struct {
	mu      sync.Mutex
	kept    []string
	crashed bool
}

func (t *tail) add(line string, crash bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(line) > tailBytes {
		line = strings.ToValidUTF8(line[:tailBytes], "") + " …" // the cut may go through a rune
	}
	if crash && !t.crashed {
		t.crashed, t.kept = true, t.kept[:0]
	}
	if len(t.kept) == tailLines {
		if t.crashed {
			return
		}
		t.kept = slices.Delete(t.kept, 0, 1)
	}
	t.kept = append(t.kept, line)
}

// recover forgets a crash that the process survived.
func (t *tail) recover() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.crashed = false
}

func (t *tail) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.kept)
}
