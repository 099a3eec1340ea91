package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
	"github.com/inference-pio/inference-pio/sdk/internal/waiting"
)

// results runs all cases and returns what each said.
func results(t *testing.T, c Config) (said map[string]string, all string, failed []string) {
	t.Helper()
	waiting.Bound(t)
	said = map[string]string{}
	Check(c, func(r Result) {
		said[r.Case.Name] = strings.Join(r.Lines, "\n")
		all += said[r.Case.Name] + "\n"
		if r.Failed {
			failed = append(failed, r.Case.Name)
		}
	})
	return said, all, failed
}

func TestOneCauseIsToldOnce(t *testing.T) {
	starts := 0
	never := func(context.Context) (*client.Client, func(), error) {
		starts++
		return nil, nil, fmt.Errorf("process %d exited with status 3", 1000+starts)
	}
	said, all, failed := results(t, Config{Start: never})
	if n := strings.Count(all, "exited with status 3"); n != 1 || !strings.Contains(said["describe"], "exited with status 3") {
		t.Errorf("the cause is told %d times:\n%s", n, all)
	}
	if said["inspect"] != "the plugin did not start: as in the case describe" || len(failed) != len(Cases())-1 {
		t.Errorf("failed are %q; inspect says %q", failed, said["inspect"])
	}

	panics := startInProcess(func() sdk.Plugin {
		return &twin{generate: func(context.Context, *reference, sdk.GenerateRequest, func(sdk.Event) error) error {
			panic("out of luck")
		}}
	})
	said, all, failed = results(t, Config{Start: panics, Model: checkpoint(t)})
	if n := strings.Count(all, "out of luck"); n != 1 {
		t.Errorf("the cause is told %d times:\n%s", n, all)
	}
	if want := "the plugin panicked at conformance/told_test.go:"; !strings.Contains(said["load-unload"], want) {
		t.Errorf("nothing says %q:\n%s", want, said["load-unload"])
	}
	if want := "R1: Generate failed: as in the case load-unload"; said["determinism"] != want {
		t.Errorf("determinism says %q, want %q", said["determinism"], want)
	}
	if len(failed) < 5 {
		t.Errorf("only %q failed", failed)
	}
}

// A cut at each of twelve tokens fails in the same way.
func TestWhatIsTheSameInOtherPlacesIsCounted(t *testing.T) {
	counts := startInProcess(func() sdk.Plugin {
		return &twin{generate: func(ctx context.Context, r *reference, req sdk.GenerateRequest, send func(sdk.Event) error) error {
			return r.Generate(ctx, req, func(e sdk.Event) error {
				if req.Resume != nil && req.Chat == nil && e.Finish != nil {
					e.Finish.CompletionTokens++
				}
				return send(e)
			})
		}}
	})
	said, _, _ := results(t, Config{Start: counts, Model: checkpoint(t)})
	lines := strings.Split(said["determinism"], "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "R3: resumed") || lines[1] != "38 more lines say the same of other places" {
		t.Errorf("determinism says\n%s", said["determinism"])
	}
}

// Other errors are told, whatever came before them.
func TestOtherCausesAreTold(t *testing.T) {
	o := newTold()
	say := func(name, format string, args ...any) string {
		r := &recorder{}
		o.run(Case{Name: name, Run: func(t T, _ Config) { t.Errorf(format, args...) }}, r, Config{})
		return strings.Join(r.lines, "\n")
	}
	for _, step := range []struct{ name, must, err, want string }{
		{"a", "G1", "lost 3 of 4", "G1: failed: lost 3 of 4"},
		{"b", "G2", "lost 2 of 4", "G2: failed: as in the case a"},
		{"b", "G2", "found", "G2: failed: found"},
	} {
		if got := say(step.name, step.must+": failed: %v", errors.New(step.err)); got != step.want {
			t.Errorf("got %q, want %q", got, step.want)
		}
	}
	if got, again := say("a", "G3: 2 tokens"), say("b", "G4: 7 tokens"); got != "G3: 2 tokens" || again != "G4: as in the case a" {
		t.Errorf("got %q and %q", got, again)
	}
}

func TestProcessThatEndsByItselfIsToldOf(t *testing.T) {
	good := startInProcess(func() sdk.Plugin { return &reference{} })
	words := func(*client.Client) string { return "it exited with status 2\npanic: out of luck\nmain.go:7" }
	said, all, failed := results(t, Config{Start: good, Model: checkpoint(t), LastWords: words})
	if n := strings.Count(all, "main.go:7"); n != 1 || !strings.HasPrefix(said["describe"], "the process ended by itself: it exited with status 2") {
		t.Errorf("told %d times:\n%s", n, all)
	}
	if len(failed) != len(Cases())-1 {
		t.Errorf("failed are %q", failed)
	}
	if _, all, failed := results(t, Config{Start: good, Model: checkpoint(t), LastWords: func(*client.Client) string { return "" }}); len(failed) > 0 {
		t.Errorf("failed are %q:\n%s", failed, all)
	}
}
