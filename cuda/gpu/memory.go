//go:build cuda && cgo

package gpu

import (
	"errors"
	"fmt"
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

// take is zeroed memory.
func (d *Device) take(bytes int64) (unsafe.Pointer, error) {
	at, err := d.context.Alloc(bytes)
	if err != nil {
		return nil, err
	}
	if err := d.context.Zero(at, bytes); err != nil {
		return nil, errors.Join(err, d.context.Free(at))
	}
	return at, nil
}

// allocError says of a GPU that is full, for instance of other programs' memory, what its budget would have said.
func (d *Device) allocError(err error, bytes int64, p cuda.Purpose) error {
	if !driver.IsOutOfMemory(err) {
		return fmt.Errorf("%s: %d bytes for %s: %w", d.name, bytes, p, err)
	}
	u := d.ledger.Usage()
	return &cuda.BudgetError{Device: d.name + ", which is full,", Asked: bytes, Used: u.Used, Budget: u.Budget, Purpose: p}
}

// Free implements cuda.Device.
func (d *Device) Free(m cuda.Memory) {
	if m.Pointer() != nil && d.context.Free(m.Pointer()) == nil {
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

// SetBudget implements cuda.Device.
func (d *Device) SetBudget(bytes int64) { d.ledger.SetBudget(bytes) }
