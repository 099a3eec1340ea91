//go:build cuda && cgo

package gpu

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/kernels/sim"
)

// Whoever waits for a device behind something that does not end, whatever for, is told that it is lost, and nobody waits for it any more.
func TestNothingWaitsForEver(t *testing.T) {
	pieces := func(t *testing.T, d *Device) cuda.Matrix { // more than a filler's pieces
		m, err := cuda.MatrixOf(newBoard(t, d).shaped(cuda.F32, 2*len(filler{}.ring), fillBytes/4))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for name, c := range map[string]struct {
		fails string
		wait  func(t *testing.T, d *Device, q *Queue) func() error
	}{
		"a write": {"fail copy hang=1", func(t *testing.T, d *Device, _ *Queue) func() error {
			x := newBoard(t, d).tensor(8)
			return func() error { return d.write(x.Pointer(), make([]byte, 32)) }
		}},
		"weights": {"fail copy hang=1", func(t *testing.T, d *Device, q *Queue) func() error {
			to := pieces(t, d)
			memory, err := cuda.HostTensor(make([]byte, to.Bytes()), cuda.F32, to.Rows, to.Cols)
			if err != nil {
				t.Fatal(err)
			}
			from, err := cuda.MatrixOf(memory)
			if err != nil {
				t.Fatal(err)
			}
			return func() error { q.Fill(to, from); return q.err }
		}},
		"memory of an older driver": {"fail kernel hang=1", func(t *testing.T, d *Device, q *Queue) func() error {
			d.info.Pools = false
			mem, err := d.Alloc(64, cuda.ForScratch)
			if err != nil {
				t.Fatal(err)
			}
			x := newBoard(t, d).tensor(8)
			return func() error {
				q.Run(add(x, x, x))
				q.Mark().Happened() // it is sent
				return d.give(mem.Pointer())
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if !sim.Apart(t) {
				return
			}
			s := software(t)
			d, err := Open(Options{Patience: 24 * time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			q := d.NewQueue().(*Queue)
			wait := c.wait(t, d, q)
			d.patience = 200 * time.Millisecond // only now: a slow machine is not a lost device
			s.Control(c.fails)
			var lost *cuda.LostError
			if err := wait(); !errors.As(err, &lost) || lost.Device != "gpu.0" {
				t.Fatalf("error %v", err)
			}
			d.patience = 24 * time.Hour // which nobody waits for
			if _, err := d.Alloc(64, cuda.ForScratch); !errors.As(err, &lost) {
				t.Errorf("memory: %v", err)
			}
			q.Close()
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A GPU that waits for another's is not the one that is lost.
func TestTheGPUIsBlamedThatHangs(t *testing.T) {
	if !sim.Apart(t) {
		return
	}
	s := software(t)
	var boards [2]*board
	for i := range boards {
		d, err := Open(Options{Ordinal: i, Patience: 24 * time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		boards[i] = &board{t, d, d.NewQueue().(*Queue)}
	}
	a, b := boards[0], boards[1]
	x, y := a.tensor(8), b.tensor(8)
	for _, b := range boards {
		b.d.patience = 200 * time.Millisecond
	}
	s.Control("fail kernel device=0 hang=1")
	a.q.Run(add(x, x, x))
	if !b.q.CopyFrom(y, x, a.q) {
		t.Fatal("the software driver lets its devices read each other")
	}
	b.q.Run(add(y, y, y))
	for _, q := range []*Queue{b.q, a.q} {
		var lost *cuda.LostError
		if err := q.Sync(); !errors.As(err, &lost) || lost.Device != "gpu.0" {
			t.Errorf("error %v, of %s", err, q.dev.name)
		}
	}
}

// What memory is free is asked while nothing runs: the question finds a GPU lost that failed meanwhile, and nobody waits for it any more.
func TestALookFindsThatAGPUIsLost(t *testing.T) {
	if !sim.Apart(t) {
		return
	}
	s := software(t)
	d, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if free, total, err := d.Available(); err != nil || free <= 0 || total < free {
		t.Fatalf("%d of %d bytes, %v", free, total, err)
	}
	s.Control("fail look error=999")
	var lost *cuda.LostError
	for range 2 {
		if _, _, err := d.Available(); !errors.As(err, &lost) || lost.Device != "gpu.0" {
			t.Errorf("error %v", err)
		}
	}
	if _, err := d.Alloc(64, cuda.ForScratch); !errors.As(err, &lost) {
		t.Errorf("memory: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// How long a GPU is waited for can be said in the environment, and what is no duration is told.
func TestPatience(t *testing.T) {
	for text, want := range map[string]time.Duration{"": Patience, "90s": 90 * time.Second, "soon": 0, "0s": 0, "-1s": 0} {
		t.Setenv(EnvPatience, text)
		got, err := patience(Options{})
		if got != want || (want == 0) != (err != nil && strings.Contains(err.Error(), EnvPatience)) {
			t.Errorf("%q: %v, error %v", text, got, err)
		}
	}
	if got, err := patience(Options{Patience: time.Second}); got != time.Second || err != nil {
		t.Errorf("%v, error %v", got, err)
	}
}
