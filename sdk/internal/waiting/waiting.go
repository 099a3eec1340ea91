// Package waiting bounds a test that waits. One that never goes on would else be found by go test's own time-out, twenty
// minutes later and in a pile of goroutines; this one ends after two minutes and says who waits where.
package waiting

import (
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// patience is for what must happen: no test passes because it is over. It is long enough for a machine with other work.
const patience = 2 * time.Minute

// Bound ends the test binary if t, with its cleanups registered later, is not over in time. It must not be used within a
// synctest bubble, whose clock is another and which notices by itself that nobody goes on.
func Bound(t testing.TB) { bound(t, patience, end) }

func bound(t testing.TB, limit time.Duration, end func(report string)) {
	name := t.Name()
	timer := time.AfterFunc(limit, func() {
		end(fmt.Sprintf("%s still waits after %v. Who waits, and the first line of ours that it stands in:\n%s", name, limit, goroutines()))
	})
	t.Cleanup(func() { timer.Stop() })
}

// end ends the process, since a goroutine that waits for ever cannot be ended by another.
func end(report string) {
	fmt.Fprintln(os.Stderr, report)
	os.Exit(1)
}

var (
	header = regexp.MustCompile(`^goroutine \d+ (?:gp=\S+ m=\S+ )?(?:mp=\S+ )?\[([^\]]*)\]`)
	since  = regexp.MustCompile(`, \d+ minutes`)
)

// goroutines tells of each goroutine that runs code of this repository what it waits for and where, the most numerous last.
func goroutines() string {
	stack := make([]byte, 1<<20)
	for {
		n := runtime.Stack(stack, true)
		if n < len(stack) {
			stack = stack[:n]
			break
		}
		stack = make([]byte, 2*len(stack))
	}
	count := map[string]int{}
	for _, g := range strings.Split(string(stack), "\n\n") {
		if line := summary(g); line != "" {
			count[line]++
		}
	}
	var lines []string
	for line, n := range count {
		lines = append(lines, fmt.Sprintf("%4d  %s", n, line))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// summary is what a goroutine waits for and the innermost function of ours it is in, or "".
func summary(trace string) string {
	lines := strings.Split(trace, "\n")
	state := header.FindStringSubmatch(lines[0])
	if state == nil {
		return ""
	}
	for i := 1; i+1 < len(lines); i += 2 {
		function, file := lines[i], strings.TrimSpace(lines[i+1])
		const ours = "github.com/inference-pio/inference-pio/"
		if !strings.Contains(function, ours) || strings.Contains(function, "/internal/waiting.") {
			continue
		}
		function = function[strings.Index(function, ours)+len(ours):]
		function = function[:max(strings.LastIndexByte(function, '('), 0)]
		place, _, _ := strings.Cut(file, " +0x")
		return fmt.Sprintf("%s: %s at %s", since.ReplaceAllString(state[1], ""), function, place[strings.LastIndexByte(place, '/')+1:])
	}
	return ""
}
