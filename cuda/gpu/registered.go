//go:build cuda && cgo

package gpu

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
	"unsafe"

	"github.com/inference-pio/inference-pio/cuda/clock"
)

// registered.go has weights copied to the device from where they lie. A copy from memory that is not registered with the driver goes through pinned memory:
// the host's memory is read, written and read again, by threads of the host and the link; of what is registered it is read once, by the link alone. Kept
// here: a copy lies within one piece, for the driver takes no other; and a piece is registered for as long as a copy from it is under way.

// Registered are the pieces of this process's memory that are registered, for all GPUs that were opened with it. The zero value has none.
type Registered struct {
	mu     sync.Mutex
	pieces []*piece // by address; none overlap
}

// piece is one call of the driver's.
type piece struct {
	memory []byte
	since  time.Duration // see counted

	copies int
	last   time.Duration // when the last that was waited for had ended
	free   chan struct{} // closed when no copy is under way, for whoever waits for that; nil: nobody does
	lost   bool          // some copy was given up: it may be under way still
}

func (p *piece) from() uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(p.memory))) }

func (p *piece) to() uintptr { return p.from() + uintptr(len(p.memory)) }

// after is the place of the first piece that ends behind an address.
func (r *Registered) after(at uintptr) int {
	i, _ := slices.BinarySearchFunc(r.pieces, at, func(p *piece, at uintptr) int {
		if p.to() <= at {
			return -1
		}
		return 1
	})
	return i
}

// take is the piece that memory begins in, which a copy is to read from now on, and how many bytes of the memory lie in it; or nil, and how many bytes lie
// in none.
func (r *Registered) take(memory []byte, now time.Duration) (*piece, int) {
	if r == nil {
		return nil, len(memory)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	at := uintptr(unsafe.Pointer(unsafe.SliceData(memory)))
	for _, p := range r.pieces[r.after(at):] {
		switch {
		case p.since > now: // which a time that is counted knows beforehand
		case p.from() > at:
			return nil, min(len(memory), int(p.from()-at))
		default:
			p.copies++
			return p, min(len(memory), int(p.to()-at))
		}
	}
	return nil, len(memory)
}

// give ends copies that have been waited for; or that nobody waits for any more, as their device is lost.
func (r *Registered) give(copied []*piece, now time.Duration, lost bool) {
	if len(copied) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range copied {
		p.copies--
		p.last, p.lost = max(p.last, now), p.lost || lost
		if p.copies == 0 && p.free != nil {
			close(p.free)
			p.free = nil
		}
	}
}

// has says whether all of memory is registered.
func (r *Registered) has(memory []byte, now time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := uintptr(unsafe.Pointer(unsafe.SliceData(memory)))
	end := at + uintptr(len(memory))
	for i := r.after(at); at < end; i++ {
		if i == len(r.pieces) || r.pieces[i].from() > at || r.pieces[i].since > now {
			return false
		}
		at = r.pieces[i].to()
	}
	return true
}

// Has says whether memory would be copied from where it lies, whole.
func (d *Device) Has(memory []byte) bool { return d.registered.has(memory, d.counted()) }

// counted is the host's time where that is counted, in which something may be registered that will be only later; 0 in this machine's own, where it is or is not.
func (d *Device) counted() time.Duration {
	if clock.IsReal(d.clock) {
		return 0
	}
	return d.clock.Now()
}

// Registers says whether the driver takes memory that this process only reads, as mapped files are.
func (d *Device) Registers() bool { return d.registered != nil && d.info.ReadOnly }

// Register has what lies in memory, which are whole pages, be copied from there: by all GPUs that were opened with the same Registered. The pages stay where
// they are, and in memory, until Unregister.
func (d *Device) Register(memory []byte) error {
	err := d.within(func() error { return d.context.Register(memory, true) })
	if err != nil {
		return fmt.Errorf("%s: %w", d.name, err)
	}
	r, p := d.registered, &piece{memory: memory, since: d.counted()}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pieces = slices.Insert(r.pieces, r.after(p.from()), p)
	return nil
}

// Unregister undoes a Register of the same memory, once the copies from there have ended; no other begins.
func (d *Device) Unregister(memory []byte) error {
	p, free := d.registered.remove(memory)
	if p == nil {
		return errors.New("memory is unregistered that is not registered")
	}
	if free != nil {
		<-free
	}
	if p.lost { // the process is to end
		return nil
	}
	if now := d.counted(); now < p.last {
		d.clock.Rest(p.last - now)
	}
	if err := d.within(func() error { return d.context.Unregister(memory) }); err != nil {
		return fmt.Errorf("%s: %w", d.name, err)
	}
	return nil
}

// remove takes a piece out; free is closed when no copy from it is under way, nil if none is.
func (r *Registered) remove(memory []byte) (p *piece, free chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := uintptr(unsafe.Pointer(unsafe.SliceData(memory)))
	i := r.after(at)
	if i == len(r.pieces) || r.pieces[i].from() != at || len(r.pieces[i].memory) != len(memory) {
		return nil, nil
	}
	p = r.pieces[i]
	r.pieces = slices.Delete(r.pieces, i, i+1)
	if p.copies > 0 {
		p.free = make(chan struct{})
	}
	return p, p.free
}

// fillWhere brings weights to the device piece by piece: from where they lie, or through pinned memory.
func (q *Queue) fillWhere(to unsafe.Pointer, from []byte) {
	for at := 0; at < len(from) && q.err == nil; {
		p, n := q.dev.registered.take(from[at:min(at+fillBytes, len(from))], q.dev.counted())
		if p != nil {
			q.copied = append(q.copied, p)
		}
		q.fillPiece(unsafe.Add(to, at), from[at:at+n], p != nil)
		at += n
	}
}
