//go:build cuda && cgo

package gpu

import (
	"slices"
	"sync"
	"unsafe"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/gpu/driver"
)

// pins.go lists memory of the process that the driver was shown: copies go straight to it and from it, with no buffer between, and are not
// waited for.

// pins are those of one device, by address.
type pins struct {
	mu   sync.RWMutex
	list []pin
}

type pin struct {
	from, to uintptr
	own      bool // registered for this device
}

// Pin shows the device memory of this process, until Unpin: whole pages, which stay in memory.
func (d *Device) Pin(m cuda.Memory) error {
	if m.Bytes() == 0 {
		return nil
	}
	err := d.context.Register(bytesOf(m), false)
	if err != nil && !driver.Registered(err) { // for another GPU, which counts for all
		return err
	}
	from := uintptr(m.Pointer())
	d.pins.mu.Lock()
	defer d.pins.mu.Unlock()
	at, _ := slices.BinarySearchFunc(d.pins.list, from, byAddress)
	d.pins.list = slices.Insert(d.pins.list, at, pin{from, from + uintptr(m.Bytes()), err == nil})
	return nil
}

// Unpin undoes Pin. No copy uses the memory any more.
func (d *Device) Unpin(m cuda.Memory) {
	d.pins.mu.Lock()
	at, ok := slices.BinarySearchFunc(d.pins.list, uintptr(m.Pointer()), byAddress)
	own := ok && d.pins.list[at].own
	if ok {
		d.pins.list = slices.Delete(d.pins.list, at, at+1)
	}
	d.pins.mu.Unlock()
	if own {
		_ = d.context.Unregister(bytesOf(m)) // of a device that is lost; there is nobody to tell
	}
}

func byAddress(p pin, at uintptr) int {
	switch {
	case p.from < at:
		return -1
	case p.from > at:
		return 1
	}
	return 0
}

func bytesOf(m cuda.Memory) []byte { return unsafe.Slice((*byte)(m.Pointer()), m.Bytes()) }

// has says whether a tensor lies in what was shown.
func (p *pins) has(t cuda.Tensor) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if len(p.list) == 0 {
		return false
	}
	from := uintptr(t.Pointer())
	at, found := slices.BinarySearchFunc(p.list, from, byAddress)
	if !found {
		at--
	}
	return at >= 0 && from+uintptr(t.Bytes()) <= p.list[at].to
}
