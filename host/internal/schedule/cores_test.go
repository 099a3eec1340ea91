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

	"pgregory.net/rapid"

	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/sdk"
)

// divisions are told as models in the order of their processes: its name, "+" if it works, "~" and the milliseconds since it did, "^" and its
// priority if that is not 0, "/" and its threads if its entry has some.
var divisions = []struct {
	cores  int
	models string
	want   string
	again  time.Duration
}{
	{2, "", "", 0},
	{2, "a+", "a 2", 0},
	{2, "a", "a 2", 0},
	{2, "a b", "a 2, b 2", 0},
	{2, "a+ b", "a 2, b 1", 0},
	{2, "a+ b+", "a 1, b 1", 0},
	{2, "a+ b+ c+", "a 1, b 1, c 1", 0},
	{1, "a+ b+ c", "a 1, b 1, c 1", 0},
	{0, "a+ b", "a 1, b 1", 0}, // a machine that tells nothing
	{16, "a+ b+ c+", "a 6, b 5, c 5", 0},
	{16, "c a+ b+", "c 1, a 8, b 8", 0},

	// The threads of an entry are the most it gets; what it leaves goes to the others.
	{16, "a+/4 b+", "a 4, b 12", 0},
	{16, "a+/4 b+/2 c", "a 4, b 2, c 10", 0},
	{16, "a+/4 b", "a 4, b 12", 0},
	{16, "a+/64 b/3", "a 16, b 1", 0},
	{16, "a/4 b", "a 4, b 16", 0},

	// The higher priority first, as where memory is divided; the lower advances.
	{16, "a+ b+^5", "a 1, b 16", 0},
	{16, "a+ b+^5/10 c+", "a 3, b 10, c 3", 0},
	{16, "a+^-1 b+ c+^7/4 d", "a 1, b 12, c 4, d 1", 0},
	{16, "a^9 b+", "a 1, b 16", 0},

	// A gap between two requests changes nothing; a longer one does, also without anything that happens.
	{2, "a+ b~0", "a 1, b 1", 500 * time.Millisecond},
	{2, "a+ b~499", "a 1, b 1", time.Millisecond},
	{2, "a+ b~500", "a 2, b 1", 0},
	{2, "a~100 b~300 c", "a 1, b 1, c 1", 200 * time.Millisecond},
	{2, "a~100", "a 2", 400 * time.Millisecond},
}

func TestCoresAreDivided(t *testing.T) {
	for _, d := range divisions {
		var users []coreUser
		for _, text := range strings.Fields(d.models) {
			users = append(users, readUser(t, text))
		}
		shares, again := divideCores(d.cores, users)
		var got []string
		for i, s := range shares {
			got = append(got, fmt.Sprint(users[i].ID, " ", s.Cores))
		}
		if text := strings.Join(got, ", "); text != d.want || again != d.again {
			t.Errorf("%d cores, %s: %s, again after %v; want %s and %v", d.cores, d.models, text, again, d.want, d.again)
		}
	}
}

func readUser(t *testing.T, text string) coreUser {
	t.Helper()
	u := coreUser{ID: text[:1], Idle: forever}
	for rest := text[1:]; rest != ""; {
		mark, number := rest[0], 0
		rest = rest[1:]
		if mark != '+' {
			if _, err := fmt.Sscanf(rest, "%d", &number); err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			rest = strings.TrimPrefix(rest, fmt.Sprint(number))
		}
		switch mark {
		case '+':
			u.Busy, u.Idle = true, 0
		case '~':
			u.Idle = time.Duration(number) * time.Millisecond
		case '^':
			u.Priority = number
		case '/':
			u.Threads = number
		}
	}
	return u
}

func TestADivisionSaysWhy(t *testing.T) {
	users := []coreUser{{ID: "a", Busy: true}, {ID: "b", Busy: true, Threads: 1}, {ID: "c", Idle: forever}}
	shares, _ := divideCores(8, users)
	for i, want := range []string{
		"it works at the same time as b", "it works at the same time as a, and its entry has so many threads", "it has nothing to do while there is work for a, b",
	} {
		if shares[i].Why != want {
			t.Errorf("%s has %d: %q, want %q", users[i].ID, shares[i].Cores, shares[i].Why, want)
		}
	}
	if shares, _ = divideCores(8, users[:1]); shares[0].Why != "it works alone" {
		t.Errorf("alone: %q", shares[0].Why)
	}
	if shares, _ = divideCores(8, users[2:]); shares[0].Why != "nobody works" {
		t.Errorf("idle: %q", shares[0].Why)
	}
}

// Whatever there is: each has a core and none more than it can use; those that work are promised no core twice, unless there is not one for
// each; no core lies idle that somebody who works could use; and equals are treated alike.
func TestDivisionsOfAnyKind(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cores := rapid.IntRange(1, 40).Draw(t, "cores")
		users := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) coreUser {
			return coreUser{Threads: rapid.IntRange(0, 12).Draw(t, "threads"), Priority: rapid.IntRange(0, 2).Draw(t, "priority"),
				Busy: rapid.Bool().Draw(t, "busy"), Idle: time.Duration(rapid.IntRange(0, 1000).Draw(t, "idle")) * time.Millisecond}
		}), 0, 12).Draw(t, "users")
		shares, _ := divideCores(cores, users)
		sum, working, wanting := 0, 0, false
		for i, s := range shares {
			if s.Cores < 1 || s.Cores > most(users[i], cores) {
				t.Fatalf("%d of %d: %+v", s.Cores, cores, users[i])
			}
			if !s.Works {
				continue
			}
			sum, working, wanting = sum+s.Cores, working+1, wanting || s.Cores < most(users[i], cores)
			for j, o := range shares {
				if o.Works && users[j].Priority == users[i].Priority && o.Cores > s.Cores+1 && s.Cores < most(users[i], cores) {
					t.Fatalf("equals have %d and %d of %d", s.Cores, o.Cores, cores)
				}
				if o.Works && users[j].Priority > users[i].Priority && s.Cores > 1 && o.Cores < most(users[j], cores) {
					t.Fatalf("the lower priority has %d, the higher %d of %d", s.Cores, o.Cores, cores)
				}
			}
		}
		if lacking := sum - cores; lacking > max(0, working-1) {
			t.Fatalf("%d cores are given to %d, of %d", sum, working, cores)
		}
		if wanting && sum < cores {
			t.Fatalf("%d of %d cores lie idle though one that works could use them", cores-sum, cores)
		}
	})
}

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
