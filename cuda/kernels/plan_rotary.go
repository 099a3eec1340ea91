package kernels

import "github.com/inference-pio/inference-pio/cuda"

// plan_rotary.go launches rotary.cu.

var rotary = map[cuda.OpCode]func(*Plan, *cuda.Op){
	cuda.OpAngles: func(p *Plan, op *cuda.Op) {
		p.launch("angles", 128, 0, ceilDiv(op.Out[0].Len()/2, 128), 1, 1)
	},
	cuda.OpRotate: func(p *Plan, op *cuda.Op) {
		if isJoined(op) {
			p.joinedHeads(op)
			return
		}
		x, pairs, from := op.In[0], op.In[1].Dim(1), int(op.Ints[0])
		units := ceilDiv(pairs, 4) + ceilDiv(from, 4) + ceilDiv(x.Dim(2)-from-2*pairs, 4)
		p.launch("rotate", 128, 0, ceilDiv(x.Dim(0)*x.Dim(1)*units, 128), 1, 1)
	},
}
