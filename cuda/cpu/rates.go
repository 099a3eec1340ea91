package cpu

// #cgo noescape pio_read
// #cgo nocallback pio_read
// #include "kernels.h"
import "C"

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rates.go measures what the machine can do at best, with the pool's own threads: to plan with, and to compare kernels with.

const (
	readBytes  = 256 << 20 // beyond what a last-level cache keeps on a small machine
	readPasses = 6
)

// readBandwidth is the rate in bytes/s at which the pool's threads read memory, the best of some passes. It takes a few
// tenths of a second and 256 MiB; 0 if there is no such memory.
func (p *pool) readBandwidth() float64 {
	data, err := unix.Mmap(-1, 0, readBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return 0
	}
	defer unix.Munmap(data)
	_ = unix.Madvise(data, unix.MADV_HUGEPAGE) // as weights are, where they are copied
	for i := 0; i < len(data); i += 4096 {
		data[i] = 1 // untouched pages would all be one page of zeros
	}
	best := 0.0
	for range readPasses {
		start := time.Now()
		p.read(data)
		best = max(best, readBytes/time.Since(start).Seconds())
	}
	return best
}

// read loads every byte once, but for a rest of less than 256 KiB.
func (p *pool) read(data []byte) {
	C.pio_read(p.c, p.table, unsafe.Pointer(unsafe.SliceData(data)), C.size_t(len(data)))
}

// peakFLOPS is the rate of f32 operations the pool's threads reach in registers.
func (p *pool) peakFLOPS() float64 { return float64(C.pio_peak_flops(p.c, p.table)) }
