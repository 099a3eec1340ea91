package serve

import (
	"container/list"
	"fmt"

	"github.com/inference-pio/inference-pio/cuda"
)

// place.go holds where one module lies: the device it is computed on, the copy of its weights there, its states. It moves
// bytes and decides nothing; residency.go decides. A module has at most one copy of its weights besides the mapped file.

// place is one module's.
type place struct {
	m      *cuda.Module
	index  int  // in the order of the forward pass, which has no experts
	expert bool // part of a layer, entered after routing
	dev    int  // computed here, and its states lie here
	fixed  bool // an operator's order put it here; plans leave it alone

	streamed bool // the plan has no room for its weights to stay on dev

	weights  cuda.Memory // the copy on dev; none on the CPU, which computes from the mapped file
	transfer *transfer   // filling weights; nil when they are complete or none
	states   []cuda.Memory

	seconds float64 // one pass on dev, an expert's in its layer's: an exponential mean

	inCache *list.Element // of an expert that a device has
	pass    uint64        // in which the expert was last computed there
}

// hasWeights says that the module can be computed on its device, perhaps after waiting for a transfer.
func (p *place) hasWeights() bool { return p.dev == 0 || p.weights.Bytes() > 0 }

// transfer is a copy of a module's weights under way on a goroutine of its own.
type transfer struct {
	done chan struct{}
	err  error // after done
}

// weightBytes is what the module's weights take on a device.
func weightBytes(m *cuda.Module) (n int64) {
	for _, w := range m.Weights {
		n += w.DeviceBytes()
	}
	return n
}

// stateBytes is what the place's states take.
func (p *place) stateBytes() (n int64) {
	for _, s := range p.m.States {
		n += s.Tensor().Bytes()
	}
	return n
}

// allocWeights takes memory for the weights on d and views it as tensors, in the order of m.Weights.
func allocWeights(d cuda.Device, m *cuda.Module) (cuda.Memory, []cuda.Tensor, error) {
	mem, err := d.Alloc(weightBytes(m), cuda.ForWeights)
	if err != nil {
		return cuda.Memory{}, nil, err
	}
	tensors, offset := make([]cuda.Tensor, len(m.Weights)), int64(0)
	for i, w := range m.Weights {
		if tensors[i], err = w.Lay(d, mem, offset); err != nil {
			d.Free(mem)
			return cuda.Memory{}, nil, fmt.Errorf("%s: %w", w.Name, err)
		}
		offset += w.DeviceBytes()
	}
	return mem, tensors, nil
}

// startTransfer begins to copy the weights to the place's device. The caller has made room.
func (p *place) startTransfer(d cuda.Device) error {
	mem, tensors, err := allocWeights(d, p.m)
	if err != nil {
		return err
	}
	p.weights, p.transfer = mem, &transfer{done: make(chan struct{})}
	go func(t *transfer, m *cuda.Module) {
		defer close(t.done)
		for i, w := range m.Weights {
			if t.err = cuda.CopyWeight(d, tensors[i], w); t.err != nil {
				t.err = fmt.Errorf("%s to %s: %w", w.Name, d.Name(), t.err)
				return
			}
		}
	}(p.transfer, p.m)
	for i, w := range p.m.Weights {
		w.Put(p.dev, tensors[i]) // read by a step only after await
	}
	return nil
}

// await waits for a transfer under way. If it failed the place has no weights.
func (p *place) await(d cuda.Device) error {
	if p.transfer == nil {
		return nil
	}
	<-p.transfer.done
	err := p.transfer.err
	p.transfer = nil
	if err != nil {
		p.dropWeights(d)
	}
	return err
}

// dropWeights frees the copy. Nothing is written back: weights never change.
func (p *place) dropWeights(d cuda.Device) {
	if p.transfer != nil {
		<-p.transfer.done
		p.transfer = nil
	}
	for _, w := range p.m.Weights {
		w.Drop(p.dev)
	}
	d.Free(p.weights)
	p.weights = cuda.Memory{}
}

// moveStates copies the states from one device to another and frees them where they were. On an error they stay.
func (p *place) moveStates(from, to cuda.Device) error {
	memory, tensors := make([]cuda.Memory, 0, len(p.m.States)), make([]cuda.Tensor, 0, len(p.m.States))
	undo := func(err error) error {
		for _, m := range memory {
			to.Free(m)
		}
		return err
	}
	for _, s := range p.m.States {
		src := s.Tensor()
		mem, err := to.Alloc(src.Bytes(), cuda.ForState)
		if err != nil {
			return undo(err)
		}
		memory = append(memory, mem)
		dst, err := cuda.DeviceTensor(to, mem, 0, src.DType(), shapeOf(src)...)
		if err != nil {
			return undo(err)
		}
		if err := copyTensor(dst, src); err != nil {
			return undo(fmt.Errorf("%s from %s to %s: %w", s.Name, from.Name(), to.Name(), err))
		}
		tensors = append(tensors, dst)
	}
	for i, s := range p.m.States {
		s.Move(tensors[i])
	}
	for _, m := range p.states {
		from.Free(m)
	}
	p.states = memory
	return nil
}

// copyTensor copies between any two devices; two that are not the CPU meet in a buffer of this process.
func copyTensor(dst, src cuda.Tensor) error {
	switch {
	case src.Device() == nil && dst.Device() == nil:
		copy(dst.Raw(), src.Raw())
		return nil
	case src.Device() == nil:
		return dst.Device().CopyIn(dst, src)
	case dst.Device() == nil:
		return src.Device().CopyOut(dst, src)
	}
	through, err := cuda.HostTensor(make([]byte, src.Bytes()), src.DType(), shapeOf(src)...)
	if err != nil {
		return err
	}
	if err := src.Device().CopyOut(through, src); err != nil {
		return err
	}
	return dst.Device().CopyIn(dst, through)
}

func shapeOf(t cuda.Tensor) []int {
	shape := make([]int, t.NDim())
	for i := range shape {
		shape[i] = t.Dim(i)
	}
	return shape
}
