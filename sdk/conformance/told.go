package conformance

// told.go: one cause breaks many checks, in many cases. It is told in full once; later lines say where.

import (
	"fmt"
	"regexp"
	"sync"
)

// told knows what was said, in all cases of a run.
type told struct {
	mu     sync.Mutex
	causes map[string]string // of an error or a line without its numbers, the case that told it
}

func newTold() *told { return &told{causes: map[string]string{}} }

// first says whether cause was not told before, else which case told it.
func (o *told) first(cause, name string) (before string, first bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if before, known := o.causes[cause]; known {
		return before, false
	}
	o.causes[cause] = name
	return "", true
}

var (
	mustPrefix = regexp.MustCompile(`^[A-Z]\d+(, [A-Z]\d+)*: `)
	panicLine  = regexp.MustCompile(`(?m)^\s*(panic|fatal error): .*`)
	figures    = regexp.MustCompile(`\d+`) // process ids, times, positions: the same cause has others each time
)

// briefT is the T of one case. Its lines go to T with what was told before left out.
type briefT struct {
	T
	name    string
	told    *told
	mu      sync.Mutex
	skipped map[string]int // lines that say the same as an earlier one of this case
	order   []string
}

func (t *briefT) Errorf(format string, args ...any) {
	t.Helper()
	if line := t.brief(format, args); line != "" {
		t.T.Errorf("%s", line)
	}
}

func (t *briefT) Fatalf(format string, args ...any) {
	t.Helper()
	t.T.Fatalf("%s", t.orAgain(t.brief(format, args), format, args))
}

// orAgain is for the line that ends a case, which cannot be left out.
func (t *briefT) orAgain(line, format string, args []any) string {
	if line == "" {
		return mustPrefix.FindString(fmt.Sprintf(format, args...)) + "as above"
	}
	return line
}

// brief is the line with errors that were told before replaced, or "" if this case has said the like.
func (t *briefT) brief(format string, args []any) string {
	short := append([]any{}, args...)
	whole := true
	for i, a := range args {
		cause := causeOf(a)
		if cause == "" {
			continue
		}
		if before, first := t.told.first("cause: "+cause, t.name); !first {
			short[i], whole = t.where(before), false
			if _, words := a.(lastWords); words {
				short[i] = " (" + t.where(before) + ")"
			}
		}
	}
	line := fmt.Sprintf(format, short...)
	key := figures.ReplaceAllString(line, "#")
	t.mu.Lock()
	defer t.mu.Unlock()
	if n, said := t.skipped[key]; said {
		t.skipped[key] = n + 1
		return ""
	}
	t.skipped[key] = 0
	t.order = append(t.order, key)
	if number := mustPrefix.FindString(line); whole {
		if before, first := t.told.first(figures.ReplaceAllString(line[len(number):], "#"), t.name); !first && before != t.name {
			return number + t.where(before)
		}
	}
	return line
}

// causeOf tells errors and last words apart by what matters in them: of a trace, the line with the panic. Of other things it
// is "".
func causeOf(a any) string {
	var text string
	switch a := a.(type) {
	case error:
		text = a.Error()
	case lastWords:
		text = string(a)
	}
	if panicked := panicLine.FindString(text); panicked != "" {
		text = panicked
	}
	return figures.ReplaceAllString(text, "#")
}

func (t *briefT) where(before string) string {
	if before == t.name {
		return "as above"
	}
	return "as in the case " + before
}

// end says how much was left out.
func (t *briefT) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	more := 0
	for _, key := range t.order {
		more += t.skipped[key]
	}
	if more > 0 {
		t.Logf("%d more lines say the same of other places", more)
	}
}

// run runs a case whose lines go to t.
func (o *told) run(k Case, t T, c Config) {
	t.Helper()
	brief := &briefT{T: t, name: k.Name, told: o, skipped: map[string]int{}}
	defer brief.end() // also when the case ends its goroutine
	k.Run(brief, c)
}
