// Package far is a device for tests of placement: it stands in for a GPU on a machine that has none.
//
// It keeps its tensors in memory of its own and refuses operands that lie elsewhere, has a budget that it never exceeds,
// and copies no faster than it was told. It computes with the CPU's own kernels, so that a layer's bits do not depend on
// whether it lies here.
package far

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
)

// Device is one far device.
type Device struct {
	name   string
	rates  cuda.Rates
	ops    cuda.Ops
	ledger cuda.Ledger
	link   link
	in     counter
	out    counter
}

// New is a device with a budget in bytes (0: no limit), which copies at copyRate bytes/s in either direction (0: as fast
// as it can) and tells planners that it reads weights at readRate bytes/s. It computes on the threads of c.
func New(name string, memory int64, copyRate, readRate float64, c *cuda.CPU) *Device {
	d := &Device{name: name, rates: cuda.Rates{Copy: copyRate, Read: readRate}, link: link{rate: copyRate}}
	d.ops = cuda.HostOps(d, c)
	d.ledger.SetBudget(memory)
	return d
}

// Name is the name given to New.
func (d *Device) Name() string { return d.name }

// Kind is cuda.KindFar.
func (d *Device) Kind() string { return cuda.KindFar }

// Alloc gives zeroed memory if the budget allows it.
func (d *Device) Alloc(bytes int64, p cuda.Purpose) (cuda.Memory, error) {
	if err := d.ledger.Take(d.name, bytes, p); err != nil {
		return cuda.Memory{}, err
	}
	ptr, err := cpu.Map(bytes)
	if err != nil {
		d.ledger.Give(bytes, p)
		return cuda.Memory{}, fmt.Errorf("%s: %w", d.name, err)
	}
	return cuda.NewMemory(ptr, bytes, p), nil
}

// Free gives memory back.
func (d *Device) Free(m cuda.Memory) {
	if m.Pointer() != nil && cpu.Unmap(m.Pointer(), m.Bytes()) == nil {
		d.ledger.Give(m.Bytes(), m.Purpose())
	}
}

// Usage is exact at every instant.
func (d *Device) Usage() cuda.Usage { return d.ledger.Usage() }

// SetBudget changes what Alloc may give in total; 0 is no limit.
func (d *Device) SetBudget(bytes int64) { d.ledger.SetBudget(bytes) }

// CopyIn brings a tensor here.
func (d *Device) CopyIn(dst, src cuda.Tensor) error { return d.copy(dst, src, dst, src, &d.in) }

// CopyOut brings a tensor to the memory of this process.
func (d *Device) CopyOut(dst, src cuda.Tensor) error { return d.copy(dst, src, src, dst, &d.out) }

func (d *Device) copy(dst, src, here, there cuda.Tensor, c *counter) error {
	if here.Device() != cuda.Device(d) || there.Device() != nil || dst.DType() != src.DType() || dst.Len() != src.Len() {
		return fmt.Errorf("%s: a copy from %v to %v is not one between this device and the cpu", d.name, src, dst)
	}
	arrived := d.link.send(dst.Bytes())
	copy(bytesAt(dst), bytesAt(src))
	c.copies.Add(1)
	c.bytes.Add(dst.Bytes())
	time.Sleep(time.Until(arrived))
	return nil
}

// CopyWithin copies between two tensors that are here.
func (d *Device) CopyWithin(dst, src cuda.Tensor) error {
	if dst.Device() != cuda.Device(d) || src.Device() != cuda.Device(d) || dst.DType() != src.DType() || dst.Len() != src.Len() {
		return fmt.Errorf("%s: a copy from %v to %v is not one within this device", d.name, src, dst)
	}
	copy(bytesAt(dst), bytesAt(src))
	return nil
}

// Ops is the CPU's kernels on this device's memory.
func (d *Device) Ops() cuda.Ops { return d.ops }

// Rates are those given to New, and the FLOPS are not known.
func (d *Device) Rates() cuda.Rates { return d.rates }

// Traffic is what was copied so far.
type Traffic struct{ CopiesIn, CopiesOut, BytesIn, BytesOut int64 }

// Traffic counts the copies since the device was made.
func (d *Device) Traffic() Traffic {
	return Traffic{d.in.copies.Load(), d.out.copies.Load(), d.in.bytes.Load(), d.out.bytes.Load()}
}

type counter struct{ copies, bytes atomic.Int64 }

func bytesAt(t cuda.Tensor) []byte { return unsafe.Slice((*byte)(t.Pointer()), t.Bytes()) }

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
