package plan

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/inference-pio/inference-pio/sdk"
)

// coreDivisions are told as models in the order of their processes: its name, "+" if it works, "~" and the milliseconds since it did, "^" and its
// priority if that is not 0, "/" and its threads if its entry has some.
var coreDivisions = []struct {
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
	for _, d := range coreDivisions {
		var users []Worker
		for _, text := range strings.Fields(d.models) {
			users = append(users, readWorker(t, text))
		}
		shares, again := DivideCores(d.cores, users, 500*time.Millisecond)
		var got []string
		for i, s := range shares {
			got = append(got, fmt.Sprint(users[i].Name, " ", s.Cores))
		}
		if text := strings.Join(got, ", "); text != d.want || again != d.again {
			t.Errorf("%d cores, %s: %s, again after %v; want %s and %v", d.cores, d.models, text, again, d.want, d.again)
		}
	}
}

func readWorker(t *testing.T, text string) Worker {
	t.Helper()
	u := Worker{Name: text[:1], Idle: Never}
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
	users := []Worker{{Name: "a", Busy: true}, {Name: "b", Busy: true, Threads: 1}, {Name: "c", Idle: Never}}
	shares, _ := DivideCores(8, users, 500*time.Millisecond)
	for i, want := range []string{
		"it works at the same time as b", "it works at the same time as a, and its entry has so many threads", "it has nothing to do while there is work for a, b",
	} {
		if shares[i].Why != want {
			t.Errorf("%s has %d: %q, want %q", users[i].Name, shares[i].Cores, shares[i].Why, want)
		}
	}
	if shares, _ = DivideCores(8, users[:1], 500*time.Millisecond); shares[0].Why != "it works alone" {
		t.Errorf("alone: %q", shares[0].Why)
	}
	if shares, _ = DivideCores(8, users[2:], 500*time.Millisecond); shares[0].Why != "nobody works" {
		t.Errorf("idle: %q", shares[0].Why)
	}
}

// Whatever there is: each has a core and none more than it can use; those that work are promised no core twice, unless there is not one for
// each; no core lies idle that somebody who works could use; and equals are treated alike.
func TestCoresOfAnyKind(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cores := rapid.IntRange(1, 40).Draw(t, "cores")
		users := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Worker {
			return Worker{Threads: rapid.IntRange(0, 12).Draw(t, "threads"), Priority: rapid.IntRange(0, 2).Draw(t, "priority"),
				Busy: rapid.Bool().Draw(t, "busy"), Idle: time.Duration(rapid.IntRange(0, 1000).Draw(t, "idle")) * time.Millisecond}
		}), 0, 12).Draw(t, "users")
		shares, _ := DivideCores(cores, users, 500*time.Millisecond)
		sum, working, wanting := 0, 0, false
		for i, s := range shares {
			if s.Cores < 1 || s.Cores > users[i].Most(cores) {
				t.Fatalf("%d of %d: %+v", s.Cores, cores, users[i])
			}
			if !s.Works {
				continue
			}
			sum, working, wanting = sum+s.Cores, working+1, wanting || s.Cores < users[i].Most(cores)
			for j, o := range shares {
				if o.Works && users[j].Priority == users[i].Priority && o.Cores > s.Cores+1 && s.Cores < users[i].Most(cores) {
					t.Fatalf("equals have %d and %d of %d", s.Cores, o.Cores, cores)
				}
				if o.Works && users[j].Priority > users[i].Priority && s.Cores > 1 && o.Cores < users[j].Most(cores) {
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

// On a part of the cores the CPU gives a part of what it gave, whether that was measured or is guessed, and everything else is as it was.
func TestAPartOfTheCores(t *testing.T) {
	layer := sdk.Module{ID: "layers.0", WeightBytes: 8e9, ActiveBytesToken: 8e9, FLOPsToken: 1e9, Ops: 100}
	in := Input{Modules: []sdk.Module{layer}, Devices: []Device{{Name: "cpu", ReadRate: 40e9, FLOPS: 1e12, OpSeconds: 1e-5}, {Name: "gpu.0", Bytes: 1 << 34, ReadRate: 400e9}}}
	there, here := Plan{Placements: []sdk.Placement{{Module: "layers.0", Device: "gpu.0"}}, Caches: make([]Cache, 2)}, Plan{Placements: []sdk.Placement{{Module: "layers.0", Device: "cpu"}}, Caches: make([]Cache, 2)}
	for _, c := range []struct {
		has, of int
		part    float64
	}{{4, 16, 0.25}, {8, 16, 0.5}, {16, 16, 1}, {20, 16, 1}, {0, 16, 1}} {
		some := OnCores(in, c.has, c.of)
		const ops = 100 * 1e-5
		if got, want := Time(some, here, 1, 0), 0.2/c.part+ops; math.Abs(got-want) > 1e-9 {
			t.Errorf("on %d of %d cores a token takes %g s, not %g", c.has, c.of, got, want)
		}
		if got, want := Time(some, here, 1000, 0), 1/c.part+ops; math.Abs(got-want) > 1e-9 {
			t.Errorf("on %d of %d cores 1,000 rows take %g s, not %g", c.has, c.of, got, want)
		}
		if got, want := Time(some, there, 1, 0), Time(in, there, 1, 0); got != want {
			t.Errorf("on %d of %d cores what a GPU computes takes %g s, not %g", c.has, c.of, got, want)
		}
	}
	if in.Devices[0].ReadRate != 40e9 || in.Devices[0].FLOPS != 1e12 {
		t.Error("the input has changed")
	}
	guessed := Input{Modules: in.Modules, Devices: []Device{{Name: "cpu"}, {Name: "gpu.0", Bytes: 1 << 34}}}
	some := OnCores(guessed, 1, 2)
	if got, want := Time(some, here, 1, 0), 2*Time(guessed, here, 1, 0); math.Abs(got-want) > 1e-9 {
		t.Errorf("of a CPU that was not measured half takes %g s, not %g", got, want)
	}
	if got, want := Time(some, there, 1, 0), Time(guessed, there, 1, 0); math.Abs(got-want) > 1e-9 {
		t.Errorf("a GPU that was not measured takes %g s beside it, not %g", got, want)
	}
}
