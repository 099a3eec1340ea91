package cuda

// dtype.go holds the table of element types. A type listed here can be stored and moved; which ones an op computes with
// is said at the op.

// DType is the type of a tensor's elements.
type DType uint8

// The element types. Activations are F32; weights keep the form they have in the file.
const (
	F32 DType = iota
	BF16
	F16
	F8E4M3
	I32
	U8     // bytes that are copied and mean nothing by themselves
	dtypes // their number
)

var dtypeTable = [dtypes]struct {
	name string
	size int
}{
	F32:    {"f32", 4},
	BF16:   {"bf16", 2},
	F16:    {"f16", 2},
	F8E4M3: {"f8e4m3", 1},
	I32:    {"i32", 4},
	U8:     {"u8", 1},
}

// Size is the bytes of one element; 0 for a value that is no DType.
func (d DType) Size() int {
	if d >= dtypes {
		return 0
	}
	return dtypeTable[d].size
}

func (d DType) String() string {
	if d >= dtypes {
		return "no dtype"
	}
	return dtypeTable[d].name
}
