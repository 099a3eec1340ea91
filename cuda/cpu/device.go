package cpu

import (
	"fmt"
	"sync"

	"github.com/inference-pio/inference-pio/cuda"
)

// device.go is the CPU as a device: memory of this process, work on a pool of threads.

// Device is the device every step has: it computes on any memory of this process, and on a checkpoint's mapped file as it is.
type Device struct {
	pool   *Pool
	ledger cuda.Ledger
	rates  func() cuda.Rates
}

// New is a CPU device with a pool of threads, the caller's included; 0 is one for each core. The threads are started
// at the first op and sleep when there is nothing to do.
func New(threads int) *Device {
	d := &Device{pool: NewPool(threads)}
	d.rates = sync.OnceValue(func() cuda.Rates {
		read := d.pool.ReadBandwidth()
		return cuda.Rates{Copy: read, Read: read, FLOPS: d.pool.PeakFLOPS()}
	})
	return d
}

// NewWith is one that computes by a kernel table of Tables.
func NewWith(threads int, table string) (*Device, error) {
	p, err := NewPoolWith(threads, table)
	if err != nil {
		return nil, err
	}
	return &Device{pool: p, rates: func() cuda.Rates { return cuda.Rates{} }}, nil
}

// Name is "cpu".
func (d *Device) Name() string { return cuda.KindCPU }

// Kind is cuda.KindCPU.
func (d *Device) Kind() string { return cuda.KindCPU }

// Alloc maps memory outside the Go heap.
func (d *Device) Alloc(bytes int64, p cuda.Purpose) (cuda.Memory, error) {
	return d.ledger.Map(cuda.KindCPU, bytes, p)
}

// Free unmaps it.
func (d *Device) Free(m cuda.Memory) { d.ledger.Unmap(m) }

// Take counts memory of this process that somebody else makes, such as decoded pictures. A *BudgetError says that the budget
// does not allow it.
func (d *Device) Take(bytes int64, p cuda.Purpose) error {
	return d.ledger.Take(cuda.KindCPU, bytes, p)
}

// Give counts as free what Take counted, after it is gone.
func (d *Device) Give(bytes int64, p cuda.Purpose) { d.ledger.Give(bytes, p) }

// Usage is what Alloc gave and Take counted.
func (d *Device) Usage() cuda.Usage { return d.ledger.Usage() }

// SetBudget limits what Alloc gives and Take counts; 0 is no limit.
func (d *Device) SetBudget(bytes int64) { d.ledger.SetBudget(bytes) }

// Layout is the file's: the kernels read it where it lies.
func (d *Device) Layout(m cuda.Matrix) *cuda.Layout { return m.Layout }

// NewQueue is a queue that runs everything at once, on the caller's goroutine and the pool's threads.
func (d *Device) NewQueue() cuda.Queue { return NewQueue(d, d, nil) }

// Rates are measured at the first call, which takes some tenths of a second.
func (d *Device) Rates() cuda.Rates { return d.rates() }

// Close ends the threads. No op may run.
func (d *Device) Close() error { return d.pool.Close() }

// error says what went wrong in an op.
func opError(d cuda.Device, code cuda.OpCode, why string) error {
	return fmt.Errorf("%s on %s: %s", code, d.Name(), why)
}
