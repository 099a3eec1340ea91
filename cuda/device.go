package cuda

// device.go holds what a device is: memory with a budget, copies to and from the memory of this process, and a table of
// ops. How a step uses several of them is in step.go.

// The kinds of device.
const (
	KindCPU  = "cpu"
	KindFar  = "far" // cuda/far: the device for tests of placement
	KindCUDA = "cuda"
)

// MaxDevices is how many devices one step can use.
const MaxDevices = 16

// Device is memory that tensors lie in and the arithmetic that works on it. Its methods may be called from any goroutine.
type Device interface {
	Name() string
	Kind() string
	// Alloc gives zeroed memory, aligned to 64 bytes. A *BudgetError says that the budget does not allow it.
	Alloc(bytes int64, p Purpose) (Memory, error)
	Free(Memory)
	Usage() Usage
	// SetBudget changes what Alloc may give in total; 0 is no limit. Below what is used, Alloc fails until enough is freed.
	SetBudget(bytes int64)
	// CopyIn fills dst, which lies here, from src in the memory of this process; CopyOut is the other way round. Both
	// return when the bytes have arrived. The tensors have one type and one number of elements.
	CopyIn(dst, src Tensor) error
	CopyOut(dst, src Tensor) error
	// CopyWithin copies between two tensors that lie here and do not overlap.
	CopyWithin(dst, src Tensor) error
	Ops() Ops
	Rates() Rates
}

// Rates is what a planner needs to know of a device's speed. 0 is unlimited or unknown.
type Rates struct {
	Copy  float64 // bytes/s between this process's memory and the device
	Read  float64 // bytes/s at which its ops read weights
	FLOPS float64 // f32 operations/s
}

// RotaryStyle says which elements of a head form the pairs that Rotate turns.
type RotaryStyle uint8

// The two ways a head's first 2n elements are paired.
const (
	Half        RotaryStyle = iota // (i, i+n)
	Interleaved                    // (2i, 2i+1)
)

// Ops is a device's table of ops: the same list as Step's methods, which hold formula and shapes, with the result first.
// The step has checked shapes and types; an implementation checks that every operand lies in its memory and that every
// index is in range, and gives an error otherwise. One call at a time for each device.
type Ops interface {
	Embed(dst, tokens, table Tensor) error
	MatMul(dst, x, w Tensor) error
	RMSNorm(dst, x, w Tensor, eps, plus float32) error
	Add(dst, x, y Tensor) error
	SwiGLU(dst, gate, up Tensor) error
	Angles(dst, positions Tensor, freqs []float32, axis []uint8, scale float32) error
	Rotate(dst, x, angles Tensor, from int, style RotaryStyle) error
	CacheWrite(cache, x, positions, seqs, tables Tensor) error
	Attention(dst, q, keys, values, positions, seqs, tables Tensor, scale float32) error
	Gather(dst, x, index Tensor) error

	RowOps
	ExpertOps
	DeltaOps
	AttentionOps
	BiasedOps
	VisionOps
}
