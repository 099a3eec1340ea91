// Package kerneltest runs ops with the GPU's kernels on this computer's CPU: the plans of package kernels, the kernels' own text, no driver.
// Operands are brought to memory of their own, where nothing lies before and behind them but what must stay as it is.
package kerneltest

// #include <stdlib.h>
import "C"

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"unsafe"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/kernels"
)

// Machine runs ops.
type Machine struct {
	kernels.Properties
	// Shift moves activations by so many bytes, a multiple of 4, from where memory would be aligned: what has four dimensions is a state, and
	// begins where its memory does.
	Shift int
	// Eager makes asynchronous copies at once, not as late as they may be. Order is 0 or the seed of an order of warps.
	Eager bool
	Order uint64
}

// New is a machine with so many multiprocessors. It skips the test where there is nothing to make the kernels with.
func New(t testing.TB, fast bool, multiprocessors int) *Machine {
	t.Helper()
	if onHardware() {
		return openHardware(t, fast)
	}
	open(t)
	return &Machine{Properties: kernels.Properties{Fast: fast, Multiprocessors: multiprocessors, Shared: 227 << 10}}
}

// Run is Do of what must go well.
func (m *Machine) Run(t testing.TB, op *cuda.Op) {
	t.Helper()
	if err := m.Do(op); err != nil {
		t.Fatal(err)
	}
}

// Do runs an op, whose results are then where the op says.
func (m *Machine) Do(op *cuda.Op) error {
	if onHardware() {
		return m.hardware(op)
	}
	plan := kernels.Plan{Properties: m.Properties}
	if err := plan.Op(op); err != nil {
		return err
	}
	r := &room{shift: m.Shift}
	defer r.free()
	given, err := r.op(op, plan.Scratch)
	if err != nil {
		return err
	}
	copies := C.int(0)
	if m.Eager {
		copies = 1
	}
	modes(int(copies), m.Order)
	mapped := (*kernels.Mapped)(C.aligned_alloc(margin, C.size_t((unsafe.Sizeof(kernels.Mapped{})+margin-1)/margin*margin)))
	defer C.free(unsafe.Pointer(mapped))
	for i := range plan.Launches {
		mapped.Op = *given
		if err := launch(&plan.Launches[i], mapped); err != nil {
			return fmt.Errorf("%s: %w", op.Code, err)
		}
	}
	return r.back()
}

// room is memory for the operands of one op.
type room struct {
	shift    int
	parts    []part
	counters []byte
}

type part struct {
	at    unsafe.Pointer // of all, the operand being MARGIN behind it
	bytes []byte         // of the operand
	host  cuda.Tensor
	gives bool
}

const margin, poison = 256, 0x7f // bytes before and behind an operand; as f32 a large number

func (r *room) put(t cuda.Tensor, gives bool) uint64 {
	if t.IsZero() {
		return 0
	}
	for i := range r.parts { // an operand that is also a result
		if p := &r.parts[i]; t.Bytes() > 0 && p.host.Pointer() == t.Pointer() && p.host.Bytes() == t.Bytes() {
			p.gives = p.gives || gives
			return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(p.bytes))))
		}
	}
	shift := 0
	if (t.DType() == cuda.F32 || t.DType() == cuda.BF16) && t.NDim() < 4 {
		shift = r.shift
	}
	n := int(t.Bytes())
	at := C.aligned_alloc(margin, C.size_t((n+shift+3*margin)/margin*margin))
	all := unsafe.Slice((*byte)(at), (n+shift+3*margin)/margin*margin)
	for i := range all {
		all[i] = poison
	}
	p := part{at: at, bytes: all[margin+shift:][:n:n], host: t, gives: gives}
	if n > 0 {
		copy(p.bytes, t.Raw())
	}
	r.parts = append(r.parts, p)
	return uint64(uintptr(at)) + margin + uint64(shift)
}

// op is what kernels are given: the op with its operands where they are guarded.
func (r *room) op(op *cuda.Op, scratch int64) (*kernels.Op, error) {
	given := new(kernels.Op)
	if err := given.Encode(op); err != nil {
		return nil, err
	}
	out, in, weights := op.Operands()
	for i, t := range out {
		given.Out[i].At = r.put(t, true)
	}
	for i, t := range in {
		given.In[i].At = r.put(t, false)
	}
	for i, w := range weights {
		r.planes(&given.W[i], w)
	}
	if op.Experts != nil {
		if err := r.experts(given, op.Experts.Experts); err != nil {
			return nil, err
		}
	}
	if scratch > 0 {
		at := C.aligned_alloc(margin, C.size_t((kernels.CounterBytes+scratch+margin-1)/margin*margin))
		all := unsafe.Slice((*byte)(at), kernels.CounterBytes+scratch)
		clear(all[:kernels.CounterBytes])
		for i := range all[kernels.CounterBytes:] {
			all[kernels.CounterBytes+i] = 0xff // no numbers
		}
		r.parts, r.counters = append(r.parts, part{at: at}), all[:kernels.CounterBytes]
		given.Scratch = uint64(uintptr(at)) + kernels.CounterBytes
	}
	return given, nil
}

// planes says where a matrix is guarded.
func (r *room) planes(given *kernels.Matrix, w cuda.Matrix) {
	if w.IsZero() {
		return
	}
	for i := range w.Layout.Planes {
		given.Plane[i] = r.put(w.Plane(i), false)
	}
}

// experts is the table of gate, up and down of each expert.
func (r *room) experts(given *kernels.Op, list []cuda.Expert) error {
	at := C.calloc(C.size_t(max(len(list), 1)), C.size_t(3*unsafe.Sizeof(kernels.Matrix{})))
	r.parts = append(r.parts, part{at: at})
	table := unsafe.Slice((*[3]kernels.Matrix)(at), len(list))
	for i, e := range list {
		for j, w := range []cuda.Matrix{e.Gate, e.Up, e.Down} {
			var err error
			if table[i][j], err = kernels.EncodeMatrix(&w); err != nil {
				return err
			}
			r.planes(&table[i][j], w)
		}
	}
	given.Experts, given.ExpertsN = uint64(uintptr(at)), int32(len(list))
	return nil
}

// back brings results back and looks whether anything else was written to.
func (r *room) back() error {
	if i := slices.IndexFunc(r.counters, func(b byte) bool { return b != 0 }); i >= 0 {
		return fmt.Errorf("counter %d is not 0 behind the op's launches", i/4)
	}
	for i := range r.parts {
		p := &r.parts[i]
		if p.bytes == nil {
			continue
		}
		begin := uintptr(unsafe.Pointer(unsafe.SliceData(p.bytes))) - uintptr(p.at)
		all := unsafe.Slice((*byte)(p.at), (len(p.bytes)+r.shift+3*margin)/margin*margin)
		for j, b := range all {
			if within := j >= int(begin) && j < int(begin)+len(p.bytes); !within && b != poison {
				return fmt.Errorf("byte %d of %v was written, which has %d", j-int(begin), p.host, len(p.bytes))
			}
		}
		if p.gives {
			copy(p.host.Raw(), p.bytes)
		} else if len(p.bytes) > 0 && !bytes.Equal(p.bytes, p.host.Raw()) {
			return fmt.Errorf("%v was written, which is no result", p.host)
		}
	}
	return nil
}

func (r *room) free() {
	for _, p := range r.parts {
		C.free(p.at)
	}
}
