package cpu

import (
	"fmt"
	"os"
	"sync"

	"github.com/inference-pio/inference-pio/cuda"
)

// device.go is the CPU as a device: memory of this process, work on a pool of threads.

// Device is the device every step has: it computes on any memory of this process, and on a checkpoint's mapped file as it is.
type Device struct {
	pool   *pool
	packed func(cuda.Matrix) *cuda.Layout
	ledger cuda.Ledger
	rates  func() cuda.Rates
}

// The numerics that kernels have. Exact ones compute in f32, fast ones may round activations to 16 or 8 bits; what may be kept in fewer
// bits besides is for who makes the tensors.
const (
	Exact = "exact"
	Fast  = "fast"
)

// The environment variables that stand in for Options which are left out, for tests and for measuring.
const (
	EnvKernels = "PIO_CPU"        // Table, if this machine has it
	EnvPacked  = "PIO_CPU_PACKED" // the name of a layout of Layouts that matrices in bf16 are packed into
)

// Options are what a device computes with.
type Options struct {
	Threads  int    // the caller's included; 0 is one for each core that the process may use. They start at the first op.
	Table    string // of kernels, one of Tables; "" is the best
	Numerics string // Exact or Fast; "" is Exact
	// Packed is the form in which the device wants a matrix that a file has; nil takes every one as it is.
	Packed func(m cuda.Matrix) *cuda.Layout
}

// New is a device with a number of threads and the best exact kernels.
func New(threads int) *Device {
	table, _ := choose(os.Getenv(EnvKernels), Exact) // every machine has some
	return newDevice(Options{Threads: threads}, newPool(threads, table))
}

// Open is a device with options. An error says which kernels this machine does not have.
func Open(o Options) (*Device, error) {
	if o.Numerics == "" {
		o.Numerics = Exact
	}
	name := o.Table
	if name == "" {
		name = os.Getenv(EnvKernels)
	}
	table, err := choose(name, o.Numerics)
	if err != nil && (table == nil || o.Table != "") {
		return nil, err
	}
	return newDevice(o, newPool(o.Threads, table)), nil
}

func newDevice(o Options, p *pool) *Device {
	d := &Device{pool: p, packed: o.Packed}
	if d.packed == nil {
		d.packed = packedByName(os.Getenv(EnvPacked))
	}
	d.rates = sync.OnceValue(func() cuda.Rates {
		read := p.readBandwidth()
		return cuda.Rates{Copy: read, Read: read, FLOPS: p.peakFLOPS()}
	})
	return d
}

// Layouts are the packed forms that kernels compute with. The one there is is bf16 in the tiles of AMX, which are then loaded where they lie; kernels
// that multiply in f32 take it too, but more slowly than files have it. No device wants it unasked, as it is a second copy: docs/bench.md.
func Layouts() []*cuda.Layout {
	return []*cuda.Layout{
		{Name: "bf16x16", Planes: []cuda.Plane{{Rows: 16, Cols: 32, Bytes: 1024}}},
	}
}

// packedByName packs matrices in bf16, but for vectors and the narrow ones of convolutions; nil if there is no such form.
func packedByName(name string) func(cuda.Matrix) *cuda.Layout {
	for _, l := range Layouts() {
		if l.Name == name {
			return func(m cuda.Matrix) *cuda.Layout {
				if m.Rows > 1 && m.Cols >= 16 && m.Layout.Equal(cuda.Plain(cuda.BF16)) {
					return l
				}
				return m.Layout
			}
		}
	}
	return nil
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

// Layout is the file's, which needs no copy, unless the device was opened to pack.
func (d *Device) Layout(m cuda.Matrix) *cuda.Layout {
	if d.packed == nil {
		return m.Layout
	}
	return d.packed(m)
}

// Use has so many threads take part in ops from the next on, at least one and at most as many as the device was opened with; 0 is all
// of those. It may be called at any time, also after Close; no bit of a result depends on it. No thread is made or ended by it.
func (d *Device) Use(threads int) {
	if threads <= 0 {
		threads = d.pool.threads
	}
	d.pool.use(threads)
}

// Threads is how many take part.
func (d *Device) Threads() int { return int(d.pool.using.Load()) }

// NewQueue is a queue that runs everything at once, on the caller's goroutine and the pool's threads.
func (d *Device) NewQueue() cuda.Queue { return NewQueue(d, d, nil) }

// Rates are measured at the first call, which takes some tenths of a second.
func (d *Device) Rates() cuda.Rates { return d.rates() }

// Close ends the threads. No op may run.
func (d *Device) Close() error { return d.pool.Close() }

// opError says what went wrong in an op.
func opError(d cuda.Device, code cuda.OpCode, why string) error {
	return fmt.Errorf("%s on %s: %s", code, d.Name(), why)
}
