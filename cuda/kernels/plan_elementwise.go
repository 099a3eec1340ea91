package kernels

import "github.com/inference-pio/inference-pio/cuda"

// plan_elementwise.go launches the ops whose elements are computed each by itself.

var elementwise = map[cuda.OpCode]func(*Plan, *cuda.Op){
	cuda.OpAdd:     each("add"),
	cuda.OpMul:     planMul,
	cuda.OpSwiGLU:  planSwiGLU,
	cuda.OpSigmoid: each("sigmoid"),
	cuda.OpGELU:    planGELU,
	cuda.OpAddRow: func(p *Plan, op *cuda.Op) {
		if p.plainVector(op.Weights[0]) {
			p.fours("add_row", op.Out[0].Len())
		}
	},
}

// each launches a kernel with a thread for each four elements of the result.
func each(kernel string) func(*Plan, *cuda.Op) {
	return func(p *Plan, op *cuda.Op) { p.fours(kernel, op.Out[0].Len()) }
}

// fours launches a kernel with a thread for each four of n elements.
func (p *Plan) fours(kernel string, n int, numbers ...int) {
	p.launch(kernel, 256, 0, ceilDiv(n, 4*256), 1, 1, numbers...)
}

// planSwiGLU launches the gate; of rows that are normed before, a team for each.
func planSwiGLU(p *Plan, op *cuda.Op) {
	if out, _, _ := op.Operands(); len(out) > 1 {
		p.teamsOf("rmsnorm_gates", op.Out[:1], op.Weights[0].Cols)
		return
	}
	p.fours("swiglu", op.Out[0].Len())
}

func planMul(p *Plan, op *cuda.Op) {
	if n, factors := op.In[0].Len(), op.In[1].Len(); n != factors {
		p.fours("mul_rows", n, n/max(factors, 1))
	} else {
		p.fours("mul", n)
	}
}

func planGELU(p *Plan, op *cuda.Op) {
	if op.Ints[0] == int32(cuda.GELUTanh) {
		p.fours("gelu_tanh", op.Out[0].Len())
	} else {
		p.fours("gelu_erf", op.Out[0].Len())
	}
}

// plainVector says whether a vector of weights is one that kernels read, and refuses the op if not.
func (p *Plan) plainVector(w cuda.Matrix) bool {
	if isPlain(w) {
		return true
	}
	p.refuse("a vector of weights in %s; f32, bf16 and f16 are read", w.Layout.Name)
	return false
}

func isPlain(w cuda.Matrix) bool {
	switch w.Layout.Name {
	case "f32", "bf16", "f16":
		return true
	}
	return false
}
