package far_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/far"
)

func newDevice(t *testing.T, memory int64, copyRate float64) *far.Device {
	c := cpu.New(1)
	t.Cleanup(func() { c.Close() })
	return far.New("far", memory, copyRate, 5e9, c)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func tensor(t *testing.T, d *far.Device, n int) (cuda.Tensor, cuda.Memory) {
	t.Helper()
	m, err := d.Alloc(int64(4*n), cuda.ForWeights)
	must(t, err)
	x, err := cuda.DeviceTensor(d, m, 0, cuda.F32, n)
	must(t, err)
	return x, m
}

// TestBudgetHoldsAtEveryInstant: many goroutines allocate and free at random while another moves the budget up and down; none
// ever sees more used than the largest budget, and in the end all is free.
func TestBudgetHoldsAtEveryInstant(t *testing.T) {
	const small, large = 1 << 18, 1 << 19
	d := newDevice(t, large, 0)
	var wg sync.WaitGroup
	for g := range 6 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 1))
			var held []cuda.Memory
			for range 400 {
				m, err := d.Alloc(int64(rng.IntN(1<<16)), cuda.Purpose(rng.IntN(3)))
				var over *cuda.BudgetError
				switch {
				case err == nil:
					held = append(held, m)
				case !errors.As(err, &over):
					t.Error(err)
				case over.Used+over.Asked <= over.Budget:
					t.Errorf("refused although it fits: %v", over)
				}
				if u := d.Usage(); u.Used > large || u.Peak > large || u.Used != u.For[0]+u.For[1]+u.For[2] {
					t.Errorf("usage %+v", u)
				}
				if err != nil || len(held) > 8 {
					for _, m := range held {
						d.Free(m)
					}
					held = held[:0]
				}
			}
			for _, m := range held {
				d.Free(m)
			}
		})
	}
	wg.Go(func() {
		for i := range 200 {
			d.SetBudget([]int64{small, large}[i%2])
		}
	})
	wg.Wait()
	if u := d.Usage(); u.Used != 0 || u.Peak == 0 {
		t.Errorf("in the end %+v", u)
	}
}

// TestMemoryThatTheSystemDoesNotHaveIsNotCounted, though no budget refuses it.
func TestMemoryThatTheSystemDoesNotHaveIsNotCounted(t *testing.T) {
	d := newDevice(t, 0, 0)
	if _, err := d.Alloc(1<<62, cuda.ForState); err == nil {
		t.Error("2^62 bytes were given")
	}
	if u := d.Usage(); u.Used != 0 || u.For[cuda.ForState] != 0 {
		t.Errorf("usage %+v", u)
	}
}

// TestShrunkenBudgetWaitsForFrees: below what is used nothing is given, until enough has come back.
func TestShrunkenBudgetWaitsForFrees(t *testing.T) {
	d := newDevice(t, 1000, 0)
	_, a := tensor(t, d, 100)
	_, b := tensor(t, d, 100)
	d.SetBudget(500)
	if _, err := d.Alloc(4, cuda.ForState); err == nil {
		t.Error("given above the budget")
	}
	d.Free(a)
	m, err := d.Alloc(100, cuda.ForState)
	must(t, err)
	d.Free(m)
	d.Free(b)
}

// TestCopiesTakeTheirTime: the link is shared, so two copies at once take as long as one after the other. The rate is a
// lower bound on time; there is no upper one.
func TestCopiesTakeTheirTime(t *testing.T) {
	const n, rate = 50_000, 20e6 // 200 kB at 20 MB/s: 10 ms
	d := newDevice(t, 0, rate)
	x, m := tensor(t, d, n)
	y, m2 := tensor(t, d, n)
	defer d.Free(m)
	defer d.Free(m2)
	host, err := cuda.FromF32(make([]float32, n))
	must(t, err)
	start := time.Now()
	var wg sync.WaitGroup
	for _, dst := range []cuda.Tensor{x, y} {
		wg.Go(func() {
			q := d.NewQueue()
			q.CopyIn(dst, host)
			if err := q.Sync(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if took := time.Since(start); took < 20*time.Millisecond {
		t.Errorf("400 kB at 20 MB/s took %v", took)
	}
	if got := d.Traffic(); got != (far.Traffic{CopiesIn: 2, BytesIn: 8 * n}) {
		t.Errorf("traffic %+v", got)
	}
	if r := d.Rates(); r.Copy != rate || r.Read != 5e9 {
		t.Errorf("rates %+v", r)
	}
}

// TestBytesArriveAndComeBack and the memory of this process and of another device are told apart.
func TestBytesArriveAndComeBack(t *testing.T) {
	d, other := newDevice(t, 0, 0), newDevice(t, 0, 0)
	x, m := tensor(t, d, 3)
	defer d.Free(m)
	src, _ := cuda.FromF32([]float32{1, 2, 3})
	dst, _ := cuda.FromF32(make([]float32, 3))
	q := d.NewQueue()
	q.CopyIn(x, src)
	q.CopyOut(dst, x)
	must(t, q.Sync())
	if got := dst.F32(); got[0] != 1 || got[2] != 3 {
		t.Errorf("came back as %v", got)
	}
	if x.F32() != nil || x.Raw() != nil {
		t.Error("this process can read the device's memory")
	}
	foreign := other.NewQueue()
	for name, copy := range map[string]func(){
		"in, the wrong way round": func() { q.CopyIn(src, x) },
		"out of this process":     func() { q.CopyOut(dst, src) },
		"into another device":     func() { foreign.CopyIn(x, src) },
		"other lengths":           func() { q.CopyIn(x.Slice(0, 2), src) },
	} {
		copy()
		if errors.Join(q.Sync(), foreign.Sync()) == nil {
			t.Errorf("copy %s was accepted", name)
		}
	}
}

// TestForeignOperandsAreRefused: each kind of operand, and the op's result is left alone.
func TestForeignOperandsAreRefused(t *testing.T) {
	d := newDevice(t, 0, 0)
	x, m := tensor(t, d, 8)
	defer d.Free(m)
	y, m2 := tensor(t, d, 8)
	defer d.Free(m2)
	there, err := cuda.FromF32(make([]float32, 8))
	must(t, err)
	matrix := func(t *testing.T, x cuda.Tensor) cuda.Matrix {
		w, err := cuda.MatrixOf(x)
		must(t, err)
		return w
	}
	q := d.NewQueue()
	rows := func(x cuda.Tensor) cuda.Tensor { return x.Slice(0, 8) }
	for name, op := range map[string]*cuda.Op{
		"result": cuda.NewOp(cuda.OpAdd).Gives(there).Takes(x, x),
		"first":  cuda.NewOp(cuda.OpAdd).Gives(y).Takes(there, x),
		"second": cuda.NewOp(cuda.OpAdd).Gives(y).Takes(x, rows(there)),
		"weight": cuda.NewOp(cuda.OpAddRow).Gives(y).Takes(x).By(matrix(t, there)),
	} {
		q.Run(op)
		if err := q.Sync(); err == nil || !strings.Contains(err.Error(), "lies in the memory of another device") {
			t.Errorf("%s elsewhere: %v", name, err)
		}
	}
	q.Run(cuda.NewOp(cuda.OpAdd).Gives(y).Takes(x, x))
	must(t, q.Sync())
}
