package cpu

import "runtime"

// Pool is the threads that kernels run on.
type Pool struct{ threads int }

// NewPool is a pool of threads, the caller's included; 0 is one for each core.
func NewPool(threads int) *Pool {
	if threads <= 0 {
		threads = runtime.NumCPU()
	}
	return &Pool{threads: threads}
}

// Close ends the threads.
func (p *Pool) Close() error { return nil }

// Kernels names the kernel table.
func Kernels() string { return "cpu/portable" }

// ReadBandwidth is bytes/s.
func (p *Pool) ReadBandwidth() float64 { return 10e9 }

// PeakFLOPS is f32 operations/s.
func (p *Pool) PeakFLOPS() float64 { return 50e9 }
