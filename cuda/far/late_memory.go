package far

import (
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/inference-pio/inference-pio/cuda"
)

// late_memory.go holds the memory of a late device. An address is given once: what was freed stays known, cannot be read, and is never mistaken for
// what came after it.

// lateMemory is one device's.
type lateMemory struct {
	*Machine
	pieces  []*piece // by address
	history history
}

// piece is memory that Alloc gave.
type piece struct {
	from, to uintptr
	freed    string // by what; "" while it is not
}

func (m *lateMemory) alloc(d *Device, bytes int64, p cuda.Purpose) (cuda.Memory, error) {
	for {
		err := d.ledger.Take(d.name, bytes, p)
		if err == nil {
			break
		}
		if budget := (*cuda.BudgetError)(nil); !errors.As(err, &budget) {
			return cuda.Memory{}, err
		}
		if !m.runFree(d) { // the last may have run since
			if err = d.ledger.Take(d.name, bytes, p); err == nil {
				break
			}
			return cuda.Memory{}, err
		}
	}
	if bytes == 0 {
		return cuda.NewMemory(nil, 0, p), nil
	}
	at, err := unix.MmapPtr(-1, 0, nil, uintptr(bytes), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		d.ledger.Give(bytes, p)
		return cuda.Memory{}, fmt.Errorf("%s: mapping %d bytes: %w", d.name, bytes, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	one := &piece{from: uintptr(at), to: uintptr(at) + uintptr(bytes)}
	i, _ := slices.BinarySearchFunc(m.pieces, one.from, func(p *piece, from uintptr) int { return compare(p.from, from) })
	m.pieces = slices.Insert(m.pieces, i, one)
	return cuda.NewMemory(at, bytes, p), nil
}

func compare(a, b uintptr) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// runFree runs a queue of the device up to a Free in it; false if there is none.
func (m *lateMemory) runFree(d *Device) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, q := range m.queues {
		if q == nil || q.dev != d {
			continue
		}
		for _, e := range q.entries {
			if e.kind == freeing {
				m.need(q, func() bool { return e.done })
				return true
			}
		}
	}
	return false
}

// at is the piece that begins at or before an address; nil if there is none.
func (m *lateMemory) at(from uintptr) *piece {
	i, found := slices.BinarySearchFunc(m.pieces, from, func(p *piece, from uintptr) int { return compare(p.from, from) })
	switch {
	case found:
		return m.pieces[i]
	case i > 0:
		return m.pieces[i-1]
	}
	return nil
}

// wrong says why bytes cannot be used.
func (m *lateMemory) wrong(s *span) string {
	p := m.at(s.from)
	switch {
	case p == nil || s.to > p.to:
		return "which is outside what the device gave"
	case p.freed != "":
		return "used after it was freed by " + p.freed
	}
	return ""
}

// free is Device.Free: nothing may use the memory, and the CPU must know that.
func (m *lateMemory) free(d *Device, mem cuda.Memory) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := memorySpan(mem, d)
	if e, how := m.inUse(&s); e != nil {
		e.blame(m.accuse(fmt.Errorf("%v: %v %s %v, used after it was freed by %s: it was not waited for", e.q, e, how.verb(), how.what, d.name)))
	}
	m.release(d, mem, d.name, nil)
}

// release gives memory back. Who runs at this instant and uses it has been accused and is left in peace.
func (m *lateMemory) release(d *Device, mem cuda.Memory, by string, but *entry) {
	p := m.at(uintptr(mem.Pointer()))
	if p == nil || p.from != uintptr(mem.Pointer()) || p.freed != "" {
		m.accuse(fmt.Errorf("%s: freed %v that the device did not give or that were freed before", by, described{mem}))
		return
	}
	p.freed = by
	s := memorySpan(mem, d)
	if !m.atWork(&s, but) {
		bytes := unsafe.Slice((*byte)(mem.Pointer()), mem.Bytes())
		_ = unix.Madvise(bytes, unix.MADV_DONTNEED)
		_ = unix.Mprotect(bytes, unix.PROT_NONE)
	}
	d.ledger.Give(mem.Bytes(), mem.Purpose())
}
