package cuda

// op.go is the one list of ops. An op is data: which, on what, with which numbers. A Step makes it (ops*.go), a Queue runs it now or
// later. cuda/cpu finds its kernels by the names below, and its tests hold the two lists together.

// OpCode says which op.
type OpCode uint8

// The ops. Formula and shapes are at the method of Step that has the op's name; the operands of an Op are in the order below:
// results (or what is changed) | activations and states | weights | floats | integers.
const (
	OpEmbed      OpCode = iota // y | tokens | table
	OpMatMul                   // y | x | w | | 1: the op before is a product of this x, too
	OpCopy                     // y | x
	OpGather                   // y | x, index
	OpColumns                  // y | x | | | first column of x
	OpPutColumns               // y | x | | | first column of y
	OpIndexCopy                // y | x, index, rows
	OpIndexAdd                 // y | x, index, rows

	OpAdd       // y | a, b
	OpMul       // y | a, b
	OpSwiGLU    // y | gate, up
	OpSigmoid   // y | x
	OpGELU      // y | x | | | 1: by tanh
	OpAddRow    // y | x | row
	OpRMSNorm   // y | x | w | eps, plus
	OpLayerNorm // y | x | w, b | eps
	OpL2Norm    // y | x | | eps

	OpAngles // y | positions, freqs, axis or none | | scale
	OpRotate // y | x, angles | | | first element, 1: interleaved

	OpCacheWrite      // cache | x, positions, seqs, tables
	OpCacheRead       // y | cache, tables | | | seq, first
	OpAttention       // y | q, keys, values, positions, seqs, tables | | scale
	OpLatentAttention // y | q, cache, positions, seqs, tables | | scale
	OpLatentQuery     // y | q | w | | nope
	OpLatentValue     // y | x | w
	OpHeadsFirst      // y | x, tail or none | | | first element of x
	OpAttendStart     // acc
	OpAttendTile      // acc | q, keys, values, limits | | scale | first position
	OpAttendDone      // y | acc

	OpCausalConv // y, state | x, positions, slots | w
	OpDecay      // y | a | aLog, dtBias
	OpDeltaRule  // y, state | q, k, v, g, beta, positions, slots, forms | | scale

	OpRoute     // index, weights | logits | bias or none | epsilon, scale | 1: sigmoid, k, groups, top groups, 1: normalize
	OpExperts   // y, rows, inner | x, index, weights | experts
	OpExpertSum // y | rows, index, weights

	OpArgmax // index, value or none | x
	OpTopK   // index, values | x

	opCodes // their number
)

var opNames = [opCodes]string{
	OpEmbed: "embed", OpMatMul: "matmul", OpCopy: "copy", OpGather: "gather", OpColumns: "columns", OpPutColumns: "put_columns",
	OpIndexCopy: "index_copy", OpIndexAdd: "index_add",
	OpAdd: "add", OpMul: "mul", OpSwiGLU: "swiglu", OpSigmoid: "sigmoid", OpGELU: "gelu", OpAddRow: "add_row", OpRMSNorm: "rmsnorm",
	OpLayerNorm: "layernorm", OpL2Norm: "l2norm",
	OpAngles: "angles", OpRotate: "rotate",
	OpCacheWrite: "cache_write", OpCacheRead: "cache_read", OpAttention: "attention", OpLatentAttention: "latent_attention",
	OpLatentQuery: "latent_query", OpLatentValue: "latent_value", OpHeadsFirst: "heads_first", OpAttendStart: "attend_start",
	OpAttendTile: "attend_tile", OpAttendDone: "attend_done",
	OpCausalConv: "causal_conv", OpDecay: "decay", OpDeltaRule: "delta_rule",
	OpRoute: "route", OpExperts: "experts", OpExpertSum: "expert_sum",
	OpArgmax: "argmax", OpTopK: "top_k",
}

// OpCodes lists every op.
func OpCodes() []OpCode {
	list := make([]OpCode, opCodes)
	for i := range list {
		list[i] = OpCode(i)
	}
	return list
}

// String is the name that kernels and errors have for the op.
func (c OpCode) String() string {
	if c >= opCodes {
		return "no op"
	}
	return opNames[c]
}

// The most operands of each kind; a device that makes one op of several has more results and weights in it than any op here.
const (
	MaxOut     = 11
	MaxIn      = 8
	MaxWeights = 6
	MaxFloats  = 2
	MaxInts    = 5
)

// Op is one op with its operands, which lie on the device whose queue runs it. Shapes, types and indices have been checked.
type Op struct {
	Code    OpCode
	Out     [MaxOut]Tensor
	In      [MaxIn]Tensor
	Weights [MaxWeights]Matrix
	Experts *ExpertTable
	Floats  [MaxFloats]float32
	Ints    [MaxInts]int32

	outs, ins, weights, floats, ints uint8 // how many of each
}

// NewOp begins an op, for those who run one without a Step.
func NewOp(code OpCode) *Op { return &Op{Code: code} }

// Gives appends what the op gives or changes.
func (o *Op) Gives(list ...Tensor) *Op {
	o.outs += uint8(copy(o.Out[o.outs:], list))
	return o
}

// Takes appends activations and states that it reads; the zero Tensor where one may be left out.
func (o *Op) Takes(list ...Tensor) *Op {
	o.ins += uint8(copy(o.In[o.ins:], list))
	return o
}

// By appends weights; the zero Matrix where one may be left out.
func (o *Op) By(list ...Matrix) *Op {
	o.weights += uint8(copy(o.Weights[o.weights:], list))
	return o
}

// With appends floats.
func (o *Op) With(list ...float32) *Op {
	o.floats += uint8(copy(o.Floats[o.floats:], list))
	return o
}

// At appends integers.
func (o *Op) At(list ...int32) *Op {
	o.ints += uint8(copy(o.Ints[o.ints:], list))
	return o
}

// Operands are what it gives, takes and multiplies by: for queues.
func (o *Op) Operands() (out, in []Tensor, weights []Matrix) {
	return o.Out[:o.outs], o.In[:o.ins], o.Weights[:o.weights]
}

// Expert is one expert's matrices where they lie on a device; zero if the device does not have it.
type Expert struct{ Gate, Up, Down Matrix }

// ExpertTable is the experts of a layer that one device has, by number. Experts come and go while nothing that was told of it is to run still.
type ExpertTable struct {
	Experts []Expert
	native  any
	moved   []int // since native was made
}

// put sets an expert, and says whether it is another than before.
func (t *ExpertTable) put(i int, e Expert) bool {
	if t.Experts[i] == e {
		return false
	}
	if t.Experts[i] = e; t.native != nil {
		t.moved = append(t.moved, i)
	}
	return true
}

// Native is what a device made of the table to compute with, on the goroutine that runs its ops: of nil at first, and of itself when some experts
// have moved.
func (t *ExpertTable) Native(make func(of *ExpertTable, native any, moved []int) any) any {
	if t.native == nil || len(t.moved) > 0 {
		t.native = make(t, t.native, t.moved)
		t.moved = t.moved[:0]
	}
	return t.native
}
