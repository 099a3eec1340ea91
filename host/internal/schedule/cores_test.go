package schedule

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/sdk"
)

// told is what plugins were told of cores.
type told struct {
	mu   sync.Mutex
	list []string
}

func (c *told) hear(id string) func(sdk.Order) sdk.Report {
	return func(o sdk.Order) sdk.Report {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.list = append(c.list, fmt.Sprint(id, " ", o.Cores.Cores))
		return sdk.Report{}
	}
}

// Models a and b share cores, of which there are 4; c does not, but is counted.
func TestPluginsAreToldOfTheirCores(t *testing.T) {
	var c told
	gates := map[string]chan struct{}{} // what a model does ends when its gate is opened
	wait := func(id string) func(context.Context, *fakeProcess, sdk.GenerateRequest, int) {
		return func(_ context.Context, p *fakeProcess, _ sdk.GenerateRequest, _ int) {
			select {
			case <-gates[id]:
			case <-p.calls:
			}
		}
	}
	inTown(t, 100_000, []config.Model{{ID: "a"}, {ID: "b"}, {ID: "c"}}, func(id string, p *fakeProcess) error {
		p.inspect, p.before = takes(2000, 1), wait(id)
		p.forward = func(context.Context, *fakeProcess, sdk.ForwardRequest) error { <-gates[id]; return nil }
		p.word = func(*fakeProcess, string) { <-gates[id] }
		p.order = c.hear(id)
		if id != "c" {
			p.able = []sdk.Capability{sdk.CapabilityCores}
		}
		return nil
	}, func(w *town) {
		heard := func(what, want string) {
			t.Helper()
			synctest.Wait()
			c.mu.Lock()
			defer c.mu.Unlock()
			slices.Sort(c.list)
			if got := strings.Join(c.list, ", "); got != want {
				t.Errorf("%s: told %q, want %q", what, got, want)
			}
			c.list = nil
		}
		var under sync.WaitGroup
		begin := func(id string, call func(ctx context.Context) error) {
			gates[id] = make(chan struct{})
			under.Go(func() {
				if err := call(context.Background()); err != nil {
					t.Errorf("%s: %v", id, err)
				}
			})
			synctest.Wait()
		}
		generate := func(id string) func(context.Context) error {
			return func(ctx context.Context) error {
				return w.Generate(ctx, id, sdk.GenerateRequest{Tokens: []int32{1}, MaxTokens: 1}, func(sdk.Event) error { return nil })
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		c.list = nil // of the three that loaded at the same time
		for _, id := range []string{"a", "b"} {
			if n := w.status(id).Cores; n != 4 {
				t.Errorf("nobody works, and %s has %d cores", id, n)
			}
		}
		begin("a", generate("a"))
		heard("a works", "b 1")
		begin("b", generate("b"))
		heard("b, too", "a 2, b 2")
		if a, c := w.status("a").Cores, w.status("c").Cores; a != 2 || c != 0 {
			t.Errorf("a has %d cores, and of c %d are known", a, c)
		}
		close(gates["b"])
		time.Sleep(400 * time.Millisecond)
		begin("b", generate("b"))
		heard("a short gap", "")
		close(gates["b"])
		time.Sleep(time.Second)
		heard("b has nothing to do", "a 4, b 1")
		begin("c", generate("c"))
		heard("c, which is not told", "a 2")
		close(gates["c"])
		time.Sleep(time.Second)
		heard("c has nothing to do", "a 4")
		begin("b", func(ctx context.Context) error {
			_, err := w.Tokenize(ctx, "b", "a question that computes nothing")
			return err
		})
		heard("b tokenizes", "")
		close(gates["b"])
		synctest.Wait()
		begin("b", func(ctx context.Context) error {
			s, err := w.OpenSequence(ctx, "b")
			if err == nil {
				_, err = w.Forward(ctx, s.ID, []int32{1}, nil)
			}
			return err
		})
		heard("a sequence of b is computed", "a 2, b 2")
		w.newest("a").die(9)
		heard("a's next process", "a 2") // b got all for a moment, or was not told in time
		close(gates["a"])
		close(gates["b"])
		under.Wait()
		if log := w.log.String(); !strings.Contains(log, `msg="cores of the model" model=a cores=2 of=4 before=4 why="it works at the same time as b"`) {
			t.Errorf("the log does not say who got what and why:\n%s", log)
		}
	})
}
