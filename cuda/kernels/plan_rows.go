package kernels

import (
	"unsafe"

	"github.com/inference-pio/inference-pio/cuda"
)

// plan_rows.go launches rows.cu.

var rows = map[cuda.OpCode]func(*Plan, *cuda.Op){
	cuda.OpCopy: planCopy,
	cuda.OpGather: func(p *Plan, op *cuda.Op) {
		p.moves("gather", op.Out[0].Len(), op.Out[0].Len()/max(op.Out[0].Rows(), 1))
	},
	cuda.OpColumns: func(p *Plan, op *cuda.Op) {
		out, _, _ := op.Operands()
		if isPut(op) {
			p.movesApart("columns_put", out[:partsOf(out)])
			return
		}
		p.movesApart("columns", out)
	},
	cuda.OpPutColumns: func(p *Plan, op *cuda.Op) {
		_, in, _ := op.Operands()
		p.movesApart("put_columns", in)
	},
	cuda.OpIndexCopy: func(p *Plan, op *cuda.Op) { p.indexed(op, 0) },
	cuda.OpIndexAdd:  func(p *Plan, op *cuda.Op) { p.indexed(op, 1) },
	cuda.OpHeadsFirst: func(p *Plan, op *cuda.Op) {
		if y := op.Out[0]; y.Len() > 0 {
			p.launch("heads_first", 128, 0, y.Dim(0)*y.Dim(1), 1, 1)
		}
	},
}

// most is how many blocks a kernel has that goes through its elements in a loop: some for each multiprocessor.
func (p *Plan) most(blocks int) int { return min(blocks, 16*max(p.Multiprocessors, 1)) }

func (p *Plan) moves(kernel string, n int, numbers ...int) {
	p.launch(kernel, 256, 0, p.most(ceilDiv(n, 4*256)), 1, 1, numbers...)
}

// movesApart has a row of blocks for each part.
func (p *Plan) movesApart(kernel string, parts []cuda.Tensor) {
	n := 0
	for i := range parts {
		n = max(n, parts[i].Len())
	}
	p.launch(kernel, 256, 0, p.most(ceilDiv(n, 4*256)), len(parts), 1)
}

func planCopy(p *Plan, op *cuda.Op) {
	y, x := op.Out[0], op.In[0]
	if y.DType() != x.DType() {
		p.moves("copy_rows", y.Len())
		return
	}
	p.copies(int(y.Bytes()), y.DType().Size())
}

// CopyBytes is the launch that copies so many bytes from where they are readable, which pinned memory of the host is, too; and what it is given but for
// its numbers.
func (p *Plan) CopyBytes(to, from unsafe.Pointer, n int) (Launch, Op) {
	bytes := func(at unsafe.Pointer) tensor {
		return tensor{At: uint64(uintptr(at)), Type: int32(cuda.U8), ND: 1, Dim: [4]int32{int32(n), 1, 1, 1}}
	}
	p.Launches = p.Launches[:0]
	p.copies(n, 1)
	l := p.Launches[0]
	return l, Op{Outs: 1, Ins: 1, Out: [11]tensor{bytes(to)}, In: [8]tensor{bytes(from)}, P: l.P}
}

func (p *Plan) copies(bytes, each int) {
	p.launch("copy_bytes", 256, 0, p.most(ceilDiv(bytes, 16*256)), 1, 1, each)
}

// indexed copies what stays, unless it is there already, and then changes the rows that the index names.
func (p *Plan) indexed(op *cuda.Op, add int) {
	if op.Out[0].Pointer() != op.In[0].Pointer() {
		planCopy(p, op)
	}
	if op.Out[0].Len() > 0 {
		p.launch("index_rows", 256, 0, op.In[1].Rows(), 1, 1, add)
	}
}
