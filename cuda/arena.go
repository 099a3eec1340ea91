package cuda

import (
	"errors"
	"fmt"
	"unsafe"
)

// arena.go gives activations their memory. A step has four sections: one for what is made before the first layer, which
// lasts until the step ends, two that the layers use in turn, so that what layer i makes lasts until layer i+1 ends, and one
// that the parts of layers use in turn (StartPart): most of what a layer makes is needed by the next op or two alone.
// Every device has an arena for each section; a section's list of nodes says where each of its activations lies, so
// that a copy on another device is made once and found again, and never needs more room there than the original.
//
// Queues may run late, so memory is given to later activations only when what was in it is no longer needed. Within a device its queue's
// order sees to that. What other devices' queues copy from and to the CPU's is noted as borrowed; when its section begins anew it is owed, and
// whoever is given memory there waits for it: the CPU, which by then has mostly waited for something later, or another queue.

// arenaAlign is the alignment of an activation: a cache line, and a full vector of any instruction set.
const arenaAlign = 64

// The sections.
const (
	sectionStep = iota
	sectionEven
	sectionOdd
	sectionPart
	sections
)

var (
	sectionNames = [sections]string{"the whole step", "even layers", "odd layers", "parts of layers"}
	sectionEnds  = [sections]string{"the end of the step", "the end of the next layer", "the end of the next layer", "the start of the next part"}
)

// Sizes is the bytes of activations a step needs on a device, whichever of its layers are computed there.
type Sizes struct {
	Step int64 // made before the first layer
	Even int64 // made in layers 0, 2, ..: the largest of them
	Odd  int64
	Part int64 // made between StartPart and EndPart: the largest
	Work int64 // what ops need while they run, of a device that is a Worker
}

// Total is the bytes Reserve takes from the CPU, Of those that it takes from a device.
func (z Sizes) Total() int64 { return z.Step + z.Even + z.Odd + z.Part }

// Of is Total on a device, what its ops work with included.
func (z Sizes) Of(d Device) int64 {
	if _, works := d.(Worker); works {
		return z.Total() + z.Work
	}
	return z.Total()
}

func (z *Sizes) at(section int) *int64 {
	return [sections]*int64{&z.Step, &z.Even, &z.Odd, &z.Part}[section]
}

// arena is one section's memory on one device.
type arena struct {
	mem  Memory
	used int64
	peak int64
}

func (a *arena) take(bytes int64) (unsafe.Pointer, bool) {
	size := (bytes + arenaAlign - 1) &^ (arenaAlign - 1)
	if size > a.mem.bytes-a.used {
		return nil, false
	}
	p := advance(a.mem.ptr, a.used)
	a.used += size
	a.peak = max(a.peak, a.used)
	return p, true
}

// section is the activations that end together.
type section struct {
	nodes    []node
	serial   uint32  // of the last node made, in this pass or an earlier one
	borrowed []Event // copies from and to the CPU's arena
	owed     []Event // those of before it began anew: to be waited for before its memory is used again
	// while measuring
	used, peak int64
}

// node is one activation: where it lies on each device, nil where it does not.
type node struct {
	serial uint32
	bytes  int64
	home   int // the device that computed it
	at     [MaxDevices]unsafe.Pointer
	arrive Event // of the copy in the memory of this process, until an op there has waited for it
}

// reset ends a section: its activations are no more, on every device.
func (s *Step) reset(section int) {
	sec := &s.secs[section]
	if len(sec.borrowed) > 0 {
		sec.owe()
	}
	sec.nodes = sec.nodes[:0]
	sec.used = 0
	for d := range s.devices {
		s.arenas[d][section].used = 0
	}
}

// owe is called when memory of the section is to be given out again.
func (sec *section) owe() {
	sec.owed = append(sec.owed, sec.borrowed...)
	clear(sec.borrowed)
	sec.borrowed = sec.borrowed[:0]
}

// pay lets the CPU go on only when nobody copies from or to what it is given of a section.
func (s *Step) pay(sec *section) {
	for _, e := range sec.owed {
		s.queues[0].Wait(e)
	}
	clear(sec.owed)
	sec.owed = sec.owed[:0]
}

// make gives an activation in the running section on a device. What it holds is not defined.
func (s *Step) make(dev int, dtype DType, nd uint8, dim [MaxDims]int32) Tensor {
	t := Tensor{dtype: dtype, nd: nd, dim: dim, sec: uint8(s.section) + 1}
	sec := &s.secs[s.section]
	n := node{bytes: t.Bytes(), home: dev}
	if s.measuring {
		sec.used += (n.bytes + arenaAlign - 1) &^ (arenaAlign - 1)
		sec.peak = max(sec.peak, sec.used)
	} else {
		p, ok := s.arenas[dev][s.section].take(n.bytes)
		if !ok {
			s.failRoom(dev, s.section, n.bytes)
			return Tensor{}
		}
		if dev == 0 && len(sec.owed) > 0 {
			s.pay(sec)
		}
		n.at[dev], t.ptr, t.dev = p, p, s.memory[dev]
	}
	sec.serial++
	n.serial = sec.serial
	t.node, t.serial = uint32(len(sec.nodes)), n.serial
	sec.nodes = append(sec.nodes, n)
	return t
}

// isHere says that an activation lies where an op runs and that there is nothing to wait for: most do.
func (s *Step) isHere(dev int, t *Tensor) bool {
	if t.sec == 0 || t.dev != s.memory[dev] || s.err != nil || s.measuring {
		return false
	}
	nodes := s.secs[t.sec-1].nodes
	return int(t.node) < len(nodes) && nodes[t.node].serial == t.serial && (dev != 0 || nodes[t.node].arrive == nil)
}

// on is an operand where an op runs, which waits for it if it is on its way.
func (s *Step) on(dev int, t Tensor) Tensor {
	t = s.bring(dev, t)
	if dev == 0 && t.sec != 0 && !s.measuring {
		if n := s.nodeOf(t); n.arrive != nil {
			s.queues[0].Wait(n.arrive)
			n.arrive = nil
		}
	}
	return t
}

// bring is a tensor on a device: itself if it lies there, for an activation elsewhere its copy, made at the first use.
// Weights and states are not copied here; ops refuse those that lie elsewhere.
func (s *Step) bring(dev int, t Tensor) Tensor {
	if s.err != nil {
		return Tensor{}
	}
	if t.sec == 0 {
		if !s.measuring && !t.IsZero() && t.dev != s.memory[dev] {
			s.fail(fmt.Errorf("an operand (%v) lies in the memory of another device", t))
			return Tensor{}
		}
		return t
	}
	n := s.nodeOf(t)
	if n == nil {
		s.failLife(t)
		return Tensor{}
	}
	if s.measuring || t.dev == s.memory[dev] {
		return t
	}
	offset := uintptr(t.ptr) - uintptr(n.at[s.indexOf(t.dev)])
	if n.at[dev] == nil && !s.copyNode(n, int(t.sec)-1, dev) {
		return Tensor{}
	}
	t.ptr, t.dev = unsafe.Add(n.at[dev], offset), s.memory[dev]
	return t
}

// nodeOf is the activation that a tensor views; nil if it is no more.
func (s *Step) nodeOf(t Tensor) *node {
	nodes := s.secs[t.sec-1].nodes
	if int(t.node) >= len(nodes) || nodes[t.node].serial != t.serial {
		return nil
	}
	return &nodes[t.node]
}

// changing is an activation that an op on a device is about to change. It must lie there and nowhere else: a copy would
// not learn of the change.
func (s *Step) changing(dev int, t Tensor) Tensor {
	if s.err != nil || t.sec == 0 {
		return s.bring(dev, t)
	}
	n := s.nodeOf(t)
	if n == nil {
		s.failLife(t)
		return Tensor{}
	}
	for d := range s.devices {
		if !s.measuring && (n.at[d] != nil) != (d == dev) {
			s.fail(fmt.Errorf("an activation (%v) is to be changed on %s and lies elsewhere too", t, s.devices[dev].Name()))
			return Tensor{}
		}
	}
	return s.on(dev, t)
}

// copyNode brings an activation to a device: directly where that can be, else through the memory of this process if neither end is it.
func (s *Step) copyNode(n *node, section, dev int) bool {
	p, ok := s.arenas[dev][section].take(n.bytes)
	if !ok {
		s.failRoom(dev, section, n.bytes)
		return false
	}
	view := func(d int, p unsafe.Pointer) Tensor {
		return Tensor{ptr: p, dev: s.memory[d], dtype: U8, nd: 2, dim: [MaxDims]int32{int32((n.bytes + arenaAlign - 1) / arenaAlign), arenaAlign}}
	}
	if n.home != 0 && dev != 0 {
		q, near := s.queues[dev].(Neighbour)
		if near && q.CopyFrom(view(dev, p), view(n.home, n.at[n.home]), s.queues[n.home]) {
			n.at[dev] = p
			return true
		}
		if n.at[0] == nil && !s.copyNode(n, section, 0) {
			return false
		}
	}
	if dev == 0 {
		q := s.queues[n.home]
		q.Wait(s.queues[0].Mark()) // what the CPU had there is done with
		for _, e := range s.secs[section].owed {
			q.Wait(e) // and what other queues had
		}
		q.CopyOut(view(0, p), view(n.home, n.at[n.home]))
		if n.arrive = q.Mark(); n.arrive != nil {
			s.secs[section].borrowed = append(s.secs[section].borrowed, n.arrive)
		}
	} else {
		q := s.queues[dev]
		q.Wait(s.queues[0].Mark())
		q.Wait(n.arrive)
		q.CopyIn(view(dev, p), view(0, n.at[0]))
		if e := q.Mark(); e != nil {
			s.secs[section].borrowed = append(s.secs[section].borrowed, e)
		}
	}
	n.at[dev] = p
	return true
}

// RowsToHost is ToHost for some rows of an activation, which come alone; the others stay where they are.
func (s *Step) RowsToHost(t Tensor) Tensor {
	if s.err != nil || s.measuring || t.sec == 0 || t.dev == nil {
		return s.ToHost(t)
	}
	if n := s.nodeOf(t); n == nil || n.at[0] != nil {
		return s.ToHost(t)
	}
	y := s.make(0, t.dtype, t.nd, t.dim)
	if s.err != nil {
		return Tensor{}
	}
	q, sec := s.queues[s.indexOf(t.dev)], &s.secs[s.section]
	q.Wait(s.queues[0].Mark()) // what the CPU had there is done with
	q.CopyOut(y, t)
	if e := q.Mark(); e != nil {
		s.nodeOf(y).arrive = e
		sec.borrowed = append(sec.borrowed, e)
	}
	y.below = t.below
	return y
}

// StartPart begins a part of a layer: what is made until EndPart lasts until the next part starts, and is thus there for the op that makes
// the part's result behind it. A part within a part is none of its own.
func (s *Step) StartPart() {
	if s.parts++; s.parts == 1 {
		s.around, s.section = s.section, sectionPart
		s.reset(sectionPart)
	}
}

// EndPart ends it: what is made from here on lasts as the layer's does.
func (s *Step) EndPart() {
	if s.parts == 1 {
		s.section = s.around
	}
	s.parts = max(0, s.parts-1) // a layer that was entered meanwhile has ended it
}

// Mark is a point in the making of a layer's activations; see Rewind.
type Mark struct {
	section, nodes int
	used           [MaxDevices]int64
	measured       int64
}

// Mark is this point.
func (s *Step) Mark() Mark {
	sec := &s.secs[s.section]
	m := Mark{section: s.section, nodes: len(sec.nodes), measured: sec.used}
	for d := range s.devices {
		m.used[d] = s.arenas[d][s.section].used
	}
	return m
}

// Rewind ends the activations made since the mark, in the same layer or part of one, so that their memory is used again: for work done
// in parts, of which each leaves its result in an activation made before.
func (s *Step) Rewind(m Mark) {
	if s.err != nil {
		return
	}
	sec := &s.secs[s.section]
	if m.section != s.section || m.nodes > len(sec.nodes) {
		s.fail(errors.New("rewinding to a mark of another layer, or of another part of it"))
		return
	}
	sec.owe()
	sec.nodes, sec.used = sec.nodes[:m.nodes], m.measured
	for d := range s.devices {
		a := &s.arenas[d][s.section]
		if a.used > m.used[d] {
			a.used = m.used[d]
			s.forget(d, a)
		}
	}
}

// forget ends the copies of older activations that a device got after the mark.
func (s *Step) forget(dev int, a *arena) {
	for i := range s.secs[s.section].nodes {
		n := &s.secs[s.section].nodes[i]
		if p := n.at[dev]; n.home != dev && p != nil && int64(uintptr(p)-uintptr(a.mem.ptr)) >= a.used {
			n.at[dev] = nil
		}
	}
}

func (s *Step) indexOf(memory Device) int {
	for d := range s.devices {
		if s.memory[d] == memory {
			return d
		}
	}
	return 0
}

func (s *Step) failRoom(dev, section int, bytes int64) {
	a := &s.arenas[dev][section]
	s.fail(fmt.Errorf("no room on %s for %d bytes of %s: %d of %d are used; reserve what Measure says for the largest batch",
		s.devices[dev].Name(), bytes, sectionNames[section], a.used, a.mem.bytes))
}

func (s *Step) failLife(t Tensor) {
	s.fail(fmt.Errorf("an activation (%v) of %s is used after its memory was given to later ones: it lasts until %s",
		t, sectionNames[t.sec-1], sectionEnds[t.sec-1]))
}
