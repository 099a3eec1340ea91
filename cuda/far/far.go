// Package far is a device for tests of placement: it stands in for a GPU on a machine that has none.
//
// It keeps its tensors in memory of its own and refuses operands that lie elsewhere, has a budget that it never exceeds,
// and copies no faster than it was told. It computes with the CPU's own kernels, so that a layer's bits do not depend on
// whether it lies here.
//
// A device of New runs everything at once. Those of a Machine run it late and in their own time, as a device does that works beside the
// CPU: Last runs nothing before somebody must wait, Random a little at random moments, Own has a goroutine for each queue. A missing wait, a
// use after a free, a read before the copy has arrived, memory given to another too early are accused whether or not they did harm this time:
// the queue keeps an error that names both sides, and Sync tells it.
package far

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
)

// Device is one far device.
type Device struct {
	name    string
	rates   cuda.Rates
	threads *cpu.Device
	ledger  cuda.Ledger
	link    link
	in      counter
	out     counter
	late    *lateMemory // of a device whose queues run late; nil: at once
}

// New is a device with a budget in bytes (0: no limit), which copies at copyRate bytes/s in either direction (0: as fast
// as it can) and tells planners that it reads weights at readRate bytes/s. It computes on the threads of c.
func New(name string, memory int64, copyRate, readRate float64, c *cpu.Device) *Device {
	d := &Device{name: name, rates: cuda.Rates{Copy: copyRate, Read: readRate}, link: link{rate: copyRate}, threads: c}
	d.ledger.SetBudget(memory)
	return d
}

// Name is the name given to New.
func (d *Device) Name() string { return d.name }

// Kind is cuda.KindFar.
func (d *Device) Kind() string { return cuda.KindFar }

// Alloc gives zeroed memory if the budget allows it.
func (d *Device) Alloc(bytes int64, p cuda.Purpose) (cuda.Memory, error) {
	if d.late != nil {
		return d.late.alloc(d, bytes, p)
	}
	return d.ledger.Map(d.name, bytes, p)
}

// Free gives memory back.
func (d *Device) Free(m cuda.Memory) {
	switch {
	case d.late == nil:
		d.ledger.Unmap(m)
	case m.Bytes() > 0:
		d.late.free(d, m)
	}
}

// Usage is exact at every instant.
func (d *Device) Usage() cuda.Usage { return d.ledger.Usage() }

// SetBudget changes what Alloc may give in total; 0 is no limit.
func (d *Device) SetBudget(bytes int64) { d.ledger.SetBudget(bytes) }

// Layout is the file's.
func (d *Device) Layout(m cuda.Matrix) *cuda.Layout { return m.Layout }

// NewQueue is a queue that runs everything at once, or at its Machine's pace.
func (d *Device) NewQueue() cuda.Queue {
	if d.late != nil {
		return d.late.newQueue(d)
	}
	return cpu.NewQueue(d, d.threads, d)
}

// In implements cpu.Link: it waits as long as the link takes.
func (d *Device) In(bytes int64) { d.send(bytes, &d.in) }

// Out implements cpu.Link.
func (d *Device) Out(bytes int64) { d.send(bytes, &d.out) }

func (d *Device) send(bytes int64, c *counter) {
	arrived := d.link.send(bytes)
	c.copies.Add(1)
	c.bytes.Add(bytes)
	time.Sleep(time.Until(arrived))
}

// Rates are those given to New, and the FLOPS are not known.
func (d *Device) Rates() cuda.Rates { return d.rates }

// Traffic is what was copied so far.
type Traffic struct{ CopiesIn, CopiesOut, BytesIn, BytesOut int64 }

// Traffic counts the copies since the device was made.
func (d *Device) Traffic() Traffic {
	return Traffic{d.in.copies.Load(), d.out.copies.Load(), d.in.bytes.Load(), d.out.bytes.Load()}
}

type counter struct{ copies, bytes atomic.Int64 }

// link is the wire that all copies share: one after the other, at its rate.
type link struct {
	rate float64
	mu   sync.Mutex
	free time.Time // when what was sent has arrived
}

// send gives the wire to so many bytes and says when they have arrived.
func (l *link) send(bytes int64) time.Time {
	if l.rate <= 0 {
		return time.Time{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); l.free.Before(now) {
		l.free = now
	}
	l.free = l.free.Add(time.Duration(float64(bytes) / l.rate * float64(time.Second)))
	return l.free
}
