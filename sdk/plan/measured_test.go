package plan

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"

	"github.com/inference-pio/inference-pio/sdk"
)

// world is a machine on which devices take other times than their rates say, and a model on it whose plan follows what is measured.
type world struct {
	told, real Input
	known      Measured
	plan       Plan
	changes    int
	cpu, all   float64 // seconds of a pass through the plan as the world is; 0: not counted yet
}

// newWorld follows the plan that rates alone make.
func newWorld(told, real Input) (*world, error) {
	p, err := Make(told)
	return &world{told: told, real: real, plan: p}, err
}

// parts are the seconds of a pass through where everything lies, of the CPU and of all, as the world really is.
func (w *world) parts() (cpu, all float64) {
	if w.all == 0 {
		w.cpu, w.all = new(Measured).expected(w.real, w.pass(0, 0)).cpu, Time(w.real, w.plan, 1, w.real.Depth)
	}
	return w.cpu, w.all
}

// pass is one that takes so long.
func (w *world) pass(cpu, seconds float64) Pass {
	pass := Pass{Rows: 1, Depth: w.told.Depth, Placements: w.plan.Placements, Held: make([]int, len(w.told.Devices)), CPU: cpu, Seconds: seconds}
	p := timed(w.real, w.plan, 1, w.real.Depth)
	for d, c := range p.caches {
		pass.Held[d] = c.Experts
		if c.Of > 0 {
			pass.Hits, pass.Again = c.Hits, math.Pow(p.once(d), w.real.Skew)
		}
	}
	for _, where := range w.plan.Placements {
		pass.Copied = pass.Copied || where.Streamed
	}
	return pass
}

// live has a pass measured, as long as it really takes times a factor that comes from elsewhere, and says whether layers moved.
func (w *world) live(disturbed float64) bool {
	cpu, all := w.parts()
	w.known.Passed(w.told, w.pass(cpu*disturbed, all*disturbed))
	if !w.known.Due() {
		return false
	}
	in := w.known.Correct(w.told)
	made, err := Make(in)
	if err != nil || !w.known.Leave(Time(in, w.plan, 1, in.Depth), Time(in, made, 1, in.Depth)) {
		return false
	}
	w.plan, w.cpu, w.all = made, 0, 0
	w.changes++
	return true
}

// Each file is a machine as it says that it is, `real` lines that say what is otherwise, and passes.
//
//	really cpu slower=8
//	passes 40
func TestWhatPassesTake(t *testing.T) {
	datadriven.Walk(t, "testdata/measured", func(t *testing.T, file string) {
		var w *world
		datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
			var b strings.Builder
			switch d.Cmd {
			case "machine":
				told, really, _ := strings.Cut(d.Input, "really\n")
				in, err := parse(told)
				if err != nil {
					d.Fatalf(t, "%v", err)
				}
				real, err := parse(really)
				if err != nil {
					d.Fatalf(t, "%v", err)
				}
				real.Modules, real.Rows, real.Positions, real.Sequences, real.Depth = in.Modules, in.Rows, in.Positions, in.Sequences, in.Depth
				if w, err = newWorld(in, real); err != nil {
					d.Fatalf(t, "%v", err)
				}
			case "passes":
				var n int
				d.ScanArgs(t, "n", &n)
				for i := range n {
					if w.live(1) {
						fmt.Fprintf(&b, "pass %d: layers move\n", i+1)
					}
				}
			default:
				d.Fatalf(t, "unknown command %q", d.Cmd)
			}
			for _, line := range w.plan.Why {
				fmt.Fprintln(&b, line)
			}
			_, all := w.parts()
			in := w.known.Correct(w.told)
			fmt.Fprintf(&b, "%s a token, expected %s; the cpu takes %.2f times as long as told, the others %.2f\n", duration(all), duration(Time(in, w.plan, 1, in.Depth)),
				w.known.Slower(0), w.known.Slower(1))
			return b.String()
		})
	})
}

// Whatever devices really take, what is expected comes near it, and the plan near the best one; it is changed a few times and never again.
func TestExpectationsComeNearWhatPassesTake(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		told := drawInput(t)
		told.Devices[0].Bytes = 0
		if slices.ContainsFunc(homes(told.Modules), func(home int) bool { return home >= 0 }) {
			told.Devices = told.Devices[:min(len(told.Devices), 2)] // of several, nobody tells which had an expert
		}
		real := told
		real.Devices = append([]Device(nil), told.Devices...)
		cpu, others := rapid.Float64Range(0.2, 20).Draw(t, "cpu slower"), rapid.Float64Range(0.2, 20).Draw(t, "others slower")
		for d := range real.Devices {
			if real.Devices[d].Slower = others; d == 0 {
				real.Devices[d].Slower = cpu
			}
		}
		w, err := newWorld(told, real)
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			w.live(1)
		}
		settled := w.changes
		for range 100 {
			w.live(1)
		}
		if w.changes != settled || settled > 4 {
			t.Errorf("a plan was changed %d times, and then %d more", settled, w.changes-settled)
		}
		on, streamed := map[string]bool{}, false
		for _, where := range w.plan.Placements {
			on[where.Device], streamed = true, streamed || where.Streamed
		}
		if e := new(Measured).expected(told, w.pass(0, 0)); e.cpu < measuredLeast*(e.cpu+e.others+e.turns) {
			return // nobody can tell what the CPU takes, where it is hardly used
		}
		_, all := w.parts()
		in := w.known.Correct(w.told)
		if off := Time(in, w.plan, 1, in.Depth)/all - 1; all > 0 && !streamed && math.Abs(off) > 0.15 {
			t.Errorf("a token takes %g s, and %.0f %% off that is expected (%v)", all, 100*off, on)
		}
	})
}

// Passes that take any time at all change a plan ever more rarely, and in the same way each time.
func TestNoiseMovesLayersEverMoreRarely(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		told := drawInput(t)
		told.Devices[0].Bytes = 0
		noise := rapid.SliceOfN(rapid.Float64Range(-5, 5), 8, 64).Draw(t, "noise")
		run := func() (w *world) {
			w, err := newWorld(told, told)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 500 {
				w.live(math.Exp2(noise[i%len(noise)]))
			}
			return w
		}
		w := run()
		if most := 1 + int(math.Log2(500./(2*measuredOver))); w.changes > most {
			t.Errorf("%d changes of plan in 500 passes; %d are the most", w.changes, most)
		}
		if !reflect.DeepEqual(w, run()) {
			t.Error("the same passes gave another plan")
		}
	})
}

// What one pass in three is held up by is not believed.
func TestAPassThatWasHeldUpSaysNothing(t *testing.T) {
	in := Input{Modules: []sdk.Module{{ID: "layers.0", WeightBytes: 1 << 20, ActiveBytesToken: 1 << 20}}, Devices: []Device{{Name: "cpu", ReadRate: 1e10}}}
	w, err := newWorld(in, in)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		w.live([]float64{1, 1, 30}[i%3])
	}
	if s := w.known.Slower(0); s != 1 {
		t.Errorf("the cpu is taken for %g times as slow as it is", s)
	}
}

// While experts come, or layers, the CPU has less of its memory. It is not taken for a slow one.
func TestACPUBesideCopiesIsNoSlowOne(t *testing.T) {
	const layer, each, needed = 8 << 20, 4 << 20, 4 // bytes, and of 32 experts
	in := Input{Skew: 0.2, Devices: []Device{{Name: "cpu", ReadRate: 80e9},
		{Name: "gpu.0", Bytes: 16*layer + 128*each, CopyRate: 26e9, ReadRate: 900e9, BesideRate: 10e9, BesideTakes: 4}}}
	for i := range 16 {
		in.Modules = append(in.Modules, sdk.Module{ID: fmt.Sprintf("layers.%d", i), WeightBytes: layer, ActiveBytesToken: layer})
		for e := range 32 {
			in.Modules = append(in.Modules, sdk.Module{ID: fmt.Sprintf("layers.%d.mlp.experts.%d", i, e), WeightBytes: each, ActiveBytesToken: each / 32 * needed})
		}
	}
	w, err := newWorld(in, in)
	if err != nil {
		t.Fatal(err)
	}
	pass := w.pass(0, 0)
	missing := (1 - pass.Hits) * 16 * needed * each
	// The link is busy half of the pass: the CPU reads half as fast as long as that, three quarters in the mean.
	pass.CPU = missing / (0.75 * 80e9)
	pass.Seconds = pass.CPU + 0.2e-3
	pass.Brought = int(math.Round(0.5 * 10e9 * pass.Seconds / each))
	for range 50 {
		w.known.Passed(in, pass)
	}
	if s := w.known.Slower(0); s != 1 {
		t.Errorf("with %d experts a pass the cpu is taken for %g times as slow as it is", pass.Brought, s)
	}
	pass.Brought, pass.Copied, pass.CPU = 0, true, 1.4*pass.CPU
	for range 50 {
		w.known.Passed(in, pass)
	}
	if s := w.known.Slower(0); s != 1 {
		t.Errorf("with layers that come the cpu is taken for %g times as slow as it is", s)
	}
	pass.Copied = false
	for range 50 {
		w.known.Passed(in, pass)
	}
	if s := w.known.Slower(0); s < 1.5 {
		t.Errorf("a cpu that is slow without anything that comes is taken for %g times as slow", s)
	}
	pass.Copied, pass.CPU = true, 5*pass.CPU
	for range 50 {
		w.known.Passed(in, pass)
	}
	if s := w.known.Slower(0); s < 5 {
		t.Errorf("a cpu that is slower than anything that comes can have it be is taken for %g times as slow", s)
	}
}
