package kernels

import "github.com/inference-pio/inference-pio/cuda"

// plan_norms.go launches norms.cu: a team of threads for each row, whose size is a function of the row's length.

var norms = map[cuda.OpCode]func(*Plan, *cuda.Op){
	cuda.OpRMSNorm: func(p *Plan, op *cuda.Op) {
		if p.plainVector(op.Weights[0]) {
			p.teams("rmsnorm", op, op.Weights[0].Cols)
		}
	},
	cuda.OpLayerNorm: func(p *Plan, op *cuda.Op) {
		if p.plainVector(op.Weights[0]) && p.plainVector(op.Weights[1]) {
			p.teams("layernorm", op, op.Weights[0].Cols)
		}
	},
	cuda.OpL2Norm: func(p *Plan, op *cuda.Op) { p.teams("l2norm", op, op.In[0].Dim(-1)) },
}

const (
	shortRow   = 512 // elements that one warp has, as norms.cu says
	rowsOfTeam = 4   // short rows of a block
)

// teams launches a kernel over rows of n elements, of each result.
func (p *Plan) teams(kernel string, op *cuda.Op, n int) {
	out, _, _ := op.Operands()
	p.teamsOf(kernel, out, n)
}

func (p *Plan) teamsOf(kernel string, out []cuda.Tensor, n int) {
	if n == 0 {
		return
	}
	rows := 0
	for i := range out {
		rows = max(rows, out[i].Len()/n)
	}
	if n <= shortRow {
		p.launch(kernel, 32*rowsOfTeam, 0, ceilDiv(rows, rowsOfTeam), len(out), 1, n)
		return
	}
	p.launch(kernel, teamOf(n), 0, rows, len(out), 1, n)
}

// teamOf is the threads of a row of n elements.
func teamOf(n int) int {
	if n <= shortRow {
		return 32
	}
	threads := 128
	for threads < 1024 && threads*8 < n { // two loads a thread, if there are threads enough
		threads *= 2
	}
	return threads
}
