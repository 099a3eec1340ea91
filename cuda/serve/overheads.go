package serve

import (
	"slices"
	"time"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/clock"
	"github.com/inference-pio/inference-pio/cuda/kernels"
	"github.com/inference-pio/inference-pio/sdk"
)

// overheads.go measures what a planner counts besides bytes and operations: what an op takes though it does next to nothing, what it takes to
// hear from a device, and how many ops there are. Of a small model on a fast GPU that is most of a token's time.

// What is run: so many ops, and so many more; the best of some times, of which the third is the first that is launched as a graph.
const (
	fewOps, manyOps = 32, 160
	overheadRuns    = 6
	overheadBytes   = 4096
)

// overheads are the seconds of an op and of a turn, by the host's clock; 0 where the device's budget has no room to measure.
func overheads(c clock.Clock, d cuda.Device) (op, turn float64) {
	there, mem, err := small(d)
	if err != nil {
		return 0, 0
	}
	defer d.Free(mem)
	here, err := cuda.HostTensor(make([]byte, overheadBytes), cuda.F32, 1, overheadBytes/4)
	if err != nil {
		return 0, 0
	}
	q := d.NewQueue()
	defer q.Close()
	add := cuda.NewOp(cuda.OpAdd).Gives(there).Takes(there, there)
	few, many := least(c, q, func() { repeat(q, add, fewOps) }), least(c, q, func() { repeat(q, add, manyOps) })
	op = max(0, (many-few)/(manyOps-fewOps))
	if cuda.OnHost(d) {
		return op, 0
	}
	turn = least(c, q, func() {
		q.CopyIn(there, here)
		q.Run(add)
		q.CopyOut(here, there)
	})
	return op, max(0, turn-op)
}

// small is a tensor on a device.
func small(d cuda.Device) (cuda.Tensor, cuda.Memory, error) {
	if cuda.OnHost(d) {
		t, err := cuda.HostTensor(make([]byte, overheadBytes), cuda.F32, 1, overheadBytes/4)
		return t, cuda.Memory{}, err
	}
	mem, err := d.Alloc(overheadBytes, cuda.ForScratch)
	if err != nil {
		return cuda.Tensor{}, mem, err
	}
	t, err := cuda.DeviceTensor(d, mem, 0, cuda.F32, 1, overheadBytes/4)
	if err != nil {
		d.Free(mem)
	}
	return t, mem, err
}

func repeat(q cuda.Queue, op *cuda.Op, n int) {
	for range n {
		q.Run(op)
	}
}

// least is the shortest time of what f adds to a queue, until it is done.
func least(c clock.Clock, q cuda.Queue, f func()) float64 {
	best := time.Duration(0)
	for n := range overheadRuns {
		began := c.Now()
		f()
		if q.Sync() != nil {
			return 0
		}
		if took := c.Now() - began; n == 0 || took < best {
			best = took
		}
	}
	return best.Seconds()
}

// ops counts the launches of each layer in a pass of one row, as on the largest GPU; what comes before the first layer is the first's, and what comes
// behind the last is the last's. each is how many ops a launch stands for.
func (o *opened) ops(l limits) (layers []int, each float64, err error) {
	l.rows, l.sequences = 1, 1
	counter := &opCounter{plan: kernels.Plan{Properties: kernels.Properties{Fast: o.numerics == sdk.NumericsFast, Multiprocessors: 132, Shared: 227 << 10}}}
	if _, err := o.measureWith(l, counter.watch, counter); err != nil {
		return nil, 0, err
	}
	launches := 0
	for _, n := range counter.layers {
		launches += n
	}
	return counter.layers, float64(counter.ops) / float64(max(1, launches)), nil
}

// opCounter is a device of a step that measures. It counts what it is asked about.
type opCounter struct {
	cuda.Device
	step     *cuda.Step
	plan     kernels.Plan
	layers   []int
	last     cuda.Op // whose launches were counted last, with all that became one with it
	joins    bool    // the next may become one with it
	layer    int     // where it was counted
	launches int
	ops      int
}

func (c *opCounter) watch(s *cuda.Step) { c.step = s }

// NewQueue implements cuda.Device: no step that measures uses it.
func (c *opCounter) NewQueue() cuda.Queue { return nothing{} }

type nothing struct{ cuda.Queue }

func (nothing) Sync() error { return nil }
func (nothing) Close()      {}

// Kind implements cuda.Device.
func (c *opCounter) Kind() string { return cuda.KindGPU }

// Work implements cuda.Worker. What a GPU's queue joins is counted as one.
func (c *opCounter) Work(op *cuda.Op) int64 {
	var joined cuda.Op
	c.ops++
	if c.joins && c.plan.Join(&joined, &c.last, op) {
		op = &joined
		c.layers[c.layer] -= c.launches
	} else {
		c.layer = max(0, int(c.step.Entered())-1)
	}
	for len(c.layers) <= c.layer {
		c.layers = append(c.layers, 0)
	}
	c.launches = 1 // if no kernel takes it: it is computed elsewhere, or refused
	if c.plan.Op(op) == nil {
		c.launches = len(c.plan.Launches)
	}
	c.layers[c.layer] += c.launches
	c.last, c.joins = *op, c.plan.Joins(op)
	return 0
}

// played says that a device is one that this machine plays by a real clock: how long it takes says nothing of any device.
func played(d cuda.Device, c clock.Clock) bool {
	s, ok := d.(interface{ Software() bool })
	return ok && s.Software() && clock.IsReal(c)
}

// tellOps puts into a table what ops take, if there is a device that is worth it, and gives what one of the CPU's does.
func (o *opened) tellOps(t *sdk.LayerTable, l limits, devices []cuda.Device, c clock.Clock) (opOfCPU float64, err error) {
	if !slices.ContainsFunc(devices, func(d cuda.Device) bool { return d.Kind() == cuda.KindGPU }) {
		return 0, nil
	}
	counts, each, err := o.ops(l)
	if err != nil {
		return 0, err
	}
	for i, m := range o.bound.Modules {
		if m.Layer >= 0 && m.Layer < len(counts) && !isExpert(m) {
			t.Modules[i].Ops = counts[m.Layer]
		}
	}
	for i, d := range devices {
		here := cuda.OnHost(d)
		if played(d, c) || !here && d.Kind() != cuda.KindGPU {
			continue
		}
		t.Devices[i].OpSeconds, t.Devices[i].TurnSeconds = overheads(c, d)
		if here { // which takes ops one by one
			opOfCPU = t.Devices[i].OpSeconds
			t.Devices[i].OpSeconds *= each
		}
	}
	return opOfCPU, nil
}
