package serve

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/clock"
	"github.com/inference-pio/inference-pio/cuda/serve/heat"
)

// place.go holds where one module lies: the device it is computed on, the copy of its weights there, its states. It moves
// bytes and decides nothing; residency.go decides. A module has at most one copy of its weights besides the mapped file.

// place is one module's.
type place struct {
	m      *cuda.Module
	index  int  // in the order of the forward pass, which has no experts
	expert bool // part of a mixture: never entered, computed where it is settled
	dev    int  // computed here, and its states lie here
	fixed  bool // an operator's order put it here; plans leave it alone

	streamed bool // the plan has no room for its weights to stay on dev

	weights  cuda.Memory // the copy on dev; on the CPU, which can compute from the mapped file, only a packed one
	transfer *transfer   // filling weights; nil when they are complete or none
	states   []cuda.Memory

	seconds float64 // one pass on dev, an expert's in its layer's: an exponential mean

	inCache bool      // an expert that a device has, or that is on its way there
	at      int       // in the list of its layer
	pass    uint64    // in which the expert was last needed
	heat    heat.Heat // how likely it is to be needed again
}

// hasWeights says that the module can be computed on its device, perhaps after waiting for a transfer.
func (p *place) hasWeights() bool { return p.dev == 0 || p.weights.Bytes() > 0 }

// arrived says that a copy of the weights on its device is complete.
func (p *place) arrived() bool {
	return p.weights.Bytes() > 0 && (p.transfer == nil || p.transfer.Happened() && !p.transfer.failed())
}

// transfer is a copy of a module's weights under way. It is the event that whoever computes with them waits for.
type transfer struct {
	to       []cuda.Matrix // in the order of the module's weights
	queue    cuda.Queue    // of its own: where a device runs its queues side by side, steps go on meanwhile
	copying  atomic.Bool
	recalled atomic.Bool // it need not begin any more
	before   cuda.Event  // the copy that had the link before it; nil: none
	sent     cuda.Event  // the device has been given all of it
	running  cuda.Event

	began time.Duration // to be sent
	ended time.Duration // once it has happened without an error
	bytes int64         // and how many there are, and how long they took
	took  time.Duration // from when it had the link for itself
}

// Happened implements cuda.Event.
func (t *transfer) Happened() bool { return t.running.Happened() }

// Wait implements cuda.Event.
func (t *transfer) Wait() error { return t.running.Wait() }

// failed says that it has ended, and without weights.
func (t *transfer) failed() bool { return t.Happened() && t.Wait() != nil }

// copied is the form that a device wants a copy of a weight in; nil if it computes with what the file has.
func copied(d cuda.Device, w *cuda.Weight) *cuda.Layout {
	l := d.Layout(w.File())
	if cuda.OnHost(d) && l.Equal(w.File().Layout) {
		return nil
	}
	return l
}

// weightBytes is what copies of the module's weights take on a device, in the layouts that it wants.
func weightBytes(d cuda.Device, m *cuda.Module) (n int64) {
	for _, w := range m.Weights {
		if l := copied(d, w); l != nil {
			n += l.DeviceBytes(w.File().Rows, w.File().Cols)
		}
	}
	return n
}

// layWeights views memory on d as the weights, in the order of m.Weights; no matrix where none is needed.
func layWeights(d cuda.Device, m *cuda.Module, mem cuda.Memory) ([]cuda.Matrix, error) {
	matrices, offset := make([]cuda.Matrix, len(m.Weights)), int64(0)
	for i, w := range m.Weights {
		layout, rows, cols := copied(d, w), w.File().Rows, w.File().Cols
		if layout == nil {
			continue
		}
		var err error
		if matrices[i], err = layout.Lay(d, mem, offset, rows, cols); err != nil {
			return nil, fmt.Errorf("%s: %w", w.Name, err)
		}
		offset += layout.DeviceBytes(rows, cols)
	}
	return matrices, nil
}

// startTransfer begins to copy the weights to the place's device, once another transfer is done, or where experts come nearly done. The caller has made room.
func (p *place) startTransfer(c clock.Clock, d cuda.Device, after *transfer) error {
	mem, err := d.Alloc(weightBytes(d, p.m), cuda.ForWeights)
	if err != nil {
		return err
	}
	return p.startInto(mem, c, d, after)
}

// startInto is that into memory that is the place's from now on.
func (p *place) startInto(mem cuda.Memory, c clock.Clock, d cuda.Device, after *transfer) error {
	matrices, err := layWeights(d, p.m, mem)
	if err != nil {
		d.Free(mem)
		return err
	}
	t := &transfer{to: matrices}
	if after != nil {
		t.before = after.running
	}
	t.sent = c.Beside(func() error { return t.send(c, d, p.m, after) })
	t.running = c.Beside(func() error { return t.arrive(c, d, p.m, after) })
	p.weights, p.transfer = mem, t
	if !cuda.OnHost(d) { // where steps wait for the transfer
		p.putWeights(matrices)
	}
	return nil
}

func (p *place) putWeights(matrices []cuda.Matrix) {
	for i, w := range p.m.Weights {
		w.Put(p.dev, matrices[i])
	}
}

var errRecalled = errors.New("the copy was given up")

// send gives the copy to the device. An expert's beginning is brought into pinned memory while the end of the one before it is on the link, which would be
// idle for a fifth of the time else. That takes pinned memory twice, which is not worth while for layers: they come seldom, and are larger.
func (t *transfer) send(c clock.Clock, d cuda.Device, m *cuda.Module, after *transfer) error {
	switch {
	case after == nil:
	case isExpert(m):
		if _ = after.sent.Wait(); after.before != nil {
			_ = after.before.Wait() // two have the link, and no third
		}
	default:
		_ = after.Wait() // it has the link
	}
	if t.recalled.Load() {
		return errRecalled
	}
	t.copying.Store(true)
	t.began = c.Now()
	t.queue = d.NewQueue()
	for i, w := range m.Weights {
		if !t.to[i].IsZero() {
			t.queue.Fill(t.to[i], w.File())
		}
	}
	return nil
}

// arrive waits until the copy is there.
func (t *transfer) arrive(c clock.Clock, d cuda.Device, m *cuda.Module, after *transfer) error {
	if err := t.sent.Wait(); err != nil {
		return err
	}
	defer t.copying.Store(false)
	defer t.queue.Close()
	if err := t.queue.Sync(); err != nil {
		return fmt.Errorf("%s to %s: %w", m.ID, d.Name(), err)
	}
	t.ended = c.Now()
	if t.bytes = weightBytes(d, m); after != nil && after.Wait() == nil {
		t.began = max(t.began, after.ended)
	}
	t.took = t.ended - t.began
	return nil
}

// await waits for a transfer under way. If it failed the place has no weights.
func (p *place) await(q cuda.Queue) error {
	if p.transfer == nil {
		return nil
	}
	t, err := p.transfer, p.transfer.Wait()
	p.transfer = nil
	switch {
	case err != nil:
		p.dropWeights(q)
	case p.dev == 0: // steps compute from the file until the copy is whole
		p.putWeights(t.to)
	}
	return err
}

// dropWeights frees the copy once what q has to do is done. Nothing is written back: weights never change.
func (p *place) dropWeights(q cuda.Queue) {
	if p.transfer != nil {
		_ = p.transfer.Wait()
		p.transfer = nil
	}
	for _, w := range p.m.Weights {
		w.Drop(p.dev)
	}
	q.Free(p.weights)
	p.weights = cuda.Memory{}
}

// end is one end of a move: a device and the queue of the steps on it.
type end struct {
	dev   cuda.Device
	queue cuda.Queue
}

// states are copies of a module's states on another device, to be filled.
type states struct {
	memory  []cuda.Memory
	tensors []cuda.Tensor
	copied  bool // and not left empty
	running cuda.Event
}

func (s *states) free(q cuda.Queue) {
	for _, m := range s.memory {
		q.Free(m)
	}
}

// allocStates takes the memory for copies of the states.
func (p *place) allocStates(to end) (*states, error) {
	s := &states{}
	for _, x := range p.m.States {
		src := x.Tensor()
		mem, err := to.dev.Alloc(src.Bytes(), cuda.ForState)
		if err != nil {
			s.free(to.queue)
			return nil, err
		}
		s.memory = append(s.memory, mem)
		dst, err := cuda.DeviceTensor(to.dev, mem, 0, src.DType(), shapeOf(src)...)
		if err != nil {
			s.free(to.queue)
			return nil, err
		}
		s.tensors = append(s.tensors, dst)
	}
	return s, nil
}

// copy fills them, once what the event tells of has happened.
func (s *states) copy(p *place, after cuda.Event, from, to cuda.Device) error {
	for i, x := range p.m.States {
		if err := copyTensor(s.tensors[i], x.Tensor(), after, from, to); err != nil {
			return fmt.Errorf("%s from %s to %s: %w", x.Name, from.Name(), to.Name(), err)
		}
	}
	return nil
}

// putStates takes the copies for the states, and frees those once what q has to do is done.
func (p *place) putStates(s *states, q cuda.Queue) {
	for i, x := range p.m.States {
		x.Move(s.tensors[i])
	}
	for _, m := range p.states {
		q.Free(m)
	}
	p.states = s.memory
}

// moveStates copies the states from one device to another, unless nothing was written to them, and frees them where they were. On an error they stay.
func (p *place) moveStates(from, to end, fresh bool) error {
	s, err := p.allocStates(to)
	if err != nil {
		return err
	}
	if !fresh {
		err = s.copy(p, from.queue.Mark(), from.dev, to.dev)
	}
	if err != nil {
		s.free(to.queue)
		return err
	}
	p.putStates(s, from.queue)
	return nil
}

// copyTensor copies between two devices, once what steps had to do with the source has happened, and waits for it; two that are not the CPU meet
// in a buffer of this process. It has queues of its own, since what went wrong in those of the steps is for the step to tell.
func copyTensor(dst, src cuda.Tensor, after cuda.Event, from, to cuda.Device) error {
	through := dst
	if src.Device() != nil {
		if dst.Device() != nil {
			var err error
			if through, err = cuda.HostTensor(make([]byte, src.Bytes()), src.DType(), shapeOf(src)...); err != nil {
				return err
			}
		}
		if err := copyAfter(after, from, func(q cuda.Queue) { q.CopyOut(through, src) }); err != nil || dst.Device() == nil {
			return err
		}
		src = through
	}
	return copyAfter(after, to, func(q cuda.Queue) { q.CopyIn(dst, src) })
}

// copyAfter copies once an event has happened, and waits for it.
func copyAfter(e cuda.Event, d cuda.Device, copy func(cuda.Queue)) error {
	q := d.NewQueue()
	defer q.Close()
	q.Wait(e)
	copy(q)
	return q.Sync()
}

func shapeOf(t cuda.Tensor) []int {
	shape := make([]int, t.NDim())
	for i := range shape {
		shape[i] = t.Dim(i)
	}
	return shape
}
