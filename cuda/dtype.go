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
	U8 // bytes that are copied and mean nothing by themselves
	// Q8Row is the bytes of a cache's rows in codes of 8 bits: for each 64 numbers of a row a factor in F32 and then a code for each, -127
	// to 127. See RowLen.
	Q8Row
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
	Q8Row:  {"q8", 1},
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

// rowGroup is how many numbers of a Q8Row have a factor.
const rowGroup = 64

// RowLen is how many elements a row of n numbers takes in a cache of the type: n, but of Q8Row one for each code and four for each factor.
func (d DType) RowLen(n int) int {
	if d != Q8Row {
		return n
	}
	return n + 4*ceilDiv(n, rowGroup)
}

// numbers is how many a row of so many elements has, RowLen's inverse; 0 if no row has as many.
func (d DType) numbers(elements int32) int32 {
	if d != Q8Row {
		return elements
	}
	n := elements - 4*int32(ceilDiv(int(elements), rowGroup+4))
	if d.RowLen(int(n)) != int(elements) {
		return 0
	}
	return n
}
