package kernels

import (
	"math/bits"

	"github.com/inference-pio/inference-pio/cuda"
)

// plan_sampling.go launches sampling.cu.

var sampling = map[cuda.OpCode]func(*Plan, *cuda.Op){
	cuda.OpArgmax: planArgmax,
	cuda.OpTopK:   planTopK,
}

const (
	logits      = 4096 // of a piece of argmax, as sampling.cu says
	sortedBits  = 12   // ranks that a block of top_k sorts: 2^12, or more for a large k
	mostSorted  = 14
	bestRankLen = 16 // bytes of what a piece of argmax gives
)

func planArgmax(p *Plan, op *cuda.Op) {
	rows, pieces := op.In[0].Dim(0), ceilDiv(op.In[0].Dim(1), logits)
	p.launch("argmax", 256, 0, pieces, rows, 1)
	if pieces > 1 {
		p.Scratch = int64(rows*pieces) * bestRankLen
		p.launch("argmax_join", 32, 0, rows, 1, 1, pieces)
	}
}

// planTopK sorts pieces of a row and then, together, as many of their lists of the best as a block takes, until there is one.
func planTopK(p *Plan, op *cuda.Op) {
	rows, n, k := op.In[0].Dim(0), op.In[0].Dim(1), op.Out[0].Dim(1)
	size := max(sortedBits, bits.Len(uint(2*k-1)))
	if size > mostSorted && (n > 1<<mostSorted || k > 1<<mostSorted) {
		p.refuse("the best %d of %d elements; at most %d are told", k, n, 1<<(mostSorted-1))
		return
	}
	size = min(size, mostSorted)
	all := 1 << size
	lists, shared := ceilDiv(n, all), 8*all
	if lists > 1 {
		p.Scratch = 2 * 8 * int64(rows*lists*k)
	}
	p.launch("top_k", 512, shared, lists, rows, 1, 0, k, 0, size, 1)
	for half := 0; lists > 1; half = 1 - half {
		each := all / k
		p.launch("top_k", 512, shared, ceilDiv(lists, each), rows, 1, lists, k, each, size, half)
		lists = ceilDiv(lists, each)
	}
}
