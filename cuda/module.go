package cuda

import (
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/inference-pio/inference-pio/cuda/cpu"
)

// module.go holds the unit of placement. A Module's weights are immutable and may lie on several devices at once; its
// states lie on exactly one, the one the module is computed on. Who decides where, and copies, implements Residency
// (cuda/serve); a step only asks.

// Module is a set of weights and states that is placed and moved as one.
type Module struct {
	ID      string // its prefix in the checkpoint: layers.3, embed_tokens, layers.3.mlp.experts.17
	Layer   int    // -1 outside the layers
	Weights []*Weight
	States  []*State

	// settled is the index of the device the module is computed on, plus one, when a step may go there without asking;
	// 0 when it must ask its Residency.
	settled atomic.Uint32
}

// Settle says that steps may compute the module on a device without asking until Unsettle.
func (m *Module) Settle(dev int) { m.settled.Store(uint32(dev) + 1) }

// Unsettle says that a step must ask the Residency when it next enters the module.
func (m *Module) Unsettle() { m.settled.Store(0) }

// Settled is the device steps go to without asking, if there is one.
func (m *Module) Settled() (dev int, ok bool) {
	w := m.settled.Load()
	return int(w) - 1, w != 0
}

// WeightBytes is the size of the weights in the file's form, block scales included.
func (m *Module) WeightBytes() int64 {
	var n int64
	for _, w := range m.Weights {
		n += w.Bytes()
	}
	return n
}

// StateBytes is the size of the states.
func (m *Module) StateBytes() int64 {
	var n int64
	for _, s := range m.States {
		n += s.Tensor().Bytes()
	}
	return n
}

// Residency decides where modules are computed. Enter is called by a step, on its goroutine, for a module that is not
// settled; it may wait for a copy, start others, move and evict, and returns the index of the device that now has all of
// the module's weights and states. They must stay there until a later layer has been entered or the step has ended; those
// of a module outside the layers until the step has ended.
type Residency interface {
	Enter(m *Module) (dev int, err error)
}

// Weight is a handle on one immutable tensor of a checkpoint. Its truth is the mapped file; Put and Drop change which
// devices have a copy. Put and Drop of one weight are for one goroutine at a time, and the one that computes must
// learn of them through Residency.Enter or Settle.
type Weight struct {
	Name   string
	Shape  []int
	DType  DType
	Module *Module

	host   Tensor
	copies atomic.Pointer[[MaxDevices]Tensor] // made at the first Put; most weights of a CPU machine never have one
}

// NewWeight is a weight of a shape that has no data yet.
func NewWeight(shape ...int) *Weight { return &Weight{Shape: slices.Clone(shape)} }

// Bind gives the weight its name, its data in the memory of this process, and its module, whose list it joins.
func (w *Weight) Bind(name string, m *Module, host Tensor) {
	w.Name, w.Module, w.DType, w.host = name, m, host.DType(), host
	if m != nil {
		m.Weights = append(m.Weights, w)
	}
}

// Host is the weight in the memory of this process.
func (w *Weight) Host() Tensor { return w.host }

// On is the weight on a device (by its index in the step; 0 is the CPU), the zero Tensor if it is not there.
func (w *Weight) On(dev int) Tensor {
	if dev == 0 {
		return w.host
	}
	if c := w.copies.Load(); c != nil && dev > 0 && dev < MaxDevices {
		return c[dev]
	}
	return Tensor{}
}

// Put says that a device has the weight now.
func (w *Weight) Put(dev int, t Tensor) {
	if dev <= 0 || dev >= MaxDevices {
		return
	}
	c := w.copies.Load()
	if c == nil {
		w.copies.CompareAndSwap(nil, new([MaxDevices]Tensor))
		c = w.copies.Load()
	}
	c[dev] = t
}

// Drop says that a device no longer has the weight. Who placed it frees the memory.
func (w *Weight) Drop(dev int) { w.Put(dev, Tensor{}) }

// State is a tensor that ops change: a kv cache, a recurrent state. It lies on one device at a time and moves with its
// module. Only the goroutine that runs the step reads or moves it.
type State struct {
	Name   string
	Module *Module
	t      Tensor
}

// NewState is a state that lies where t lies; it joins its module's list.
func NewState(name string, m *Module, t Tensor) *State {
	s := &State{Name: name, Module: m, t: t}
	if m != nil {
		m.States = append(m.States, s)
	}
	return s
}

// Tensor is the state where it lies now.
func (s *State) Tensor() Tensor { return s.t }

// Move says that the state lies elsewhere from now on; the bytes have been copied by the caller.
func (s *State) Move(t Tensor) { s.t = t }

// CopyRow makes one row of the first dimension what another is, where the state lies. Between steps.
func (s *State) CopyRow(from, to int) error {
	src, dst, err := s.row(from), s.row(to), error(nil)
	switch {
	case src.IsZero() || dst.IsZero():
		err = fmt.Errorf("rows %d and %d of %v", from, to, s.t)
	case s.t.Device() == nil:
		err = copyHost(dst, src)
	default:
		err = s.t.Device().CopyWithin(dst, src)
	}
	if err != nil {
		return fmt.Errorf("copying within %s: %w", s.Name, err)
	}
	return nil
}

// DiscardRow gives back the memory of one row that holds nothing, on the CPU. Between steps.
func (s *State) DiscardRow(i int) error {
	t := s.row(i)
	if t.IsZero() || t.Device() != nil {
		return nil
	}
	return cpu.Discard(t.Pointer(), t.Bytes())
}

// row is one row of the first dimension, the zero Tensor if there is none such.
func (s *State) row(i int) Tensor {
	if i < 0 || i >= s.t.Dim(0) {
		return Tensor{}
	}
	return s.t.Slice(i, i+1)
}
