//go:build cuda && cgo

package gpu

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/gpu/driver"
	"github.com/inference-pio/inference-pio/cuda/kernels/sim"
)

// The devices are the software driver's: two of one size and a small one.
func TestMain(m *testing.M) {
	os.Setenv("PIO_SIM_DEVICES", "256MiB 256MiB:2GB:800GB 24MiB")
	os.Exit(m.Run())
}

// paces are when the software driver does what it is asked: when somebody waits, in a random order, or at once beside the host.
var paces = []string{"time late; copies late", "time random; copies mixed; order 7", "time threads; copies early"}

func atEveryPace(t *testing.T, f func(t *testing.T, d *sim.Driver)) {
	d := software(t)
	for _, pace := range paces {
		t.Run(pace, func(t *testing.T) {
			d.Control(pace)
			f(t, d)
		})
	}
	d.Control(paces[0])
}

// software is the software driver, which the package's own calls use as well.
func software(t testing.TB) *sim.Driver {
	t.Helper()
	path := sim.Library(t, sim.Options{})
	if err := os.Setenv(driver.EnvLibrary, path); err != nil {
		t.Fatal(err)
	}
	d, err := sim.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func open(t *testing.T, o Options) *Device {
	t.Helper()
	d, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if used := d.Usage().Used; used != 0 {
			t.Errorf("%d bytes of %s were not given back", used, d.Name())
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// board is a device with a queue and tensors that go with the test.
type board struct {
	t *testing.T
	d *Device
	q *Queue
}

func newBoard(t *testing.T, d *Device) *board {
	t.Helper()
	b := &board{t, d, d.NewQueue().(*Queue)}
	t.Cleanup(func() {
		if err := b.q.Sync(); err != nil {
			t.Error(err)
		}
		b.q.Close()
	})
	return b
}

func (b *board) tensor(n int) cuda.Tensor {
	b.t.Helper()
	mem, err := b.d.Alloc(int64(4*n), cuda.ForScratch)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { b.d.Free(mem) })
	x, err := cuda.DeviceTensor(b.d, mem, 0, cuda.F32, n)
	if err != nil {
		b.t.Fatal(err)
	}
	return x
}

func host(t *testing.T, data []float32) cuda.Tensor {
	t.Helper()
	x, err := cuda.FromF32(data)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func (b *board) sync() {
	b.t.Helper()
	if err := b.q.Sync(); err != nil {
		b.t.Fatal(err)
	}
}

func random(r *rand.Rand, n int) []float32 {
	list := make([]float32, n)
	for i := range list {
		list[i] = r.Float32()
	}
	return list
}

func add(y, a, b cuda.Tensor) *cuda.Op { return cuda.NewOp(cuda.OpAdd).Gives(y).Takes(a, b) }

// Copies come back as they went, in one piece or in several: pinned memory is smaller than some of them.
func TestCopies(t *testing.T) {
	atEveryPace(t, func(t *testing.T, _ *sim.Driver) {
		d, r := open(t, Options{}), rand.New(rand.NewPCG(1, 2))
		for _, n := range []int{0, 1, 15, 1 << 10, readLeast / 4, readLeast/4 + 1, 40<<10 + 3, readMost / 4, readMost/4 + 1, stagingBytes/4 - 1, stagingBytes/4 + 5, stagingBytes/2 + 77} {
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				b := newBoard(t, d)
				x, data := b.tensor(n), random(r, n)
				b.q.CopyIn(x, host(t, data))
				want := slices.Clone(data)
				clear(data) // it was read
				got := make([]float32, n)
				b.q.CopyOut(host(t, got), x)
				b.sync()
				if !slices.Equal(got, want) {
					t.Errorf("%d numbers did not come back", n)
				}
			})
		}
	})
}

// A step that comes again is launched as one graph from the third time on, with what it is given anew each time, and is waited for once.
func TestWhatComesAgainIsAGraph(t *testing.T) {
	atEveryPace(t, func(t *testing.T, s *sim.Driver) {
		d, r := open(t, Options{}), rand.New(rand.NewPCG(3, 4))
		b := newBoard(t, d)
		const n, ops = 1000, 20
		x, y, data, got := b.tensor(n), b.tensor(n), make([]float32, n), make([]float32, n)
		before := s.Counts()
		for round := range 6 {
			copy(data, random(r, n))
			b.q.CopyIn(x, host(t, data))
			b.q.Run(add(y, x, x))
			for range ops {
				b.q.Run(add(y, y, x))
			}
			b.q.CopyOut(host(t, got), y)
			b.sync()
			for i := range got {
				want := data[i] + data[i]
				for range ops {
					want += data[i]
				}
				if got[i] != want {
					t.Fatalf("round %d: element %d is %v, not %v", round, i, got[i], want)
				}
			}
		}
		now := s.Counts()
		if graphs, captures := now.Graphs-before.Graphs, now.Captures-before.Captures; graphs != 5 || captures != 1 {
			t.Errorf("%d launches of graphs and %d captures in 6 equal rounds, not 5 and 1", graphs, captures)
		}
		if waits := now.Waits - before.Waits; waits > 6+4 { // taking memory waits as well
			t.Errorf("6 rounds waited %d times", waits)
		}
	})
}

// Lists of the same kernels on other tensors are other lists.
func TestGraphsAreToldApart(t *testing.T) {
	software(t)
	d := open(t, Options{})
	b := newBoard(t, d)
	const n = 8
	var x, y [2]cuda.Tensor
	for i := range x {
		x[i], y[i] = b.tensor(n), b.tensor(n)
		b.q.CopyIn(x[i], host(t, slices.Repeat([]float32{float32(1 + i)}, n)))
	}
	b.sync()
	got := make([]float32, n)
	for range 4 {
		for i := range x {
			for range 20 {
				b.q.Run(add(y[i], x[i], x[i]))
			}
			b.q.CopyOut(host(t, got), y[i])
			b.sync()
			if want := float32(2 * (1 + i)); got[0] != want || got[n-1] != want {
				t.Fatalf("%v and %v, not %v", got[0], got[n-1], want)
			}
		}
	}
}

// A list that was cut by a wait in its middle is none that comes again.
func TestWhatWasSentInPartsIsNoGraph(t *testing.T) {
	s, d := software(t), open(t, Options{})
	b, other := newBoard(t, d), newBoard(t, d)
	x, y := b.tensor(100), b.tensor(100)
	before := s.Counts()
	for range 4 {
		other.q.Run(add(x, x, x))
		for i := range 40 {
			b.q.Run(add(y, y, y))
			if i == 20 {
				b.q.Wait(other.q.Mark())
			}
		}
		b.sync()
	}
	if graphs := s.Counts().Graphs - before.Graphs; graphs != 0 {
		t.Errorf("%d graphs of lists with a wait", graphs)
	}
}

// What one queue makes another may use once it has waited; the software driver accuses those who do not.
func TestQueuesWaitForEachOther(t *testing.T) {
	atEveryPace(t, func(t *testing.T, _ *sim.Driver) {
		d := open(t, Options{})
		a, b := newBoard(t, d), newBoard(t, d)
		x, y, z := a.tensor(512), a.tensor(512), a.tensor(512)
		ones := slices.Repeat([]float32{1}, 512)
		got := make([]float32, 512)
		for range 5 {
			a.q.CopyIn(x, host(t, ones))
			a.q.Run(add(y, x, x))
			b.q.Wait(a.q.Mark())
			b.q.Run(add(z, y, y))
			a.q.Wait(b.q.Mark())
			a.q.Run(add(z, z, x))
			a.q.CopyOut(host(t, got), z)
			a.sync()
			b.sync()
			if got[0] != 5 || got[511] != 5 {
				t.Fatalf("%v and %v, not 5", got[0], got[511])
			}
		}
	})
}

// A copy to the host has arrived when its event has happened, whoever waits for it.
func TestACopyHasArrivedWithItsEvent(t *testing.T) {
	atEveryPace(t, func(t *testing.T, _ *sim.Driver) {
		d := open(t, Options{})
		a, b := newBoard(t, d), newBoard(t, d)
		x, y := a.tensor(64), b.tensor(64)
		between, got := make([]float32, 64), make([]float32, 64)
		a.q.CopyIn(x, host(t, slices.Repeat([]float32{3}, 64)))
		a.q.CopyOut(host(t, between), x)
		b.q.Wait(a.q.Mark())
		b.q.CopyIn(y, host(t, between)) // reads it now
		b.q.CopyOut(host(t, got), y)
		e := b.q.Mark()
		for i := 0; !e.Happened(); i++ {
			if i > 1000 {
				if err := e.Wait(); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(10 * time.Microsecond)
		}
		if got[0] != 3 || got[63] != 3 {
			t.Errorf("%v and %v, not 3", got[0], got[63])
		}
	})
}

// Memory that a queue frees goes when what was before it has run. Who needs it waits for that, within the budget at every instant.
func TestWhatIsToBeFreedIsWaitedFor(t *testing.T) {
	atEveryPace(t, func(t *testing.T, _ *sim.Driver) {
		d := open(t, Options{Budget: 1 << 20})
		b := newBoard(t, d)
		for range 20 {
			mem, err := d.Alloc(700<<10, cuda.ForWeights)
			if err != nil {
				t.Fatal(err)
			}
			x, err := cuda.DeviceTensor(d, mem, 0, cuda.F32, 1000)
			if err != nil {
				t.Fatal(err)
			}
			b.q.Run(add(x, x, x))
			b.q.Free(mem)
			if u := d.Usage(); u.Used > u.Budget {
				t.Fatalf("%d bytes of %d are used", u.Used, u.Budget)
			}
		}
		b.sync()
		var over *cuda.BudgetError
		if _, err := d.Alloc(2<<20, cuda.ForWeights); !errors.As(err, &over) {
			t.Errorf("more than the budget: %v", err)
		}
	})
}

// A GPU that is full for another reason than the budget says so alike.
func TestAFullGPU(t *testing.T) {
	software(t)
	d := open(t, Options{Ordinal: 2})
	var over *cuda.BudgetError
	if _, err := d.Alloc(200<<20, cuda.ForWeights); !errors.As(err, &over) || !strings.Contains(err.Error(), "gpu.2, which is full") {
		t.Errorf("error %v", err)
	}
	if u := d.Usage(); u.Used != 0 {
		t.Errorf("%d bytes are counted of memory that nobody has", u.Used)
	}
}

// Operands of another device are refused before anything runs.
func TestForeignOperandsAreRefused(t *testing.T) {
	software(t)
	d, e := open(t, Options{}), open(t, Options{Ordinal: 1})
	b, other := newBoard(t, d), newBoard(t, e)
	x, far := b.tensor(8), other.tensor(8)
	for _, op := range []*cuda.Op{add(x, x, far), add(far, x, x), add(x, host(t, make([]float32, 8)), x)} {
		b.q.Run(op)
		if err := b.q.Sync(); err == nil || !strings.Contains(err.Error(), "lies in the memory of another device") {
			t.Errorf("error %v", err)
		}
	}
	b.q.CopyIn(far, x)
	if err := b.q.Sync(); err == nil || !strings.Contains(err.Error(), "is not one between this device and the cpu") {
		t.Errorf("error %v", err)
	}
}

// Between GPUs activations go directly, each queue after the other.
func TestNeighbours(t *testing.T) {
	atEveryPace(t, func(t *testing.T, s *sim.Driver) {
		d, e := open(t, Options{}), open(t, Options{Ordinal: 1})
		a, b := newBoard(t, d), newBoard(t, e)
		x, y := a.tensor(300), b.tensor(300)
		got := make([]float32, 300)
		before := s.Counts()
		for i := range 4 {
			a.q.CopyIn(x, host(t, slices.Repeat([]float32{float32(i)}, 300)))
			a.q.Run(add(x, x, x))
			if !b.q.CopyFrom(y, x, a.q) {
				t.Fatal("they are no neighbours")
			}
			b.q.Run(add(y, y, y))
		}
		b.q.CopyOut(host(t, got), y)
		b.sync()
		a.sync()
		if got[0] != 12 || got[299] != 12 {
			t.Errorf("%v and %v, not 12", got[0], got[299])
		}
		if out := s.Counts().CopiesOut - before.CopiesOut; out != 1 {
			t.Errorf("%d copies to the host, not the last alone", out)
		}
	})
}

// A device is its own neighbour, whose bytes need no way through the host.
func TestOwnNeighbour(t *testing.T) {
	atEveryPace(t, func(t *testing.T, s *sim.Driver) {
		b := newBoard(t, open(t, Options{}))
		x, y := b.tensor(300), b.tensor(300)
		got := make([]float32, 300)
		b.q.CopyIn(x, host(t, slices.Repeat([]float32{3}, 300)))
		b.q.Run(add(x, x, x))
		if !b.q.CopyFrom(y, x, b.q) {
			t.Fatal("it is none")
		}
		b.q.Run(add(x, x, x))
		b.q.CopyOut(host(t, got), y)
		b.sync()
		if got[0] != 6 || got[299] != 6 {
			t.Errorf("%v and %v, not 6", got[0], got[299])
		}
	})
}

// A device that fails is told as lost, with its name, by whatever waits; so is one whose kernel does not end.
func TestLostDevices(t *testing.T) {
	for name, fails := range map[string]string{"a kernel's address": "fail kernel error=700", "the bus": "fail copy error=999", "no end": "fail kernel hang=1"} {
		t.Run(name, func(t *testing.T) {
			if !sim.Apart(t) { // the context is of no use to any other test afterwards
				return
			}
			s := software(t)
			d, err := Open(Options{Patience: 200 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			q := d.NewQueue().(*Queue)
			b := &board{t, d, q}
			x := b.tensor(8)
			s.Control(fails)
			q.CopyIn(x, host(t, make([]float32, 8)))
			q.Run(add(x, x, x))
			err = q.Sync()
			var lost *cuda.LostError
			if !errors.As(err, &lost) || lost.Device != "gpu.0" {
				t.Errorf("error %v", err)
			}
			q.Run(add(x, x, x))
			if err := q.Sync(); !errors.As(err, &lost) {
				t.Errorf("afterwards: %v", err)
			}
			t.Log(err)
		})
	}
}
