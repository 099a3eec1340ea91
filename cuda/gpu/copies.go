//go:build cuda && cgo

package gpu

import (
	"fmt"
	"sync"
	"unsafe"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/gpu/driver"
)

// copies.go brings bytes to the device and back, all through pinned memory: only from there does a copy run beside the host and into a graph. Weights that are
// registered where they lie need none: see registered.go.

// stagingBytes is the pinned memory of a queue for either direction: more than a decoding step brings and takes, and less than a prompt's
// logits, which come in pieces.
const stagingBytes = 4 << 20

// staging is pinned memory that is given out from its beginning, and again when all that used it is done: equal steps find equal addresses.
type staging struct {
	dev    *Device
	memory []byte
	used   int
}

const stagingAlign = 64

// take is n bytes, nil if so many are not free.
func (s *staging) take(n int) ([]byte, error) {
	if s.memory == nil {
		var err error
		if s.memory, err = s.dev.pin(stagingBytes); err != nil {
			return nil, err
		}
	}
	from := (s.used + stagingAlign - 1) &^ (stagingAlign - 1)
	if n > len(s.memory)-from {
		return nil, nil
	}
	s.used = from + n
	return s.memory[from:s.used:s.used], nil
}

func (s *staging) close() {
	if s.memory != nil {
		s.dev.unpin(s.memory)
		s.memory = nil
	}
}

// CopyIn implements cuda.Queue. The source is read before it returns.
func (q *Queue) CopyIn(dst, src cuda.Tensor) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case !q.fits(dst, src, dst, src):
	case dst.Bytes() >= fillBytes && q.added == q.done: // nothing before it that it could be one graph with
		q.send()
		q.fillThrough(dst.Pointer(), bytesOf(src)) // which has been read when that returns
		q.added++
	default:
		q.keep(q.pieces(&q.in, int(dst.Bytes()), func(at, n int, pinned []byte) {
			q.dev.clock.Copy(pinned, unsafe.Slice((*byte)(unsafe.Add(src.Pointer(), at)), n))
			to := unsafe.Add(dst.Pointer(), at)
			if c := (copied{to, pinned, false}); !q.heard(c, nil) {
				q.keep(q.bringIn(to, pinned))
				q.added++
				q.write(c, nil, 1)
			}
		}))
	}
}

// A device's copies in one direction take turns, whatever streams they are in. So what a step is about to compute with would wait for the piece of an
// expert that is being copied: a kernel reads it from pinned memory instead, beside the copy. What is shorter goes along with the commands, and
// what is longer is worth a turn.
const (
	readLeast = 64 << 10
	readMost  = 256 << 10
)

// bringIn adds to the list what brings pinned memory to the device.
func (q *Queue) bringIn(to unsafe.Pointer, pinned []byte) error {
	from, n := unsafe.Pointer(unsafe.SliceData(pinned)), len(pinned)
	if n <= readLeast || n > readMost {
		q.list.CopyIn(to, from, int64(n))
		return nil
	}
	return q.read(to, from, n)
}

// read has a kernel copy from pinned memory, which has the same address there.
func (q *Queue) read(to, from unsafe.Pointer, n int) error {
	l, op := q.plan.CopyBytes(to, from, n)
	fn, err := q.dev.kernels.find(l.Kernel)
	if err != nil {
		return fmt.Errorf("a copy to %s: %w", q.dev.name, err)
	}
	q.op = op
	q.list.Launch(fn, l.Grid, l.Threads, l.Shared, unsafe.Pointer(&q.op), unsafe.Sizeof(q.op))
	return nil
}

// CopyOut implements cuda.Queue.
func (q *Queue) CopyOut(dst, src cuda.Tensor) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.fits(dst, src, src, dst) {
		q.keep(q.pieces(&q.out, int(dst.Bytes()), func(at, n int, pinned []byte) {
			from := unsafe.Add(src.Pointer(), at)
			if c := (copied{from, pinned, true}); !q.heard(c, nil) {
				q.list.CopyOut(unsafe.Pointer(unsafe.SliceData(pinned)), from, int64(n))
				q.added++
				q.write(c, nil, 1)
			}
			q.landings = append(q.landings, landing{q.added, unsafe.Slice((*byte)(unsafe.Add(dst.Pointer(), at)), n), pinned})
		}))
	}
}

// pieces makes a copy in as many pieces as pinned memory demands: one, if there is room.
func (q *Queue) pieces(s *staging, bytes int, copy func(at, n int, pinned []byte)) error {
	for at := 0; at < bytes; {
		n := min(bytes-at, stagingBytes)
		pinned, err := s.take(n)
		if err != nil {
			return fmt.Errorf("%s: no pinned memory for copies: %w", q.dev.name, err)
		}
		if pinned == nil {
			if q.finish(); q.err != nil {
				return nil
			}
			continue
		}
		copy(at, n, pinned)
		at += n
	}
	return nil
}

func (q *Queue) fits(dst, src, here, there cuda.Tensor) bool {
	if q.err == nil && (here.Device() != q.dev || there.Device() != nil || dst.Bytes() != src.Bytes()) {
		q.err = fmt.Errorf("%s: a copy from %v to %v is not one between this device and the cpu", q.dev.name, src, dst)
	}
	return q.err == nil
}

// fillers are those of a device that no queue has now. To pin memory takes longer than to copy as much, and a module that comes has a queue
// of its own, so that what one is done with the next takes over.
type fillers struct {
	dev  *Device
	mu   sync.Mutex
	idle []*filler
}

func (f *fillers) take() *filler {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.idle)
	if n == 0 {
		return &filler{dev: f.dev}
	}
	last := f.idle[n-1]
	f.idle = f.idle[:n-1]
	return last
}

// give takes back a filler of whose copies none is under way.
func (f *fillers) give(one *filler) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range one.ring {
		one.ring[i].busy = false
	}
	f.idle = append(f.idle, one)
}

func (f *fillers) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, one := range f.idle {
		one.close()
	}
	f.idle = nil
}

// filler has some pieces of pinned memory: while the driver copies one, the next is filled from the file. They are small, since the link waits
// for the first of a module. So many copies are under way at most, also of what is registered: who has a short one to make waits for these, for a link's
// copies take turns.
type filler struct {
	dev  *Device
	ring [4]struct {
		memory []byte
		copied *driver.Event
		busy   bool
	}
	next int
}

const fillBytes = 2 << 20

// Fill implements cuda.Queue.
func (q *Queue) Fill(dst, src cuda.Matrix) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err != nil {
		return
	}
	if dst.Device() != q.dev || src.Device() != nil || dst.Rows != src.Rows || dst.Cols != src.Cols || !dst.Layout.Equal(src.Layout) {
		q.err = fmt.Errorf("%s: %v cannot be filled from %v", q.dev.name, dst, src)
		return
	}
	q.send()
	for i := range dst.Layout.Planes {
		q.fillWhere(dst.Plane(i).Pointer(), bytesOf(src.Plane(i)))
		q.added++
	}
}

func bytesOf(t cuda.Tensor) []byte { return unsafe.Slice((*byte)(t.Pointer()), t.Bytes()) }

// fillThrough copies through pinned memory piece by piece, one while the next is read.
func (q *Queue) fillThrough(to unsafe.Pointer, from []byte) {
	for at := 0; at < len(from) && q.err == nil; at += fillBytes {
		q.fillPiece(unsafe.Add(to, at), from[at:min(at+fillBytes, len(from))], false)
	}
}

func (q *Queue) fillPiece(to unsafe.Pointer, from []byte, registered bool) {
	if q.filler == nil {
		q.filler = q.dev.fillers.take()
	}
	q.keep(q.filler.copy(q.stream, to, from, registered))
}

// copy copies a piece, through pinned memory unless it is registered.
func (f *filler) copy(s *driver.Stream, to unsafe.Pointer, from []byte, registered bool) (err error) {
	h := &f.ring[f.next]
	f.next = (f.next + 1) % len(f.ring)
	if h.copied == nil {
		if h.copied, err = f.dev.context.NewEvent(false); err != nil {
			return err
		}
	}
	if h.busy {
		if err := h.copied.Wait(f.dev.patience); err != nil {
			return err
		}
	}
	if !registered {
		if h.memory == nil {
			if h.memory, err = f.dev.pin(fillBytes); err != nil {
				return err
			}
		}
		from = h.memory[:f.dev.clock.Copy(h.memory, from)]
	}
	var list driver.List
	list.CopyIn(to, unsafe.Pointer(unsafe.SliceData(from)), int64(len(from)))
	list.Record(h.copied)
	h.busy = true
	return s.Run(&list)
}

func (f *filler) close() {
	for i := range f.ring {
		h := &f.ring[i]
		if h.memory != nil {
			f.dev.unpin(h.memory)
		}
		if h.copied != nil {
			_ = h.copied.Close()
		}
		h.memory, h.copied, h.busy = nil, nil, false
	}
}
