//go:build cuda && cgo

package gpu

import (
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/gpu/driver"
	"github.com/inference-pio/inference-pio/cuda/kernels"
)

// queue.go is a stream as a queue. Entries are numbered as they are added; two numbers say how far it is: added and done.

// Queue implements cuda.Queue. Its owner adds to it; whoever waits for its events, or needs what it is about to free, may come from any
// goroutine.
type Queue struct {
	dev    *Device
	stream *driver.Stream
	end    *driver.Event // of all that was sent

	mu          sync.Mutex
	err         error
	list        driver.List // added and not sent
	added, done uint64

	plan     kernels.Plan
	op       kernels.Op
	mapped   kernels.Mapped
	scratch  cuda.Memory
	last     last
	again    again
	joined   cuda.Op
	in, out  staging
	patches  staging          // of tables
	encoded  []kernels.Matrix // of an expert
	patching driver.List
	filler   *filler  // from the first Fill on
	copied   []*piece // that copies read
	graphs   graphs

	landings []landing
	frees    []freeing
	events   []awaited           // that the stream waits for
	tables   []*cuda.ExpertTable // that launches read
}

// awaited is an event of another queue.
type awaited struct {
	*driver.Event
	of *Queue
}

// landing is a copy that has arrived in pinned memory once its entry is done and is then brought to where it was wanted.
type landing struct {
	entry    uint64
	to, from []byte
}

// freeing is memory that goes once its entry is done.
type freeing struct {
	entry uint64
	mem   cuda.Memory
}

// NewQueue implements cuda.Device. That the driver gives no stream is an error of the queue.
func (d *Device) NewQueue() cuda.Queue {
	q := &Queue{dev: d, plan: kernels.Plan{Properties: d.plan}}
	if q.stream, q.err = d.context.NewStream(); q.err != nil {
		q.err = fmt.Errorf("%s: no stream: %w", d.name, q.err)
	}
	q.in.dev, q.out.dev, q.patches.dev = d, d, d
	d.queues.add(q)
	return q
}

// Run implements cuda.Queue.
func (q *Queue) Run(op *cuda.Op) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err != nil {
		return
	}
	if op.Experts != nil {
		q.tableFor(op) // before the list that may come again
	}
	if q.heard(copied{}, op) {
		return
	}
	before := q.added
	q.keep(q.run(op))
	q.write(copied{}, op, q.added-before)
}

func (q *Queue) run(op *cuda.Op) error {
	if err := q.owns(op); err != nil {
		return err
	}
	joined := q.join(op)
	if joined {
		op = &q.last.op
	}
	if err := q.plan.Op(op); err != nil {
		return fmt.Errorf("%s: %w", q.dev.name, err)
	}
	if len(q.plan.Launches) == 0 {
		return nil
	}
	if err := q.op.Encode(op); err != nil {
		return fmt.Errorf("%s: %w", q.dev.name, err)
	}
	if err := q.lend(op); err != nil {
		return fmt.Errorf("%s on %s: %w", op.Code, q.dev.name, err)
	}
	from := q.list.Here()
	for i := range q.plan.Launches {
		l := &q.plan.Launches[i]
		fn, err := q.dev.kernels.find(l.Kernel)
		if err != nil {
			return fmt.Errorf("%s on %s: %w", op.Code, q.dev.name, err)
		}
		q.op.P = l.P
		param, bytes := unsafe.Pointer(&q.op), unsafe.Sizeof(q.op)
		if l.Mapped() {
			if err := q.describe(l); err != nil {
				return fmt.Errorf("%s on %s: %w", op.Code, q.dev.name, err)
			}
			param, bytes = unsafe.Pointer(&q.mapped), unsafe.Sizeof(q.mapped)
		}
		q.list.Launch(fn, l.Grid, l.Threads, l.Shared, param, bytes)
	}
	if !joined { // it stands in the place of the entry before
		q.added++
	}
	q.launched(op, from)
	return nil
}

// Work implements cuda.Worker, and has the kernels for the op loaded. A product with few rows may need more than one with all of them, since it is cut into more parts. An op that
// no kernel takes needs nothing: it is refused when it runs.
func (d *Device) Work(op *cuda.Op) int64 { return work(d.plan, op, d.kernels.ahead) }

// work is the room that an op needs, in as few rows as it may come; planned gets each plan.
func work(properties kernels.Properties, op *cuda.Op, planned func(*kernels.Plan)) (most int64) {
	p := kernels.Plan{Properties: properties}
	fewer := *op
	for rows := op.In[0].Rows(); ; rows /= 2 {
		if p.Op(&fewer) == nil {
			if p.Scratch > 0 {
				most = max(most, p.Scratch+kernels.CounterBytes)
			}
			planned(&p)
		}
		if op.Code != cuda.OpMatMul || rows < 2 {
			return most
		}
		fewer.In[0], fewer.Out[0] = op.In[0].Slice(0, rows/2), op.Out[0].Slice(0, rows/2)
	}
}

// Room implements cuda.Bench.
func (q *Queue) Room(bytes int64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.finish()
	q.again.forget()
	q.dev.Free(q.scratch)
	q.scratch = cuda.Memory{}
	if bytes == 0 {
		return nil
	}
	return q.room(bytes)
}

// room takes scratch memory, in front of which counters are that begin with 0.
func (q *Queue) room(bytes int64) (err error) {
	if q.scratch, err = q.dev.alloc(bytes, cuda.ForScratch, q.settle); err != nil || q.stream == nil {
		return err
	}
	var l driver.List
	l.Set(q.scratch.Pointer(), 0, min(bytes, kernels.CounterBytes))
	q.added++
	return q.stream.Run(&l)
}

// lend gives the op what is not its own: scratch memory, and the table of experts where the device can read it.
func (q *Queue) lend(op *cuda.Op) error {
	if need := q.plan.Scratch; need > 0 && need+kernels.CounterBytes > q.scratch.Bytes() {
		q.again.forget()
		q.free(q.scratch)
		q.scratch = cuda.Memory{}
		if err := q.room(need + kernels.CounterBytes); err != nil {
			return err
		}
	}
	if q.plan.Scratch > 0 {
		q.op.Scratch = uint64(uintptr(q.scratch.Pointer())) + kernels.CounterBytes
	}
	if op.Experts == nil {
		return nil
	}
	t := q.tableFor(op)
	if t.err != nil {
		return t.err
	}
	q.op.Experts, q.op.ExpertsN = uint64(uintptr(t.at)), int32(len(op.Experts.Experts))
	q.tables = append(q.tables, op.Experts)
	return nil
}

// owns checks that all operands lie on the device.
func (q *Queue) owns(op *cuda.Op) error {
	out, in, weights := op.Operands()
	for _, list := range [...][]cuda.Tensor{out, in} {
		for i := range list {
			if t := &list[i]; !t.IsZero() && t.Device() != q.dev {
				return q.foreign(op, t)
			}
		}
	}
	for i := range weights {
		if w := &weights[i]; !w.IsZero() && w.Device() != q.dev {
			return q.foreign(op, w)
		}
	}
	return nil
}

func (q *Queue) foreign(op *cuda.Op, what any) error {
	return fmt.Errorf("%s on %s: an operand (%v) lies in the memory of another device", op.Code, q.dev.name, what)
}

// Free implements cuda.Queue.
func (q *Queue) Free(m cuda.Memory) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.free(m)
}

func (q *Queue) free(m cuda.Memory) {
	if q.done == q.added {
		q.dev.Free(m)
	} else if m.Bytes() > 0 {
		q.frees = append(q.frees, freeing{q.added, m})
	}
}

// settleFrees has the queue come to an end if it has something to free.
func (q *Queue) settleFrees() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.settle()
}

// settle is settleFrees for who holds the queue already.
func (q *Queue) settle() bool {
	if len(q.frees) == 0 {
		return false
	}
	q.finish()
	return true
}

// Sync implements cuda.Queue.
func (q *Queue) Sync() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.finish()
	err := q.err
	q.err = nil
	return err
}

// Start implements cuda.Starter.
func (q *Queue) Start() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.send()
}

// send gives the driver what has been added.
func (q *Queue) send() {
	if q.list.Len() == 0 && q.again.mode != toldAgain {
		return
	}
	if k := q.again.whole(); k != nil && q.err == nil {
		q.keep(q.graphs.launch(q.stream, k))
		q.again.sent(nil)
	} else {
		q.anew()
		var k *known
		if q.err == nil {
			var err error
			k, err = q.graphs.run(q.stream, &q.list)
			q.keep(err)
		}
		q.again.sent(k)
	}
	q.list.Reset()
	q.last.there = false
}

// finish waits until all that was added has run, and does what was to be done then.
func (q *Queue) finish() {
	q.send()
	if q.done < q.added && q.stream != nil {
		q.keep(q.reach())
	}
	q.arrived()
}

// arrived does what was to be done once all has run.
func (q *Queue) arrived() {
	q.done = q.added
	if q.err == nil {
		for _, l := range q.landings {
			q.dev.clock.Copy(l.to, l.from)
		}
	}
	for _, f := range q.frees {
		q.dev.Free(f.mem)
	}
	for _, e := range q.events {
		q.keep(e.Close())
	}
	q.dev.registered.give(q.copied, q.dev.counted(), q.dev.lost.is() != nil || errors.As(q.err, new(*cuda.LostError)))
	clear(q.copied)
	clear(q.tables)
	q.copied, q.landings, q.frees, q.events, q.tables = q.copied[:0], q.landings[:0], q.frees[:0], q.events[:0], q.tables[:0]
	q.in.used, q.out.used, q.patches.used = 0, 0, 0
}

// reach waits until the stream has done what it was sent.
func (q *Queue) reach() error {
	if err := q.dev.lost.is(); err != nil {
		return err
	}
	if q.end == nil {
		var err error
		if q.end, err = q.dev.context.NewEvent(false); err != nil {
			return err
		}
	}
	var l driver.List
	l.Record(q.end)
	if err := q.stream.Run(&l); err != nil {
		return err
	}
	q.dev.waits.Add(1)
	err := q.end.Wait(q.dev.patience)
	if driver.Lost(err) {
		err = q.culprit(map[*Queue]bool{}).found(err)
	}
	return err
}

// culprit is the device that a queue which does not come to its end waits for, through as many others as there are between: its own, if all that it
// waits for has happened. Who is held by somebody else is not asked further.
func (q *Queue) culprit(asked map[*Queue]bool) *Device {
	asked[q] = true
	for _, e := range q.events {
		if happened, err := e.Happened(); happened || err != nil || asked[e.of] {
			continue
		}
		if !e.of.mu.TryLock() {
			return e.of.dev
		}
		defer e.of.mu.Unlock()
		return e.of.culprit(asked)
	}
	return q.dev
}

// keep keeps the first error. One that says so of the driver's loses the device.
func (q *Queue) keep(err error) {
	if q.err != nil || err == nil {
		return
	}
	q.err = q.dev.found(err)
}

// Close implements cuda.Queue.
func (q *Queue) Close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.finish()
	q.dev.queues.remove(q)
	q.dev.Free(q.scratch)
	q.scratch = cuda.Memory{}
	q.graphs.close()
	q.again = again{}
	q.in.close()
	q.out.close()
	q.patches.close()
	if q.filler != nil {
		q.dev.fillers.give(q.filler)
		q.filler = nil
	}
	if q.end != nil {
		_ = q.end.Close() // it has happened
	}
	if q.stream != nil {
		_ = q.stream.Close() // what was in it told its errors
	}
}
