package cuda

import (
	"fmt"
	"sync"

	"github.com/inference-pio/inference-pio/cuda/cpu"
)

// cpudevice.go is the CPU as a device: memory of this process, the kernels of cuda/cpu on a pool of threads.

// CPU is the device every step has: it computes on any memory of this process.
type CPU struct {
	pool   *cpu.Pool
	ops    hostOps
	ledger Ledger
	rates  func() Rates
}

// NewCPU is a CPU device with a pool of threads, the caller's included; 0 is one for each core. The threads are started
// at the first op and sleep when there is nothing to do.
func NewCPU(threads int) *CPU {
	c := &CPU{pool: cpu.NewPool(threads)}
	c.ops = hostOps{pool: c.pool}
	c.rates = sync.OnceValue(func() Rates {
		read := c.pool.ReadBandwidth()
		return Rates{Copy: read, Read: read, FLOPS: c.pool.PeakFLOPS()}
	})
	return c
}

// CPUKernels names the arithmetic of the CPU device on this machine: "cpu/avx2". Equal names compute equal bits.
func CPUKernels() string { return cpu.Kernels() }

// Name is "cpu".
func (c *CPU) Name() string { return KindCPU }

// Kind is KindCPU.
func (c *CPU) Kind() string { return KindCPU }

// Alloc maps memory outside the Go heap.
func (c *CPU) Alloc(bytes int64, p Purpose) (Memory, error) {
	if err := c.ledger.Take(KindCPU, bytes, p); err != nil {
		return Memory{}, err
	}
	ptr, err := cpu.Map(bytes)
	if err != nil {
		c.ledger.Give(bytes, p)
		return Memory{}, err
	}
	return NewMemory(ptr, bytes, p), nil
}

// Free unmaps it.
func (c *CPU) Free(m Memory) {
	if m.ptr == nil {
		return
	}
	if cpu.Unmap(m.ptr, m.bytes) == nil {
		c.ledger.Give(m.bytes, m.purpose)
	}
}

// Take counts memory of this process that somebody else makes, such as decoded pictures. A *BudgetError says that the budget
// does not allow it.
func (c *CPU) Take(bytes int64, p Purpose) error { return c.ledger.Take(KindCPU, bytes, p) }

// Give counts as free what Take counted, after it is gone.
func (c *CPU) Give(bytes int64, p Purpose) { c.ledger.Give(bytes, p) }

// Usage is what Alloc gave and Take counted; mapped files are not counted.
func (c *CPU) Usage() Usage { return c.ledger.Usage() }

// SetBudget limits what Alloc gives and Take counts; 0 is no limit.
func (c *CPU) SetBudget(bytes int64) { c.ledger.SetBudget(bytes) }

// CopyIn copies within the memory of this process.
func (c *CPU) CopyIn(dst, src Tensor) error { return copyHost(dst, src) }

// CopyOut copies within the memory of this process.
func (c *CPU) CopyOut(dst, src Tensor) error { return copyHost(dst, src) }

// CopyWithin copies within the memory of this process.
func (c *CPU) CopyWithin(dst, src Tensor) error { return copyHost(dst, src) }

// Ops is the kernel table chosen at start.
func (c *CPU) Ops() Ops { return &c.ops }

// Rates are measured at the first call, which takes some tenths of a second.
func (c *CPU) Rates() Rates { return c.rates() }

// Close ends the threads. No op may run.
func (c *CPU) Close() error { return c.pool.Close() }

func copyHost(dst, src Tensor) error {
	if dst.dev != nil || src.dev != nil || dst.dtype != src.dtype || dst.Len() != src.Len() {
		return fmt.Errorf("copy within the cpu's memory: from %v to %v", src, dst)
	}
	copy(dst.Raw(), src.Raw())
	return nil
}
