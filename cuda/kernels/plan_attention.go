package kernels

import (
	"math"

	"github.com/inference-pio/inference-pio/cuda"
)

// plan_attention.go launches attention over paged caches (attention.cu, decode.cu, prompt.cu, latent.cu) and over tiles (tile.cu).

var attention = map[cuda.OpCode]func(*Plan, *cuda.Op){
	cuda.OpAttention:       planAttention,
	cuda.OpLatentAttention: planLatentAttention,
	cuda.OpAttendStart: func(p *Plan, op *cuda.Op) {
		p.launch("attend_start", 256, 0, ceilDiv(op.Out[0].Len(), 256), 1, 1)
	},
	cuda.OpAttendTile: planTile,
	cuda.OpAttendDone: func(p *Plan, op *cuda.Op) {
		p.launch("attend_done", 256, 0, ceilDiv(op.Out[0].Len(), 256), 1, 1)
	},
}

const (
	partKeys       = 512 // positions of a part: a softmax of its own
	latentPartKeys = 128 // of latents, whose rows are as long as those of many heads
	pairs          = 16  // rows and heads that go through keys together, as attend.cuh says
	mostWaiting    = 256 << 20
	lastJoinsParts = 2 // PIO_LAST_JOINS
)

// heads is how an op's heads are dealt to blocks of some pairs.
type heads struct {
	all, kv    int
	per        int // of a block, sharing a kv head
	shares     int // blocks that share one
	rows       int // of a block
	dim, value int
}

func headsOf(op *cuda.Op, kv, pairs int) heads {
	q := op.In[0]
	h := heads{all: q.Dim(1), kv: kv, dim: q.Dim(2), value: op.Out[0].Dim(2)}
	each := h.all / kv
	h.per = min(each, pairs)
	h.shares, h.rows = ceilDiv(each, h.per), pairs/h.per
	return h
}

// waiting is the bytes of what a row's head has come to in one part.
func waiting(value int) int { return 4 * (ceilDiv(value, 4)*4 + 4) }

// cuts is how many blocks share the parts of a row, if there are so many blocks for each of its parts and each multiprocessor is to have some:
// enough that all work.
func (p *Plan) cuts(blocks, each, parts, rows int, h heads) int {
	cuts := max(1, min(parts, each*max(p.Multiprocessors, 1)/max(blocks, 1)))
	if cuts > 1 && rows*h.all*parts*waiting(h.value) > mostWaiting {
		return 1
	}
	return ceilDiv(parts, ceilDiv(parts, cuts)) // none of them idle
}

// RoundedAttention says whether fast numerics round an op of attention: queries, keys, values, and weights before they multiply values, with a
// softmax for each part of so many positions. Tiles are one part however many there are.
func RoundedAttention(op *cuda.Op) (part int, rounds bool) {
	dim, value := op.In[0].Dim(2), op.Out[0].Dim(2)
	switch op.Code {
	case cuda.OpAttention:
		return partKeys, max(dim, value) <= 256
	case cuda.OpLatentAttention:
		return latentPartKeys, dim <= latentMost && value <= latentValueMost
	case cuda.OpAttendTile:
		return math.MaxInt32, max(dim, op.In[2].Dim(2)) <= 256
	}
	return 0, false
}

func planAttention(p *Plan, op *cuda.Op) {
	keys, values, tables := op.In[1], op.In[2], op.In[5]
	if keys.DType() != values.DType() {
		p.refuse("keys are in %v and values in %v; give their caches the same type", keys.DType(), values.DType())
		return
	}
	if op.Out[0].Len() == 0 {
		return
	}
	h, positions := headsOf(op, keys.Dim(1), pairs), tables.Dim(1)*keys.Dim(2)
	if p.Fast && max(h.dim, h.value) <= 256 {
		p.fastAttention(op, h, positions)
	} else {
		p.exactAttention(op, "attention", h, partKeys, positions)
	}
}

const (
	waitsBytes  = 4 * (pairs*(8*72+4) + pairs*8 + pairs*2) // scores of a part, as flash.cuh says
	ringBytes   = 64 << 10                                 // values, as decode.cu says
	promptPairs = 64                                       // of a block, as prompt.cu says
)

// fastAttention launches fast numerics. Rows that none of their sequence is beside have blocks of their own, which split a long sequence; the
// others share keys. Which those are is known to the device alone, so that a launch can be repeated for other rows.
func (p *Plan) fastAttention(op *cuda.Op, h heads, positions int) {
	rows, sequences, parts := op.In[0].Rows(), op.In[5].Dim(0), ceilDiv(positions, partKeys)
	size, kernel := valuesUpTo(max(h.dim, h.value)), nameOf{layout: "any_"}
	if op.In[1].DType() == cuda.BF16 && h.dim%8 == 0 && h.value%8 == 0 {
		kernel.layout = ""
	}
	kernel.size = size
	called := func(name string) string {
		kernel.kernel = name
		return p.name(kernel)
	}
	decode := waitsBytes + ringBytes + pairs*size*2
	threads, prompt := promptBlock(size)
	if max(decode, prompt) > p.Shared {
		p.exactAttention(op, "attention", h, partKeys, positions)
		return
	}
	if rows <= max(sequences, rowsApart) {
		cuts := p.cuts(rows*h.kv*h.shares, 4, parts, rows, h)
		p.launch(called("attention_decode_"), 256, decode, cuts, h.kv*h.shares, rows, h.per, h.shares, partKeys, ceilDiv(parts, cuts), parts, lastJoins(cuts, h.kv*h.shares*rows))
		p.joinParts(op, "attention_join_fast", h, cuts, partKeys, parts, 0)
		return
	}
	many := headsOf(op, h.kv, promptPairs)
	groups := ceilDiv(rows, many.rows)
	blocks := groups * many.kv * many.shares
	shared := p.cuts(blocks, 2, parts, rows, h) // of a prompt's parts
	cuts := p.cuts(sequences*h.kv*h.shares, 4, parts, rows, h)
	if shared > 1 {
		cuts = max(cuts, 2) // all wait, and are added up together
	}
	p.launch(called("attention_decode_"), 256, decode, cuts, h.kv*h.shares, sequences, h.per, h.shares, partKeys, ceilDiv(parts, cuts), parts, 1)
	if shared > 1 {
		p.launch(called("attention_prompt_parts_"), threads, prompt, shared, many.kv*many.shares, groups, many.per, many.shares, partKeys, 0, parts, 1)
		p.joinParts(op, "attention_join_fast", h, cuts, partKeys, parts, 0)
		return
	}
	p.joinParts(op, "attention_join_fast", h, cuts, partKeys, parts, 1)
	waits := ceilDiv(int(p.Scratch), 256)
	p.launch(called("attention_prompt_"), threads, prompt, 1, many.kv*many.shares, groups, many.per, many.shares, partKeys, waits, parts, 1)
	if parts > 1 {
		p.Scratch = int64(waits)*256 + int64(blocks)*128*int64(size)*2
	}
}

// promptBlock is the threads and the shared memory of a block with 64 pairs, for heads of so many numbers.
func promptBlock(size int) (threads, shared int) {
	threads, shared = 128, (promptPairs+4*64)*size*2
	if size == 256 {
		threads, shared = 256, shared+statsBytes
	}
	return threads, shared
}

const statsBytes = 2 * 2 * 64 * 4 // what warps that share pairs tell each other, as flash.cuh says

// rowsApart is how many rows of a prompt go through keys one by one: together they would leave most multiprocessors without work.
const rowsApart = 8

func planLatentAttention(p *Plan, op *cuda.Op) {
	if op.Out[0].Len() == 0 {
		return
	}
	cache, tables := op.In[1], op.In[4]
	h, positions := headsOf(op, 1, pairs), tables.Dim(1)*cache.Dim(2)
	shared := waitsBytes + (pairs+latentPartKeys)*latentMost*2
	if !p.Fast || h.dim > latentMost || h.value > latentValueMost || shared > p.Shared {
		p.exactAttention(op, "latent_attention", h, latentPartKeys, positions)
		return
	}
	kernel, rows, parts := "latent_attention_any", op.In[0].Rows(), ceilDiv(positions, latentPartKeys)
	if cache.DType() == cuda.BF16 && h.dim%8 == 0 {
		kernel = "latent_attention"
	}
	cuts := p.cuts(rows*h.shares, 2, parts, rows, h)
	p.launch(kernel, 256, shared, cuts, h.shares, rows, h.per, h.shares, latentPartKeys, ceilDiv(parts, cuts), parts, lastJoins(cuts, h.shares*rows))
	p.joinParts(op, "latent_attention_join_fast", h, cuts, latentPartKeys, parts, 0)
}

const latentMost, latentValueMost = 576, 512 // numbers of a latent, and of those the value's, in fast numerics, as latent.cu says

// planTile launches tile.cu.
func planTile(p *Plan, op *cuda.Op) {
	kv, rows := op.In[1].Dim(0), op.In[0].Rows()
	if op.Out[0].Len() == 0 || op.In[1].Len() == 0 {
		return
	}
	h := headsOf(op, kv, pairs)
	h.value = op.In[2].Dim(2)
	size := valuesUpTo(max(h.dim, h.value))
	if threads, shared := promptBlock(size); p.Fast && size <= 256 && shared <= p.Shared {
		many := headsOf(op, kv, promptPairs)
		p.launch(p.name(nameOf{kernel: "attend_tile_", size: size}), threads, shared, 1, kv*many.shares, ceilDiv(rows, many.rows), many.per, many.shares)
		return
	}
	if shared, ok := p.exactShared(h); ok {
		p.launch(p.name(nameOf{kernel: "attend_tile_exact_", size: valuesUpTo(h.value)}), 256, shared, 1, kv*h.shares, ceilDiv(rows, h.rows), h.per, h.shares)
	}
}

// exactShared is the shared memory that a block wants for heads in exact numerics.
func (p *Plan) exactShared(h heads) (bytes int, ok bool) {
	bytes = 4 * ((64+pairs)*68 + pairs*ceilDiv(h.dim, 64)*64)
	if h.value > 512 || bytes > p.Shared {
		p.refuse("heads of %d and %d numbers; at most %d and 512", h.dim, h.value, (p.Shared/4-(64+pairs)*68)/pairs/64*64)
		return 0, false
	}
	return bytes, true
}

// exactAttention launches exact numerics, for sequences of so many positions at most.
func (p *Plan) exactAttention(op *cuda.Op, name string, h heads, part, positions int) {
	rows, parts := op.In[0].Rows(), ceilDiv(positions, part)
	groups := ceilDiv(rows, h.rows)
	cuts := p.cuts(groups*h.kv*h.shares, 4, parts, rows, h)
	shared, ok := p.exactShared(h)
	if !ok {
		return
	}
	kernel := nameOf{kernel: name, layout: "_exact"}
	if name == "attention" {
		kernel.layout, kernel.size = "_exact_", valuesUpTo(h.value)
	}
	p.launch(p.name(kernel), 256, shared, cuts, h.kv*h.shares, groups, h.per, h.shares, part, ceilDiv(parts, cuts), parts)
	p.joinParts(op, p.name(nameOf{kernel: name, suffix: "_join_exact"}), h, cuts, part, parts, 0)
}

// lastJoins is what a kernel is told whose blocks share parts: that the last of them adds up, if there are counters for all that do.
func lastJoins(cuts, counters int) int {
	if cuts > 1 && counters <= countersMost {
		return lastJoinsParts
	}
	return 0
}

// joinParts adds parts up, if blocks share them and the last does not.
func (p *Plan) joinParts(op *cuda.Op, kernel string, h heads, cuts, part, parts, alone int) {
	if cuts > 1 {
		rows := op.In[0].Rows()
		p.Scratch = int64(rows*h.all*parts) * int64(waiting(h.value))
		if p.Launches[0].P[5] == lastJoinsParts {
			return
		}
		p.launch(kernel, 128, 0, ceilDiv(rows*h.all, 4), 1, 1, h.per, h.shares, part, ceilDiv(parts, cuts), parts, alone)
	}
}

// valuesUpTo is the size of values that a kernel is made for.
func valuesUpTo(n int) int {
	for _, most := range []int{64, 128, 256} {
		if n <= most {
			return most
		}
	}
	return 512
}
