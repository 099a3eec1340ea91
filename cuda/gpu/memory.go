//go:build cuda && cgo

package gpu

import (
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/gpu/driver"
)

// memory.go gives out the GPU's memory. Kept here: used bytes never exceed the budget, since a byte is counted before it is taken and until
// after it is given back; what queues are about to free is waited for before an allocation is refused.

// Alloc implements cuda.Device.
func (d *Device) Alloc(bytes int64, p cuda.Purpose) (cuda.Memory, error) {
	return d.alloc(bytes, p, d.settleFrees)
}

// alloc has settle free what is about to be free before it gives up.
func (d *Device) alloc(bytes int64, p cuda.Purpose, settle func() bool) (cuda.Memory, error) {
	err := d.ledger.Take(d.name, bytes, p)
	var over *cuda.BudgetError
	if errors.As(err, &over) && settle() {
		err = d.ledger.Take(d.name, bytes, p)
	}
	if err != nil {
		return cuda.Memory{}, err
	}
	if bytes == 0 {
		return cuda.NewMemory(nil, 0, p), nil
	}
	at, err := d.take(bytes)
	if err != nil {
		d.ledger.Give(bytes, p)
		return cuda.Memory{}, d.allocError(err, bytes, p)
	}
	return cuda.NewMemory(at, bytes, p), nil
}

// take is zeroed memory, of the driver's pool where there is one: that neither takes nor frees while it waits for the device.
func (d *Device) take(bytes int64) (at unsafe.Pointer, err error) {
	err = d.aside.do(func(s *driver.Stream, l *driver.List) error {
		if d.info.Pools {
			at, err = d.context.AllocAsync(s, bytes)
		} else {
			err = d.within(func() (err error) { at, err = d.context.Alloc(bytes); return err })
		}
		if err != nil {
			return err
		}
		l.Set(at, 0, bytes)
		return nil
	})
	return at, err
}

// give gives memory of take back, which nothing uses any more.
func (d *Device) give(at unsafe.Pointer) error {
	if !d.info.Pools {
		return d.within(func() error { return d.context.Free(at) })
	}
	return d.aside.do(func(_ *driver.Stream, l *driver.List) error {
		l.Free(at)
		return nil
	})
}

// write brings bytes to the device at once.
func (d *Device) write(to unsafe.Pointer, data []byte) error {
	return d.aside.do(func(_ *driver.Stream, l *driver.List) error {
		l.CopyIn(to, unsafe.Pointer(unsafe.SliceData(data)), int64(len(data)))
		return nil
	})
}

// aside is a stream for what is no queue's.
type aside struct {
	dev    *Device
	mu     sync.Mutex
	stream *driver.Stream
	end    *driver.Event
	list   driver.List
}

// do runs what f adds and waits for it.
func (a *aside) do(f func(*driver.Stream, *driver.List) error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.dev.lost.is(); err != nil {
		return err
	}
	a.list.Reset()
	if err := f(a.stream, &a.list); err != nil {
		return a.dev.found(err)
	}
	a.list.Record(a.end)
	if err := a.stream.Run(&a.list); err != nil {
		return a.dev.found(err)
	}
	return a.dev.found(a.end.Wait(a.dev.patience))
}

// allocError says of a GPU that is full, for instance of other programs' memory, what its budget would have said.
func (d *Device) allocError(err error, bytes int64, p cuda.Purpose) error {
	if !driver.OutOfMemory(err) {
		return fmt.Errorf("%s: %d bytes for %s: %w", d.name, bytes, p, err)
	}
	u := d.ledger.Usage()
	return &cuda.BudgetError{Device: d.name + ", which is full,", Asked: bytes, Used: u.Used, Budget: u.Budget, Purpose: p}
}

// Free implements cuda.Device.
func (d *Device) Free(m cuda.Memory) {
	if m.Pointer() != nil && d.give(m.Pointer()) == nil {
		d.ledger.Give(m.Bytes(), m.Purpose())
	}
}

// settleFrees has every queue with something to free come so far, and says whether there was any.
func (d *Device) settleFrees() (some bool) {
	for _, q := range d.queues.all() {
		some = q.settleFrees() || some
	}
	return some
}

// Usage implements cuda.Device.
func (d *Device) Usage() cuda.Usage { return d.ledger.Usage() }

// SetBudget implements cuda.Device. What the driver's pool keeps of freed memory goes back to it.
func (d *Device) SetBudget(bytes int64) {
	d.ledger.SetBudget(bytes)
	d.Trim()
}

// Trim gives what the pool keeps of freed memory back, to other processes.
func (d *Device) Trim() {
	if d.info.Pools {
		_ = d.context.TrimPool(0) // the budget holds all the same; others have less until the next time
	}
}

// Available is how much of the GPU's memory this process could take now, what the pool keeps for it among it, and how much there is. Any goroutine
// may ask, also while queues run. Of a device that is lost it is the error, found by this question if by none before.
func (d *Device) Available() (free, total int64, err error) {
	if err := d.lost.is(); err != nil {
		return 0, 0, err
	}
	free, total, err = d.context.MemInfo()
	if err != nil || !d.info.Pools {
		return free, total, d.found(err)
	}
	spare, err := d.context.SparePool()
	return free + spare, total, d.found(err)
}
