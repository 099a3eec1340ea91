package cpu

// #cgo noescape pio_run
// #cgo nocallback pio_run
// #include "kernels.h"
// #include <stdlib.h>
import "C"

import (
	"fmt"
	"runtime"
	"slices"
	"unsafe"

	"github.com/inference-pio/inference-pio/cuda"
)

// queue.go runs ops at once. It serves the CPU, and devices that stand in for others in tests: their memory is this process's too, though
// nothing but their own queues may touch it.

// Queue runs each op when it is added. It implements cuda.Queue.
type Queue struct {
	owner  cuda.Device
	memory cuda.Device // what the owner's tensors say
	pool   *pool
	link   Link
	formed C.pio_formed // what it keeps for its products
	err    error
}

// Link is told of copies to and from a device before they are made; nil is a device whose memory is this process's.
type Link interface {
	In(bytes int64)
	Out(bytes int64)
}

// NewQueue is a queue for the memory of a device, on the threads of a CPU.
func NewQueue(owner cuda.Device, threads *Device, link Link) *Queue {
	q := &Queue{owner: owner, pool: threads.pool, link: link}
	if !cuda.OnHost(owner) {
		q.memory = owner
	}
	return q
}

// Run computes an op.
func (q *Queue) Run(op *cuda.Op) {
	if q.err != nil {
		return
	}
	if q.err = q.owns(op); q.err != nil {
		return
	}
	if why := q.pool.run(op, &q.formed); why != "" {
		q.err = opError(q.owner, op.Code, why)
	}
}

// owns checks that all operands lie in the device's memory.
func (q *Queue) owns(op *cuda.Op) error {
	out, in, weights := op.Operands()
	for i := range out {
		if t := &out[i]; t.Device() != q.memory && !t.IsZero() {
			return q.foreign(op, t)
		}
	}
	for i := range in {
		if t := &in[i]; t.Device() != q.memory && !t.IsZero() {
			return q.foreign(op, t)
		}
	}
	for i := range weights {
		if w := &weights[i]; w.Device() != q.memory && !w.IsZero() {
			return q.foreign(op, w)
		}
	}
	if op.Experts != nil {
		for _, dev := range q.pool.expertsOf(op).at {
			if dev != q.memory {
				return q.foreign(op, "an expert")
			}
		}
	}
	return nil
}

func (q *Queue) foreign(op *cuda.Op, what any) error {
	return fmt.Errorf("%s on %s: an operand (%v) lies in the memory of another device", op.Code, q.owner.Name(), what)
}

// CopyIn copies a tensor of this process's memory to the device.
func (q *Queue) CopyIn(dst, src cuda.Tensor) {
	if q.fits(dst, src, dst, src) {
		if q.link != nil {
			q.link.In(dst.Bytes())
		}
		copy(bytesAt(dst), bytesAt(src))
	}
}

// CopyOut copies a tensor of the device to this process's memory.
func (q *Queue) CopyOut(dst, src cuda.Tensor) {
	if q.fits(dst, src, src, dst) {
		if q.link != nil {
			q.link.Out(dst.Bytes())
		}
		copy(bytesAt(dst), bytesAt(src))
	}
}

func (q *Queue) fits(dst, src, here, there cuda.Tensor) bool {
	if q.err == nil && (here.Device() != q.memory || there.Device() != nil || dst.Bytes() != src.Bytes()) {
		q.err = fmt.Errorf("%s: a copy from %v to %v is not one between this device and the cpu", q.owner.Name(), src, dst)
	}
	return q.err == nil
}

// Fill brings a matrix to the device, in the layout that dst has.
func (q *Queue) Fill(dst, src cuda.Matrix) {
	if q.err != nil {
		return
	}
	if dst.Device() != q.memory || src.Device() != nil || dst.Rows != src.Rows || dst.Cols != src.Cols {
		q.err = fmt.Errorf("%s: %v cannot be filled from %v", q.owner.Name(), dst, src)
		return
	}
	if q.link != nil {
		q.link.In(dst.Bytes())
	}
	if dst.Layout.Equal(src.Layout) {
		for i := range dst.Layout.Planes {
			copy(bytesAt(dst.Plane(i)), bytesAt(src.Plane(i)))
		}
		return
	}
	if why := q.pool.pack(dst, src); why != "" {
		q.err = fmt.Errorf("%s: bringing %v into the form of %v: %s", q.owner.Name(), src, dst, why)
	}
}

// Free gives memory back.
func (q *Queue) Free(m cuda.Memory) { q.owner.Free(m) }

// Mark has always happened.
func (q *Queue) Mark() cuda.Event { return nil }

// Wait waits here and now, since what comes after it does not.
func (q *Queue) Wait(e cuda.Event) {
	if e == nil {
		return
	}
	if err := e.Wait(); err != nil && q.err == nil {
		q.err = err
	}
}

// Sync gives the first error and forgets it.
func (q *Queue) Sync() error {
	err := q.err
	q.err = nil
	return err
}

// Close gives back what the queue keeps; the threads are the device's.
func (q *Queue) Close() {
	C.free(q.formed.room.at)
	C.free(q.formed.sums.at)
	q.formed = C.pio_formed{}
}

// ---- to C

// run has the kernels compute an op; "" or why they cannot. formed is for the rows of products.
func (p *pool) run(op *cuda.Op, formed *C.pio_formed) string {
	c := C.pio_op{code: C.int32_t(codes[op.Code]), table: p.table, formed: C.uintptr_t(uintptr(unsafe.Pointer(formed)))}
	out, in, weights := op.Operands()
	c.outs, c.ins = C.int32_t(len(out)), C.int32_t(len(in))
	for i := range out {
		c.out[i] = tensor(&out[i])
	}
	for i := range in {
		c.in[i] = tensor(&in[i])
	}
	for i := range weights {
		var why string
		if c.w[i], why = p.matrix(&weights[i]); why != "" {
			return why
		}
	}
	for i, f := range op.Floats {
		c.f[i] = C.float(f)
	}
	for i, n := range op.Ints {
		c.n[i] = C.int32_t(n)
	}
	if op.Experts != nil {
		t := p.expertsOf(op)
		if t.why != "" {
			return t.why
		}
		c.experts, c.experts_n = C.uintptr_t(uintptr(unsafe.Pointer(unsafe.SliceData(t.list)))), C.int32_t(len(t.list)/3)
	}
	why := C.pio_run(p.c, &c)
	runtime.KeepAlive(op) // the addresses in c are not seen by the collector
	runtime.KeepAlive(formed)
	if why == nil {
		return ""
	}
	return C.GoString(why)
}

// pack brings a matrix into another layout.
func (p *pool) pack(dst, src cuda.Matrix) string {
	c := C.pio_op{code: C.PIO_OP_pack, table: p.table}
	var why string
	if c.w[0], why = p.matrix(&dst); why != "" {
		return why
	}
	if c.w[1], why = p.matrix(&src); why != "" {
		return why
	}
	if e := C.pio_run(p.c, &c); e != nil {
		why = C.GoString(e)
	}
	runtime.KeepAlive([...]cuda.Matrix{dst, src})
	return why
}

func tensor(t *cuda.Tensor) C.pio_tensor {
	dim, n := t.Shape()
	return C.pio_tensor{at: C.uintptr_t(uintptr(t.Pointer())), _type: C.int32_t(t.DType()), nd: C.int32_t(n),
		dim: [4]C.int32_t{C.int32_t(dim[0]), C.int32_t(dim[1]), C.int32_t(dim[2]), C.int32_t(dim[3])}}
}

// matrix is one as C has it; or why the kernels cannot read it.
func (p *pool) matrix(m *cuda.Matrix) (C.pio_matrix, string) {
	if m.IsZero() {
		return C.pio_matrix{}, ""
	}
	i := slices.Index(p.layouts, m.Layout.Name)
	if i < 0 {
		return C.pio_matrix{}, fmt.Sprintf("no kernels for weights in %s", m.Layout.Name)
	}
	c := C.pio_matrix{layout: C.int32_t(i), rows: C.int32_t(m.Rows), cols: C.int32_t(m.Cols)}
	for i, plane := range m.Layout.Planes {
		c.plane[i] = C.uintptr_t(uintptr(m.Pointer(i)))
		if i == 1 {
			c.block_rows, c.block_cols = C.int32_t(plane.Rows), C.int32_t(plane.Cols)
		}
	}
	return c, ""
}

// experts is a table of them as C has it, three matrices each.
type experts struct {
	list []C.pio_matrix
	at   []cuda.Device // where they lie
	why  string
}

func (p *pool) expertsOf(op *cuda.Op) *experts { return op.Experts.Native(p.experts).(*experts) }

func (p *pool) experts(of *cuda.ExpertTable, native any, moved []int) any {
	t, ok := native.(*experts)
	if !ok || t.why != "" {
		t, moved = &experts{list: make([]C.pio_matrix, 3*len(of.Experts))}, nil
		for i := range of.Experts {
			moved = append(moved, i)
		}
	}
	for _, i := range moved {
		e := &of.Experts[i]
		for j, m := range [...]*cuda.Matrix{&e.Gate, &e.Up, &e.Down} {
			if t.list[3*i+j], t.why = p.matrix(m); t.why != "" {
				return t
			}
			if !m.IsZero() && !slices.Contains(t.at, m.Device()) {
				t.at = append(t.at, m.Device())
			}
		}
	}
	return t
}

func bytesAt(t cuda.Tensor) []byte { return unsafe.Slice((*byte)(t.Pointer()), t.Bytes()) }
