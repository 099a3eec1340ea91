// Package rounded is the fast numerics of GPUs told without one: a device that rounds to bf16 what the kernels round, and computes in exact
// numerics otherwise. Whole models are compared with it layer by layer; what is left between the two is the order of sums, and now and
// then a number beside the border of two roundings. Only tests import it.
package rounded

import (
	"unsafe"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/far"
	"github.com/inference-pio/inference-pio/cuda/kernels"
	"github.com/inference-pio/inference-pio/cuda/spec"
)

// Device computes so, in memory of its own.
type Device struct {
	*far.Device
	threads *cpu.Device
	teacher func(x []float32)
}

// New is a device without a budget on the threads of a CPU with exact kernels.
func New(c *cpu.Device) *Device { return &Device{Device: far.New("rounded", 0, 0, 0, c), threads: c} }

// NewQueue implements cuda.Device.
func (d *Device) NewQueue() cuda.Queue { return &queue{Queue: cpu.NewQueue(d, d.threads, nil), dev: d} }

// Teach has f called with each activation that is asked for, and what pads it, before it is given, and the device goes on with what f leaves in
// it; nil ends it. So a pass that is looked at layer by layer begins each layer with what another pass had there.
func (d *Device) Teach(f func(x []float32)) { d.teacher = f }

type queue struct {
	*cpu.Queue
	dev *Device
	err error
}

// Run implements cuda.Queue.
func (q *queue) Run(op *cuda.Op) {
	rounded := *op
	_, in, weights := rounded.Operands()
	switch op.Code {
	case cuda.OpMatMul:
		if kernels.OnTensorCores(weights[0]) {
			in[0] = q.round(in[0])
		}
	case cuda.OpExperts:
		q.experts(op)
		return
	case cuda.OpAttention, cuda.OpLatentAttention:
		if part, rounds := kernels.RoundedAttention(op); rounds {
			q.attention(op, part)
			return
		}
	case cuda.OpAttendTile:
		if _, rounds := kernels.RoundedAttention(op); rounds {
			tile(op)
			return
		}
	}
	q.Queue.Run(&rounded)
}

// CopyOut implements cuda.Queue.
func (q *queue) CopyOut(dst, src cuda.Tensor) {
	if q.dev.teacher != nil { // activations come as bytes
		q.dev.teacher(unsafe.Slice((*float32)(src.Pointer()), src.Bytes()/4))
	}
	q.Queue.CopyOut(dst, src)
}

// Sync implements cuda.Queue.
func (q *queue) Sync() error {
	err := q.Queue.Sync()
	if q.err != nil {
		err, q.err = q.err, nil
	}
	return err
}

// round is a tensor of rounded numbers, on the device as far as queues look.
func (q *queue) round(x cuda.Tensor) cuda.Tensor {
	return q.tensor(spec.Widen(spec.Round(floats(x))), shape(x))
}

func (q *queue) tensor(data []float32, shape []int) cuda.Tensor {
	mem := cuda.NewMemory(unsafe.Pointer(unsafe.SliceData(data)), int64(4*len(data)), cuda.ForScratch)
	t, err := cuda.DeviceTensor(q.dev, mem, 0, cuda.F32, shape...)
	if err != nil && q.err == nil {
		q.err = err
	}
	return t
}

// experts rounds rows before gate and up, and what comes between before down.
func (q *queue) experts(op *cuda.Op) {
	out, in, _ := op.Operands()
	y, rows := out[0], out[1]
	x, index, weights := floats(in[0]), ints(in[1]), floats(in[2])
	table, hidden, k := op.Experts.Experts, in[0].Dim(1), in[1].Dim(1)
	results := make([]float32, len(index)*hidden)
	for i, e := range index {
		to, w := results[i*hidden:(i+1)*hidden], table[e]
		if w.Gate.IsZero() {
			continue
		}
		row := roundedFor(w.Gate, x[i/k*hidden:(i/k+1)*hidden])
		gate, up := make([]float32, w.Gate.Rows), make([]float32, w.Gate.Rows)
		spec.MatMul(gate, row, w.Gate)
		spec.MatMul(up, row, w.Up)
		spec.SwiGLU(gate, gate, up)
		spec.MatMul(to, roundedFor(w.Down, gate), w.Down)
	}
	if y.IsZero() {
		copy(floats(rows), results)
		return
	}
	spec.ExpertSum(floats(y), results, weights, k)
}

func roundedFor(w cuda.Matrix, x []float32) []float32 {
	if kernels.OnTensorCores(w) {
		return spec.Widen(spec.Round(x))
	}
	return x
}

// attention is that of rounded queries, keys, values and weights.
func (q *queue) attention(op *cuda.Op, part int) {
	out, in, _ := op.Operands()
	rows, keys := in[0], in[1]
	at := in[len(in)-3:] // positions, sequences, tables
	dim, vdim := rows.Dim(2), out[0].Dim(2)
	k := cached(keys, dim)
	var v []float32
	if op.Code == cuda.OpLatentAttention { // values are what keys begin with
		v = firstOf(k, dim, vdim)
	} else {
		v = cached(in[2], vdim)
	}
	g := spec.Pages{Positions: ints(at[0]), Seqs: ints(at[1]), Tables: ints(at[2]), Width: at[2].Dim(1), Blocks: keys.Dim(0), Heads: keys.Dim(1), Size: keys.Dim(2)}
	spec.FlashAttention(floats(out[0]), floats(rows), k, v, g, spec.Flash{Heads: rows.Dim(1), Dim: dim, VDim: vdim, Part: part, Scale: op.Floats[0]})
}

// tile is attention to one of the tiles of keys that a softmax goes through.
func tile(op *cuda.Op) {
	out, in, _ := op.Operands()
	q, k, v := in[0], in[1], in[2]
	t := spec.Tile{Heads: q.Dim(1), KVHeads: k.Dim(0), Keys: k.Dim(1), Dim: q.Dim(2), VDim: v.Dim(2), First: int(op.Ints[0])}
	spec.FlashTile(floats(out[0]), floats(q), floats(k), floats(v), ints(in[3]), t, op.Floats[0])
}

// cached is the numbers of a cache whose rows have dim.
func cached(t cuda.Tensor, dim int) []float32 {
	if t.DType() == cuda.Q8Row {
		return spec.ReadRows(unsafe.Slice((*byte)(t.Pointer()), t.Bytes()), dim)
	}
	return floats(t)
}

func firstOf(k []float32, dim, n int) []float32 {
	v := make([]float32, 0, len(k)/dim*n)
	for ; len(k) >= dim; k = k[dim:] {
		v = append(v, k[:n]...)
	}
	return v
}

func floats(t cuda.Tensor) []float32 {
	if t.DType() == cuda.BF16 {
		return spec.Widen(unsafe.Slice((*uint16)(t.Pointer()), t.Len()))
	}
	return unsafe.Slice((*float32)(t.Pointer()), t.Len())
}

func ints(t cuda.Tensor) []int32 { return unsafe.Slice((*int32)(t.Pointer()), t.Len()) }

func shape(t cuda.Tensor) []int {
	dims, n := t.Shape()
	list := make([]int, n)
	for i := range list {
		list[i] = int(dims[i])
	}
	return list
}
