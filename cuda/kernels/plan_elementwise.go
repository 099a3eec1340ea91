package kernels

import "github.com/inference-pio/inference-pio/cuda"

// plan_elementwise.go launches the ops whose elements are computed each by itself.

var elementwise = map[cuda.OpCode]func(*Plan, *cuda.Op){
	cuda.OpAdd: each("add"),
}

// each launches a kernel with a thread for each element of the result.
func each(kernel string) func(*Plan, *cuda.Op) {
	return func(p *Plan, op *cuda.Op) { p.elements(kernel, op.Out[0].Len()) }
}
