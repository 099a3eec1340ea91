package kernels

import "github.com/inference-pio/inference-pio/cuda"

// plan_delta.go launches conv.cu and delta.cu.

var delta = map[cuda.OpCode]func(*Plan, *cuda.Op){
	cuda.OpCausalConv: planConv,
	cuda.OpDecay: func(p *Plan, op *cuda.Op) {
		switch {
		case !p.plainVector(op.Weights[0]) || !p.plainVector(op.Weights[1]):
		case isJoined(op):
			p.gates(op)
		default:
			p.launch("decay", 128, 0, ceilDiv(op.Out[0].Len(), 128), 1, 1)
		}
	},
	cuda.OpDeltaRule: planDelta,
}

const mostTaps = 64 // as conv.cu says

func planConv(p *Plan, op *cuda.Op) {
	x, w := op.In[0], op.Weights[0]
	if !p.plainVector(w) {
		return
	}
	if w.Cols > mostTaps {
		p.refuse("a convolution over %d positions; at most %d", w.Cols, mostTaps)
		return
	}
	if x.Rows() == 1 {
		p.launch("causal_conv", 256, 0, ceilDiv(x.Dim(1), 256), 1, 1, 1)
		return
	}
	p.launch("causal_conv", 256, 0, ceilDiv(x.Dim(1), 256), x.Rows(), 1)
	if w.Cols > 1 {
		p.launch("causal_conv_keep", 256, 0, ceilDiv(x.Dim(1), 256), x.Rows(), 1)
	}
}

const (
	chunkRows    = 64   // of a prompt that are computed together
	deltaColumns = 32   // of a block
	panelStep    = 68   // floats of a row of 64 in shared memory
	mostKey      = 1024 // numbers of a key head
	chunkWords   = 2*chunkRows + 4
)

func planDelta(p *Plan, op *cuda.Op) {
	q, v, state := op.In[0], op.In[2], op.Out[1]
	rows, heads, dim := q.Dim(0), v.Dim(1), q.Dim(2)
	if dim > mostKey {
		p.refuse("key heads of %d numbers; at most %d", dim, mostKey)
		return
	}
	if rows == 0 {
		return
	}
	p.Scratch = 4 * chunkWords * int64(rows*heads)
	if rows > 1 { // a chunk of one row needs none
		p.launch("delta_chunks", 256, 4*2*chunkRows*panelStep+8*chunkRows, rows, heads, 1)
	}
	chains, bySlot := rows, 0
	if slots := state.Dim(0); slots < rows {
		chains, bySlot = slots, 1
	}
	shared := 4 * (4*chunkRows*panelStep + chunkRows*deltaColumns + ceilDiv(dim, 64)*64*deltaColumns + chunkWords)
	if shared > p.Shared {
		p.refuse("key heads of %d numbers want %d bytes of shared memory; there are %d", dim, shared, p.Shared)
		return
	}
	p.launch("delta_rule", 256, shared, ceilDiv(v.Dim(2), deltaColumns), heads, chains, bySlot)
}
