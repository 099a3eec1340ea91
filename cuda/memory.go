package cuda

import (
	"fmt"
	"os"
	"sync"
	"unsafe"
)

// memory.go counts a device's bytes. Kept here: used bytes never exceed the budget by an Alloc, and Usage is exact at
// every instant, because a byte is counted before it is mapped and until after it is unmapped.

// Purpose says what memory is for.
type Purpose uint8

// The purposes that are counted apart.
const (
	ForWeights  Purpose = iota
	ForState            // kv caches and recurrent states
	ForScratch          // activations
	ForPictures         // while they are decoded, and what was seen of them
	purposes
)

func (p Purpose) String() string {
	switch p {
	case ForWeights:
		return "weights"
	case ForState:
		return "state"
	case ForScratch:
		return "scratch"
	case ForPictures:
		return "pictures"
	}
	return "no purpose"
}

// Memory is a piece of a device's memory, as Alloc gave it. The zero Memory is none; freeing it does nothing.
type Memory struct {
	ptr     unsafe.Pointer
	bytes   int64
	purpose Purpose
}

// NewMemory is for those who implement a device: the piece at an address.
func NewMemory(p unsafe.Pointer, bytes int64, purpose Purpose) Memory {
	return Memory{ptr: p, bytes: bytes, purpose: purpose}
}

// Pointer is the address on the device.
func (m Memory) Pointer() unsafe.Pointer { return m.ptr }

// Bytes is the size asked for.
func (m Memory) Bytes() int64 { return m.bytes }

// Purpose is what it was asked for.
func (m Memory) Purpose() Purpose { return m.purpose }

// Usage is a device's memory at one instant, in bytes.
type Usage struct {
	Budget int64 // 0: no limit
	Used   int64
	Peak   int64 // the most that was ever used
	For    [purposes]int64
}

// Resident is the memory that this process has at this instant, mapped files as far as they were read among it; 0 if the system
// does not tell.
func Resident() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		return 0
	}
	return resident * int64(os.Getpagesize())
}

// BudgetError says that a device's budget does not allow an allocation.
type BudgetError struct {
	Device              string
	Asked, Used, Budget int64
	Purpose             Purpose
}

func (e *BudgetError) Error() string {
	return fmt.Sprintf("%s: %d bytes for %s exceed the budget: %d of %d are used", e.Device, e.Asked, e.Purpose, e.Used, e.Budget)
}

// Ledger counts the memory of one device. The zero Ledger has no limit.
type Ledger struct {
	mu sync.Mutex
	u  Usage
}

// Take counts bytes as used, or says why the budget does not allow it. Call it before the memory is made.
func (l *Ledger) Take(device string, bytes int64, p Purpose) error {
	if bytes < 0 || p >= purposes {
		return fmt.Errorf("%s: an allocation of %d bytes for %s makes no sense", device, bytes, p)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.u.Budget > 0 && bytes > l.u.Budget-l.u.Used {
		return &BudgetError{Device: device, Asked: bytes, Used: l.u.Used, Budget: l.u.Budget, Purpose: p}
	}
	l.u.Used += bytes
	l.u.For[p] += bytes
	l.u.Peak = max(l.u.Peak, l.u.Used)
	return nil
}

// Give counts bytes as free again. Call it after the memory is gone.
func (l *Ledger) Give(bytes int64, p Purpose) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.u.Used -= bytes
	l.u.For[p] -= bytes
}

// Map counts bytes and takes them from the system: Alloc of a device whose memory is this process's.
func (l *Ledger) Map(device string, bytes int64, p Purpose) (Memory, error) {
	if err := l.Take(device, bytes, p); err != nil {
		return Memory{}, err
	}
	ptr, err := mapMemory(bytes, p == ForWeights)
	if err != nil {
		l.Give(bytes, p)
		return Memory{}, fmt.Errorf("%s: %w", device, err)
	}
	return NewMemory(ptr, bytes, p), nil
}

// Unmap gives them back.
func (l *Ledger) Unmap(m Memory) {
	if m.ptr != nil && unmapMemory(m.ptr, m.bytes) == nil {
		l.Give(m.bytes, m.purpose)
	}
}

// SetBudget changes the limit; 0 removes it.
func (l *Ledger) SetBudget(bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.u.Budget = max(bytes, 0)
}

// Usage is the count now.
func (l *Ledger) Usage() Usage {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.u
}
