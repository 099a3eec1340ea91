package servetest

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/serve"
	"github.com/inference-pio/inference-pio/sdk/plan"
)

// slowed.go is a machine whose CPU is slower than `far`, which computes with the same kernels: `far` has all of the threads, the CPU one of them for half of
// the time. So it is slower in every minute of a shared machine, on which two threads are now no faster than one, and now twice as fast.

// slowedBy is how many times as long as one thread takes the CPU takes.
const slowedBy = 2

// slowed is such a CPU. It knows how long it computed in each pass.
type slowed struct {
	mu   sync.Mutex
	cpu  time.Duration // in the running pass
	list []steppedOnce
}

// steppedOnce is a pass, and the time in it in which the CPU computed.
type steppedOnce struct{ cpu, all time.Duration }

// of makes a CPU slower.
func (s *slowed) of(d cuda.Device) cuda.Device { return &slowedCPU{d, s} }

// stepped takes the end of a pass.
func (s *slowed) stepped(pass serve.Stepped) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list, s.cpu = append(s.list, steppedOnce{s.cpu, time.Duration(pass.Seconds * 1e9)}), 0
}

// passes are those since the last call.
func (s *slowed) passes() (list []steppedOnce) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list, s.list = s.list, nil
	return list
}

type slowedCPU struct {
	cuda.Device
	slowed *slowed
}

// NewQueue implements cuda.Device.
func (d *slowedCPU) NewQueue() cuda.Queue {
	return &slowedQueue{d.Device.NewQueue(), d.Device.(interface{ Use(threads int) }), d.slowed}
}

// Rates implements cuda.Device. How fast it reads a load measures by its products.
func (d *slowedCPU) Rates() cuda.Rates {
	r := d.Device.Rates()
	r.FLOPS /= slowedBy * float64(d.Device.(interface{ Threads() int }).Threads())
	return r
}

type slowedQueue struct {
	cuda.Queue
	threads interface{ Use(threads int) }
	slowed  *slowed
}

// Run implements cuda.Queue. The CPU computes at once, and then keeps the caller, for less time than a sleep takes.
func (q *slowedQueue) Run(op *cuda.Op) {
	began := time.Now()
	q.threads.Use(1)
	q.Queue.Run(op)
	q.threads.Use(0)
	for until := began.Add(slowedBy * time.Since(began)); time.Now().Before(until); {
	}
	q.slowed.mu.Lock()
	q.slowed.cpu += time.Since(began)
	q.slowed.mu.Unlock()
}

// What a gauge multiplies: more memory than most caches hold, so many times.
const (
	gaugeSide   = 8192 // in bf16: 128 MiB
	gaugePasses = 7
)

// gauge measures how fast the slowed CPU and `far` read weights at a moment: by products of one row, as those of a token are.
type gauge struct {
	t        testing.TB
	cpu, far cuda.Queue
	product  *cuda.Op
}

// speeds are the bytes a second that both read.
type speeds struct{ cpu, far float64 }

func newGauge(t testing.TB) *gauge {
	t.Helper()
	g := &gauge{t: t}
	all := cpu.New(0)
	t.Cleanup(func() { _ = all.Close() })
	g.cpu, g.far = new(slowed).of(all).NewQueue(), all.NewQueue()
	x, err := cuda.HostTensor(make([]byte, 4*gaugeSide), cuda.F32, 1, gaugeSide)
	y, other := cuda.HostTensor(make([]byte, 4*gaugeSide), cuda.F32, 1, gaugeSide)
	layout := cuda.Plain(cuda.BF16)
	mem, full := all.Alloc(layout.DeviceBytes(gaugeSide, gaugeSide), cuda.ForWeights)
	w, wrong := layout.Lay(all, mem, 0, gaugeSide, gaugeSide)
	if err := errors.Join(err, other, full, wrong); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { all.Free(mem) })
	data := w.Plane(0).Raw()
	for i := 0; i < len(data); i += 4096 {
		data[i] = 1 // untouched pages would all be one page of zeros
	}
	g.product = cuda.NewOp(cuda.OpMatMul).Gives(y).Takes(x).By(w)
	return g
}

// now takes a tenth of a second or two. Both have their turns, as in a token: on a shared machine a thread that has waited may come back elsewhere.
func (g *gauge) now() speeds {
	var here, far []float64
	for range gaugePasses {
		here, far = append(here, g.once(g.cpu)), append(far, g.once(g.far))
	}
	return speeds{middle(here), middle(far)}
}

func (g *gauge) once(q cuda.Queue) float64 {
	g.t.Helper()
	began := time.Now()
	q.Run(g.product)
	if err := q.Sync(); err != nil {
		g.t.Fatal(err)
	}
	return 2 * gaugeSide * gaugeSide / time.Since(began).Seconds()
}

// mean is what lies between two moments.
func (s speeds) mean(o speeds) speeds { return speeds{(s.cpu + o.cpu) / 2, (s.far + o.far) / 2} }

// apart is the part by which one of both reads faster in one of two moments.
func (s speeds) apart(o speeds) float64 {
	of := func(a, b float64) float64 { return max(a, b)/min(a, b) - 1 }
	return max(of(s.cpu, o.cpu), of(s.far, o.far))
}

// of is an input in which devices read at these speeds, and multiplying is part of that.
func (s speeds) of(in plan.Input) plan.Input {
	in.Devices = slices.Clone(in.Devices)
	for i, read := range []float64{s.cpu, s.far} {
		in.Devices[i].ReadRate, in.Devices[i].FLOPS = read, 0
	}
	return in
}
