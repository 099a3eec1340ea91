package cuda

import (
	"slices"
	"sync/atomic"
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

	mixture atomic.Pointer[member] // this as an expert of a mixture
}

// Settle says that steps may compute the module on a device without asking until Unsettle.
func (m *Module) Settle(dev int) {
	m.settled.Store(uint32(dev) + 1)
	m.changed()
}

// Unsettle says that a step must ask the Residency when it next enters the module. Of an expert, which is not asked for, it says that
// the CPU computes it.
func (m *Module) Unsettle() {
	m.settled.Store(0)
	m.changed()
}

// changed lets a mixture look anew where its experts are.
func (m *Module) changed() {
	if x := m.mixture.Load(); x != nil {
		x.changed()
	}
}

// Settled is the device steps go to without asking, if there is one.
func (m *Module) Settled() (dev int, ok bool) {
	w := m.settled.Load()
	return int(w) - 1, w != 0
}

// WeightBytes is the size of the weights in the form that they are computed in: the file's, block scales included, or quantised.
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
// settled; it may start copies, move and evict, and returns the index of the device that has the module's states and, once ready has
// happened (at once, if that is nil), its weights. They must stay there until a later layer has been entered or the step has ended; those
// of a module outside the layers until the step has ended. What the step's queues may still use is freed by them: see Step.Queue.
//
// Experts are not entered: they are computed where they are settled, or else on the CPU. A Residency that is a Router learns of each
// pass which were needed.
type Residency interface {
	Enter(m *Module) (dev int, ready Event, err error)
}

// Weight is a handle on one immutable tensor of a checkpoint, as a matrix. Its truth is the mapped file, or what was quantised from it
// before anything was computed; Put and Drop change which devices have a copy. Put and Drop of one weight are for one goroutine at a time,
// and the one that computes must learn of them through Residency.Enter or Settle.
type Weight struct {
	Name   string
	Shape  []int
	Module *Module

	file   Matrix
	made   bool                               // file is no file's: it was quantised, or will be
	copies atomic.Pointer[[MaxDevices]Matrix] // made at the first Put; most weights of a CPU machine never have one
}

// NewWeight is a weight of a shape that has no data yet.
func NewWeight(shape ...int) *Weight { return &Weight{Shape: slices.Clone(shape)} }

// Bind gives the weight its name, its data in the memory of this process, and its module, whose list it joins.
func (w *Weight) Bind(name string, m *Module, file Matrix) {
	w.Name, w.Module, w.file = name, m, file
	if m != nil {
		m.Weights = append(m.Weights, w)
	}
}

// Quantise says that the weight, which is bound, is computed in another form than the file's: until Quantised gives it there it has no
// data, only its sizes.
func (w *Weight) Quantise(l *Layout) {
	w.file, w.made = Matrix{Rows: w.file.Rows, Cols: w.file.Cols, Layout: l}, true
}

// Quantised gives the weight its data in the form that Quantise named. Nothing was computed with it yet.
func (w *Weight) Quantised(m Matrix) {
	w.file = m
	if w.Module != nil {
		w.Module.changed()
	}
}

// Made says that what File gives is no file's: it was quantised, or will be.
func (w *Weight) Made() bool { return w.made }

// File is the weight in the memory of this process, as the file has it or quantised.
func (w *Weight) File() Matrix { return w.file }

// Len is the number of its elements.
func (w *Weight) Len() int {
	n := 1
	for _, d := range w.Shape {
		n *= d
	}
	return n
}

// Bytes is what it takes in the memory of this process.
func (w *Weight) Bytes() int64 {
	if w.made {
		return w.file.Layout.DeviceBytes(w.file.Rows, w.file.Cols)
	}
	return w.file.Bytes()
}

// On is the weight on a device (by its index in the step), the zero Matrix if it is not there. The CPU, which is 0, always has it: packed,
// or else the file.
func (w *Weight) On(dev int) Matrix {
	if c := w.copies.Load(); c != nil && dev >= 0 && dev < MaxDevices && !c[dev].IsZero() {
		return c[dev]
	}
	if dev == 0 {
		return w.file
	}
	return Matrix{}
}

// Put says that a device has a copy of the weight now.
func (w *Weight) Put(dev int, m Matrix) {
	if dev < 0 || dev >= MaxDevices {
		return
	}
	c := w.copies.Load()
	if c == nil {
		w.copies.CompareAndSwap(nil, new([MaxDevices]Matrix))
		c = w.copies.Load()
	}
	c[dev] = m
	if w.Module != nil {
		w.Module.changed()
	}
}

// Drop says that a device no longer has the copy. Who placed it frees the memory.
func (w *Weight) Drop(dev int) { w.Put(dev, Matrix{}) }

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

// DiscardRow gives back the memory of one row that holds nothing, on the CPU. Between steps.
func (s *State) DiscardRow(i int) error {
	t := s.row(i)
	if t.IsZero() || t.Device() != nil {
		return nil
	}
	return Discard(t.Pointer(), t.Bytes())
}

// row is one row of the first dimension, the zero Tensor if there is none such.
func (s *State) row(i int) Tensor {
	if i < 0 || i >= s.t.Dim(0) {
		return Tensor{}
	}
	return s.t.Slice(i, i+1)
}
