package far_test

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/far"
)

func newDevice(t *testing.T, memory int64, copyRate float64) *far.Device {
	c := cuda.NewCPU(1)
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
			if err := d.CopyIn(dst, host); err != nil {
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
	must(t, d.CopyIn(x, src))
	must(t, d.CopyOut(dst, x))
	if got := dst.F32(); got[0] != 1 || got[2] != 3 {
		t.Errorf("came back as %v", got)
	}
	if x.F32() != nil || x.Raw() != nil {
		t.Error("this process can read the device's memory")
	}
	for name, err := range map[string]error{
		"in, the wrong way round": d.CopyIn(src, x),
		"out of this process":     d.CopyOut(dst, src),
		"into another device":     other.CopyIn(x, src),
		"other lengths":           d.CopyIn(x.Slice(0, 2), src),
	} {
		if err == nil {
			t.Errorf("copy %s was accepted", name)
		}
	}
}

// TestForeignOperandsAreRefused by every op: each is called with all operands here but one.
func TestForeignOperandsAreRefused(t *testing.T) {
	d := newDevice(t, 0, 0)
	m, err := d.Alloc(4096, cuda.ForScratch)
	must(t, err)
	defer d.Free(m)
	here := func(dtype cuda.DType, shape ...int) cuda.Tensor {
		x, err := cuda.DeviceTensor(d, m, 0, dtype, shape...)
		must(t, err)
		return x
	}
	elsewhere := func(x cuda.Tensor) cuda.Tensor {
		shape := make([]int, x.NDim())
		for i := range shape {
			shape[i] = x.Dim(i)
		}
		y, err := cuda.HostTensor(make([]byte, x.Bytes()), x.DType(), shape...)
		must(t, err)
		return y
	}
	ops := d.Ops()
	rows, cube, cache := here(cuda.F32, 2, 4), here(cuda.F32, 2, 2, 2), here(cuda.F32, 1, 2, 4, 2)
	ids, tables, angles, state := here(cuda.I32, 2), here(cuda.I32, 2, 1), here(cuda.F32, 2, 1, 2), here(cuda.F32, 2, 2, 4)
	if tail := here(cuda.F32, 2, 1, 1); ops.HeadsFirst(cube, here(cuda.F32, 2, 2, 1), tail, 0) != nil || ops.HeadsFirst(cube, here(cuda.F32, 2, 2, 1), elsewhere(tail), 0) == nil {
		t.Error("headsfirst takes a tail elsewhere, or none here")
	}
	for name, c := range map[string]struct {
		operands []cuda.Tensor
		call     func(o []cuda.Tensor) error
	}{
		"embed":      {[]cuda.Tensor{rows, ids, rows}, func(o []cuda.Tensor) error { return ops.Embed(o[0], o[1], o[2]) }},
		"matmul":     {[]cuda.Tensor{here(cuda.F32, 2, 2), rows, rows}, func(o []cuda.Tensor) error { return ops.MatMul(o[0], o[1], o[2]) }},
		"rmsnorm":    {[]cuda.Tensor{rows, rows, here(cuda.F32, 4)}, func(o []cuda.Tensor) error { return ops.RMSNorm(o[0], o[1], o[2], 1, 0) }},
		"add":        {[]cuda.Tensor{rows, rows, rows}, func(o []cuda.Tensor) error { return ops.Add(o[0], o[1], o[2]) }},
		"swiglu":     {[]cuda.Tensor{rows, rows, rows}, func(o []cuda.Tensor) error { return ops.SwiGLU(o[0], o[1], o[2]) }},
		"angles":     {[]cuda.Tensor{angles, ids}, func(o []cuda.Tensor) error { return ops.Angles(o[0], o[1], []float32{1}, nil, 1) }},
		"rotate":     {[]cuda.Tensor{cube, cube, angles}, func(o []cuda.Tensor) error { return ops.Rotate(o[0], o[1], o[2], 0, cuda.Half) }},
		"cachewrite": {[]cuda.Tensor{cache, cube, ids, ids, tables}, func(o []cuda.Tensor) error { return ops.CacheWrite(o[0], o[1], o[2], o[3], o[4]) }},
		"attention": {[]cuda.Tensor{cube, cube, cache, cache, ids, ids, tables}, func(o []cuda.Tensor) error {
			return ops.Attention(o[0], o[1], o[2], o[3], o[4], o[5], o[6], 1)
		}},
		"gather":      {[]cuda.Tensor{rows, rows, ids}, func(o []cuda.Tensor) error { return ops.Gather(o[0], o[1], o[2]) }},
		"cacheread":   {[]cuda.Tensor{cube, cache, tables}, func(o []cuda.Tensor) error { return ops.CacheRead(o[0], o[1], o[2], 0, 1) }},
		"headsfirst":  {[]cuda.Tensor{cube, cube}, func(o []cuda.Tensor) error { return ops.HeadsFirst(o[0], o[1], cuda.Tensor{}, 0) }},
		"attendstart": {[]cuda.Tensor{state}, func(o []cuda.Tensor) error { return ops.AttendStart(o[0]) }},
		"attendtile":  {[]cuda.Tensor{state, cube, cube, cube, ids}, func(o []cuda.Tensor) error { return ops.AttendTile(o[0], o[1], o[2], o[3], o[4], 0, 1) }},
		"attenddone":  {[]cuda.Tensor{cube, state}, func(o []cuda.Tensor) error { return ops.AttendDone(o[0], o[1]) }},
		"latentquery": {[]cuda.Tensor{here(cuda.F32, 2, 2, 3), cube, here(cuda.F32, 4, 2)}, func(o []cuda.Tensor) error { return ops.LatentQuery(o[0], o[1], o[2], 1) }},
		"latentattention": {[]cuda.Tensor{cube, cube, here(cuda.F32, 1, 1, 4, 2), ids, ids, tables}, func(o []cuda.Tensor) error {
			return ops.LatentAttention(o[0], o[1], o[2], o[3], o[4], o[5], 1)
		}},
		"latentvalue": {[]cuda.Tensor{here(cuda.F32, 2, 2, 1), cube, here(cuda.F32, 4, 2)}, func(o []cuda.Tensor) error { return ops.LatentValue(o[0], o[1], o[2]) }},
		"addrow":      {[]cuda.Tensor{rows, rows, here(cuda.F32, 4)}, func(o []cuda.Tensor) error { return ops.AddRow(o[0], o[1], o[2]) }},
		"layernorm":   {[]cuda.Tensor{rows, rows, here(cuda.F32, 4), here(cuda.F32, 4)}, func(o []cuda.Tensor) error { return ops.LayerNorm(o[0], o[1], o[2], o[3], 1) }},
		"gelu":        {[]cuda.Tensor{rows, rows}, func(o []cuda.Tensor) error { return ops.GELU(o[0], o[1], cuda.GELUTanh) }},
		"copy":        {[]cuda.Tensor{rows, rows}, func(o []cuda.Tensor) error { return ops.Copy(o[0], o[1]) }},
	} {
		zero := elsewhere(here(cuda.I32, 1024))
		must(t, d.CopyIn(here(cuda.I32, 1024), zero))
		if err := c.call(c.operands); err != nil {
			t.Errorf("%s with all operands here: %v", name, err)
		}
		for i := range c.operands {
			mixed := append([]cuda.Tensor(nil), c.operands...)
			if mixed[i] = elsewhere(mixed[i]); c.call(mixed) == nil {
				t.Errorf("%s computed with operand %d elsewhere", name, i)
			}
			if mixed[i] = (cuda.Tensor{}); c.call(mixed) == nil {
				t.Errorf("%s computed without operand %d", name, i)
			}
		}
	}
}
