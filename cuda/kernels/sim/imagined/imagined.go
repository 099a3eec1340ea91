//go:build cuda && cgo

package imagined

import (
	"cmp"
	"fmt"
	"strings"
	"time"
	"unsafe"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/clock"
	"github.com/inference-pio/inference-pio/cuda/kernels"
	"github.com/inference-pio/inference-pio/cuda/kernels/sim"
)

// imagined.go is the machines and the CPU in their time.

// Machine is a host and one GPU.
type Machine struct {
	Name   string
	Memory int64 // bytes of the GPU

	Link  float64 // bytes/s of a copy in either direction
	Read  float64 // bytes/s of the GPU's memory
	FLOPS float64 // f32 operations/s of the GPU
	MMA   float64 // of its tensor cores in bf16
	// Launch is from one kernel of a stream to the next, Node within a graph.
	Launch, Node time.Duration

	HostRead  float64       // bytes/s at which the host's ops read memory, less what copies over the link take of it meanwhile
	HostFLOPS float64       // f32 operations/s of the host
	HostOp    time.Duration // what an op takes before it computes: all threads have to learn of it
	HostCopy  float64       // bytes/s at which one thread copies; several do so at once (clock.Real), as far as HostRead lets them, for a copy reads and writes
}

// Host is a machine's host. It implements clock.Clock.
type Host struct {
	driver *sim.Driver
	m      Machine
	count  bool
	slow   float64          // see Slow; 0: once
	list   []kernels.Matrix // of the table of experts that was used last

	// Routed is told of the experts that rows of the CPU go to, layer after layer; nil: nobody wants to know.
	Routed func(index []int32)
}

// Use has the driver be a machine from now on, as far as GPU device is concerned, and gives its host, whose time begins: what is done then takes what it
// would if nothing had been done before. Where work is only counted nothing is computed.
func (m Machine) Use(d *sim.Driver, device int, count bool) *Host {
	d.Begin()
	d.Control(fmt.Sprintf("machine device=%d link=%g read=%g flops=%g mma=%g launch=%d node=%d memory=%g", device, m.Link, m.Read, m.FLOPS, m.MMA,
		m.Launch.Nanoseconds(), m.Node.Nanoseconds(), m.HostRead))
	return &Host{driver: d, m: m, count: count}
}

// Now implements clock.Clock.
func (h *Host) Now() time.Duration { return h.driver.Now() }

// Rest implements clock.Clock.
func (h *Host) Rest(d time.Duration) { h.driver.Set(h.driver.Now() + d) }

// pass has the host be busy.
func (h *Host) pass(seconds float64) {
	h.driver.Set(h.driver.Now() + time.Duration(seconds*1e9))
}

// Slow has ops take so many times what the machine says from now on, as where others have come to use the cores too.
func (h *Host) Slow(times float64) { h.slow = times }

// compute has the host run an op.
func (h *Host) compute(bytes, flops float64) {
	slow := cmp.Or(h.slow, 1)
	h.pass(slow * h.m.HostOp.Seconds())
	h.driver.Compute(bytes, time.Duration(slow*max(bytes/h.m.HostRead, flops/h.m.HostFLOPS)*1e9))
}

// counted is the bytes of a copy that is not made where work is only counted, as the driver has it (runtime/streams.cpp). Experts have to be more, or a
// GPU full of them is memory of this machine.
const counted = 256 << 10

// Copy implements clock.Clock.
func (h *Host) Copy(dst, src []byte) int {
	n := min(len(dst), len(src))
	rate := min(float64(clock.Parts(n))*h.m.HostCopy, max(h.m.HostCopy, h.m.HostRead/2))
	h.pass(float64(n) / rate)
	if h.count && n > counted {
		return n
	}
	return copy(dst, src)
}

// Beside implements clock.Clock: f runs here and now, and then the caller goes on at the time at which it began.
func (h *Host) Beside(f func() error) cuda.Event {
	began := h.driver.Now()
	b := &beside{host: h, err: f(), ended: h.driver.Now()}
	h.driver.Set(began)
	return b
}

type beside struct {
	host  *Host
	err   error
	ended time.Duration
}

func (b *beside) Happened() bool { return b.host.Now() >= b.ended }

func (b *beside) Wait() error {
	if now := b.host.Now(); now < b.ended {
		b.host.driver.Set(b.ended)
	}
	return b.err
}

// CPU is a CPU whose ops take the machine's time.
func (h *Host) CPU(d cuda.Device) cuda.Device { return &device{d, h} }

type device struct {
	cuda.Device
	host *Host
}

func (d *device) NewQueue() cuda.Queue { return &queue{d.Device.NewQueue(), d.host} }

// Rates implements cuda.Device: what measuring gives on such a machine.
func (d *device) Rates() cuda.Rates {
	return cuda.Rates{Copy: d.host.m.HostRead, Read: d.host.m.HostRead, FLOPS: d.host.m.HostFLOPS}
}

// queue is one of the CPU's, which runs ops at once.
type queue struct {
	cuda.Queue
	host *Host
}

func (q *queue) Run(op *cuda.Op) {
	bytes, flops, encoded := q.host.work(op)
	q.host.compute(bytes, flops)
	switch {
	case !q.host.count || small(op):
		q.Queue.Run(op)
		if op.Code == cuda.OpRoute && q.host.Routed != nil {
			q.host.Routed(op.Out[0].I32())
		}
	case op.Code == cuda.OpRoute:
		q.host.driver.Route(unsafe.Pointer(encoded))
	}
}

// small says of an op that it only moves numbers that decide what is done next.
func small(op *cuda.Op) bool {
	return op.Code == cuda.OpCopy && op.In[0].DType() == cuda.I32 || op.Code == cuda.OpArgmax
}

func (h *Host) work(op *cuda.Op) (bytes, flops float64, encoded *kernels.Op) {
	encoded = new(kernels.Op)
	if err := encoded.Encode(op); err != nil {
		panic(err) // a weight in a form that no GPU reads: such models are not run here
	}
	if op.Experts != nil {
		list := h.table(op.Experts)
		encoded.Experts, encoded.ExpertsN = uint64(uintptr(unsafe.Pointer(unsafe.SliceData(list)))), int32(len(op.Experts.Experts))
	}
	bytes, flops = h.driver.Work(strings.TrimSpace(op.Code.String()), unsafe.Pointer(encoded))
	return bytes, flops, encoded
}

// table is a table of experts as kernels have it.
func (h *Host) table(t *cuda.ExpertTable) []kernels.Matrix {
	h.list = h.list[:0]
	for i := range t.Experts {
		for _, m := range [...]*cuda.Matrix{&t.Experts[i].Gate, &t.Experts[i].Up, &t.Experts[i].Down} {
			e, err := kernels.EncodeMatrix(m)
			if err != nil {
				panic(err)
			}
			h.list = append(h.list, e)
		}
	}
	return h.list
}
