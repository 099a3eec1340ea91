//go:build cuda && cgo

package gpu

import (
	"time"
	"unsafe"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/gpu/driver"
)

// rates.go measures what a planner wants to know.

const (
	copyBytes = 32 << 20 // from pinned memory: a millisecond of a fast link
	readBytes = 256 << 20
	rateRuns  = 3 // of which the best counts: others use the link, too
)

// measure times a copy from pinned memory, and one on the device, which reads and writes. A rate that cannot be measured is 0, which is
// unknown.
func (d *Device) measure() cuda.Rates {
	var r cuda.Rates
	if pinned, err := d.context.Pinned(copyBytes); err == nil {
		r.Copy = d.rate(copyBytes, func(l *driver.List, to unsafe.Pointer) {
			l.CopyIn(to, unsafe.Pointer(unsafe.SliceData(pinned)), copyBytes)
		})
		_ = d.context.FreePinned(pinned) // nothing uses it
	}
	bytes := min(int64(readBytes), d.info.Memory/64)
	r.Read = d.rate(2*bytes, func(l *driver.List, to unsafe.Pointer) { l.Copy(to, unsafe.Add(to, bytes), bytes) })
	return r
}

// rate is bytes per second of the best of some runs of what f adds, with so many bytes of the device.
func (d *Device) rate(bytes int64, f func(*driver.List, unsafe.Pointer)) float64 {
	mem, err := d.Alloc(bytes, cuda.ForScratch)
	if err != nil {
		return 0
	}
	defer d.Free(mem)
	best := 0.0
	for range rateRuns {
		began := time.Now()
		if d.aside.do(func(_ *driver.Stream, l *driver.List) error { f(l, mem.Pointer()); return nil }) != nil {
			return 0
		}
		best = max(best, float64(bytes)/time.Since(began).Seconds())
	}
	return best
}
