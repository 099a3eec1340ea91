package far

import (
	"cmp"
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
	mem, err := d.ledger.Map(d.name, bytes, p)
	for more := true; more && errors.As(err, new(*cuda.BudgetError)); {
		more = m.runFree(d) // if there was none, the last may have run since
		mem, err = d.ledger.Map(d.name, bytes, p)
	}
	if err != nil || bytes == 0 {
		return mem, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	at := uintptr(mem.Pointer())
	i, _ := m.find(at)
	m.pieces = slices.Insert(m.pieces, i, &piece{from: at, to: at + uintptr(bytes)})
	return mem, nil
}

// find is where the piece that begins at an address stands, or would stand.
func (m *lateMemory) find(at uintptr) (int, bool) {
	return slices.BinarySearchFunc(m.pieces, at, func(p *piece, at uintptr) int { return cmp.Compare(p.from, at) })
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
	i, found := m.find(from)
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
