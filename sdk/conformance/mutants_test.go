package conformance

// mutants_test.go keeps the kit honest: each twin of the reference has one flaw, and fails the case that is meant for it and
// no other.

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/internal/waiting"
)

// mutant is a twin of the reference. The flaw of one without plugin is that of file or beneath.
type mutant struct {
	flaw, fails, must string
	plugin            func() sdk.Plugin
	file              bool
	timeout           time.Duration
}

// brief is for flaws that show in what does not come.
const brief = 4 * time.Second

// failing are the twins that fail one case.
func failing(name string, list []mutant) []mutant {
	for i := range list {
		list[i].fails = name
	}
	return list
}

// mutants are all of them. One hangs until release is closed.
func mutants(release <-chan struct{}) []mutant {
	return slices.Concat(processFlaws(), describeFlaws(), inspectFlaws(), loadFlaws(), generateFlaws(), cancelFlaws(release),
		determinismFlaws(), toolFlaws(), pictureFlaws(), forwardFlaws(), embedFlaws())
}

func TestEachFlawFailsItsCaseAlone(t *testing.T) {
	release := make(chan struct{})
	t.Cleanup(func() { close(release) }) // after the parallel subtests
	model := checkpoint(t)
	for _, m := range mutants(release) {
		t.Run(m.flaw, func(t *testing.T) {
			c := Config{Model: model, Timeout: m.timeout}
			switch {
			case m.file: // written before anything is forked: a file that a child holds open for writing cannot be executed
				c.Binary, c.Start = file(t, m.flaw), startInProcess(func() sdk.Plugin { return &reference{} })
			case m.plugin != nil:
				c.Start = startInProcess(m.plugin)
			default:
				c.Start = startBeneath(t, m.flaw)
			}
			t.Parallel()
			waiting.Bound(t)
			if m.flaw == "has two tables" {
				failsEverywhere(t, c, "L2: Load failed: the plugin broke the protocol: after the layer table")
				return
			}
			failed := false
			Check(c, func(r Result) {
				switch lines := strings.Join(r.Lines, "\n"); {
				case r.Failed && r.Case.Name != m.fails:
					t.Errorf("%s fails, too: %s", r.Case.Name, lines)
				case r.Failed && !regexp.MustCompile(`\b`+m.must+`\b`).MatchString(lines):
					t.Errorf("%s fails, but not for %s: %s", m.fails, m.must, lines)
				case r.Failed:
					failed = true
				}
			})
			if !failed {
				t.Errorf("%s does not notice", m.fails)
			}
		})
	}
}

// failsEverywhere is for a flaw without which nothing can be seen.
func failsEverywhere(t *testing.T, c Config, want string) {
	all := ""
	Check(c, func(r Result) { all += strings.Join(r.Lines, "\n") + "\n" })
	if !strings.Contains(all, want) {
		t.Errorf("nothing says %q:\n%s", want, all)
	}
}

// The same, of a plugin that is only what it should be.
func TestReferenceIsAGoodProcess(t *testing.T) {
	waiting.Bound(t)
	for _, flaw := range []string{"none", "lets nobody else in"} {
		c := Config{Binary: file(t, flaw), Model: checkpoint(t)}
		Run(t, c)
	}
}
