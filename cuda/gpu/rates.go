//go:build cuda && cgo

package gpu

import (
	"strings"
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

// Software says whether the device is one of the software driver (cuda/kernels/sim).
func (d *Device) Software() bool { return strings.HasPrefix(d.info.Name, "software device") }

// measure times a copy from pinned memory, and one on the device, which reads and writes. A rate that cannot be measured is 0, which is
// unknown.
func (d *Device) measure() cuda.Rates {
	var r cuda.Rates
	if pinned, err := d.pin(copyBytes); err == nil {
		r.Copy = d.rate(copyBytes, func(l *driver.List, to unsafe.Pointer) {
			l.CopyIn(to, unsafe.Pointer(unsafe.SliceData(pinned)), copyBytes)
		})
		d.unpin(pinned)
	}
	bytes := min(int64(readBytes), d.info.Memory/64)
	r.Read = d.rate(2*bytes, func(l *driver.List, to unsafe.Pointer) { l.Copy(to, unsafe.Add(to, bytes), bytes) })
	return r
}

// rate is bytes per second of the best of some runs of what f adds, with so many bytes of the device, by the device's own clock: what else this
// machine does is not in it.
func (d *Device) rate(bytes int64, f func(*driver.List, unsafe.Pointer)) float64 {
	mem, err := d.Alloc(bytes, cuda.ForScratch)
	if err != nil {
		return 0
	}
	defer d.Free(mem)
	var ends [2]*driver.Event
	for i := range ends {
		if ends[i], err = d.context.NewEvent(true); err != nil {
			return 0
		}
		defer ends[i].Close()
	}
	best := 0.0
	for range rateRuns {
		took := time.Duration(0)
		err := d.aside.do(func(_ *driver.Stream, l *driver.List) error {
			l.Record(ends[0])
			f(l, mem.Pointer())
			l.Record(ends[1])
			return nil
		})
		if err == nil {
			took, err = ends[0].Elapsed(ends[1])
		}
		if err != nil || took <= 0 {
			return 0
		}
		best = max(best, float64(bytes)/took.Seconds())
	}
	return best
}
