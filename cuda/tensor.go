package cuda

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unsafe"
)

// tensor.go holds Tensor and its views. A Tensor is a small value: passing one, or taking a view, allocates nothing.
// Kept here: contiguous and row-major always; a tensor never owns its memory; the zero Tensor is what a failed step or a
// view that does not fit gives, and every op refuses it.

// MaxDims is the number of dimensions a tensor can have.
const MaxDims = 4

// Tensor is a view of contiguous row-major elements in the memory of one device.
type Tensor struct {
	ptr    unsafe.Pointer // on the device; nil in a step that only measures
	dev    Device         // nil: the memory of this process
	dim    [MaxDims]int32
	below  int32  // of I32: every element is at least 0 and below this; 0 where that is not known
	node   uint32 // activations: which one of its section this is a view of
	serial uint32 // activations: the node's, to notice use after its memory was given to another
	sec    uint8  // activations: 1 + the section; 0 for weights, states and the caller's own
	nd     uint8
	dtype  DType
}

// HostTensor views bytes of this process (a mapped file, a slice) as a tensor. The bytes must outlive it and must be
// exactly as many as the shape says.
func HostTensor(data []byte, d DType, shape ...int) (Tensor, error) {
	t := Tensor{dtype: d}
	if err := t.setShape(shape); err != nil {
		return Tensor{}, err
	}
	if t.Bytes() != int64(len(data)) {
		return Tensor{}, fmt.Errorf("a %s tensor of shape %v has %d bytes, not %d", d, shape, t.Bytes(), len(data))
	}
	t.ptr = unsafe.Pointer(unsafe.SliceData(data))
	return t, nil
}

// FromF32 views a slice as a tensor; without a shape it has one dimension.
func FromF32(data []float32, shape ...int) (Tensor, error) {
	if len(shape) == 0 {
		return HostTensor(bytesOf(data), F32, len(data))
	}
	return HostTensor(bytesOf(data), F32, shape...)
}

// FromI32 views a slice as a tensor; without a shape it has one dimension.
func FromI32(data []int32, shape ...int) (Tensor, error) {
	if len(shape) == 0 {
		return HostTensor(bytesOf(data), I32, len(data))
	}
	return HostTensor(bytesOf(data), I32, shape...)
}

// DeviceTensor views memory of a device from an offset on; it is what a device, and whoever places weights, builds
// tensors with. The memory must reach as far as the shape says.
func DeviceTensor(dev Device, m Memory, offset int64, d DType, shape ...int) (Tensor, error) {
	t := Tensor{dtype: d, dev: dev}
	if err := t.setShape(shape); err != nil {
		return Tensor{}, err
	}
	if offset < 0 || offset > m.bytes || t.Bytes() > m.bytes-offset {
		return Tensor{}, fmt.Errorf("a %s tensor of shape %v at byte %d does not fit into %d bytes", d, shape, offset, m.bytes)
	}
	t.dev = memoryOf(dev)
	t.ptr = advance(m.ptr, offset)
	return t, nil
}

func (t *Tensor) setShape(shape []int) error {
	if len(shape) == 0 || len(shape) > MaxDims {
		return fmt.Errorf("a tensor has 1 to %d dimensions, not %d", MaxDims, len(shape))
	}
	size := int64(t.dtype.Size())
	if size == 0 {
		return fmt.Errorf("dtype %d is not known", t.dtype)
	}
	for i, n := range shape {
		if n < 0 || n > math.MaxInt32 || (n > 0 && size > math.MaxInt64/int64(n)) {
			return fmt.Errorf("shape %v is impossible", slices.Clone(shape)) // a clone, so that no caller's shape escapes
		}
		size *= int64(n)
		t.dim[i] = int32(n)
	}
	t.nd = uint8(len(shape))
	return nil
}

// IsZero says that this is no tensor: the step failed before, or a view did not fit.
func (t Tensor) IsZero() bool { return t.nd == 0 }

// NDim is the number of dimensions, Dim the size of one (0 outside the range), Rows the first.
func (t Tensor) NDim() int { return int(t.nd) }

// Dim is the size of dimension i; a negative i counts from the last. 0 outside the range.
func (t Tensor) Dim(i int) int {
	if i < 0 {
		i += int(t.nd)
	}
	if i < 0 || i >= int(t.nd) {
		return 0
	}
	return int(t.dim[i])
}

// Rows is the first dimension.
func (t Tensor) Rows() int { return t.Dim(0) }

// Len is the number of elements.
func (t Tensor) Len() int {
	if t.nd == 0 {
		return 0
	}
	n := 1
	for i := range t.nd {
		n *= int(t.dim[i])
	}
	return n
}

// Bytes is the size of the elements.
func (t Tensor) Bytes() int64 { return int64(t.Len()) * int64(t.dtype.Size()) }

// DType is the type of the elements.
func (t Tensor) DType() DType { return t.dtype }

// Device is where the elements lie; nil is the memory of this process, which every CPU device computes on.
func (t Tensor) Device() Device { return t.dev }

// Place names the device.
func (t Tensor) Place() string {
	return placeOf(t.dev)
}

// Shape is the dimensions, 1 where there is none, and their number.
func (t *Tensor) Shape() (dims [MaxDims]int32, n int) {
	dims = t.dim
	for i := int(t.nd); i < MaxDims; i++ {
		dims[i] = 1
	}
	return dims, int(t.nd)
}

// Pointer is the address on the device: for those who implement one.
func (t Tensor) Pointer() unsafe.Pointer { return t.ptr }

// SamePlace says whether two tensors begin at one place, or, in a step that only measures, where activations have none, are of one activation.
func (t Tensor) SamePlace(u Tensor) bool {
	return t.ptr == u.ptr && (t.ptr != nil || t.sec == u.sec && t.serial == u.serial)
}

// Indexes says that every element is known to be at least 0 and below n.
func (t Tensor) Indexes(n int) bool {
	return t.dtype == I32 && t.below > 0 && int64(t.below) <= int64(n)
}

// float says that the elements are numbers that ops compute with.
func (t Tensor) float() bool { return t.dtype == F32 || t.dtype == BF16 }

// cached is how many numbers each of a cache's rows has; 0 where it is of no type that caches have.
func (t Tensor) cached() int32 {
	if !t.float() && t.dtype != Q8Row || t.nd != 4 {
		return 0
	}
	return t.dtype.numbers(t.dim[3])
}

// Heads splits the last of two dimensions: (rows, n*dim) -> (rows, n, dim).
func (t Tensor) Heads(dim int) Tensor {
	if t.nd != 2 || dim <= 0 || int(t.dim[1])%dim != 0 {
		return Tensor{}
	}
	t.nd = 3
	t.dim[1], t.dim[2] = t.dim[1]/int32(dim), int32(dim)
	return t
}

// Flat joins the last two of three dimensions: (rows, a, b) -> (rows, a*b). It is the inverse of Heads.
func (t Tensor) Flat() Tensor {
	if t.nd != 3 || int64(t.dim[1])*int64(t.dim[2]) > math.MaxInt32 {
		return Tensor{}
	}
	t.nd = 2
	t.dim[1], t.dim[2] = t.dim[1]*t.dim[2], 0
	return t
}

// Slice is the rows from, from+1, .. to-1.
func (t Tensor) Slice(from, to int) Tensor {
	if t.nd == 0 || from < 0 || to < from || to > int(t.dim[0]) {
		return Tensor{}
	}
	stride := int64(t.dtype.Size())
	for i := uint8(1); i < t.nd; i++ {
		stride *= int64(t.dim[i])
	}
	t.dim[0] = int32(to - from)
	if to > from { // no rows lie nowhere: the address behind the last row may be another allocation's
		t.ptr = advance(t.ptr, int64(from)*stride)
	}
	return t
}

// F32 is the elements of an F32 tensor in the memory of this process; nil for any other.
func (t Tensor) F32() []float32 {
	if t.dtype != F32 || t.dev != nil || t.ptr == nil {
		return nil
	}
	return unsafe.Slice((*float32)(t.ptr), t.Len())
}

// I32 is the elements of an I32 tensor in the memory of this process; nil for any other.
func (t Tensor) I32() []int32 {
	if t.dtype != I32 || t.dev != nil || t.ptr == nil {
		return nil
	}
	return unsafe.Slice((*int32)(t.ptr), t.Len())
}

// Raw is the bytes of a tensor in the memory of this process; nil for one elsewhere.
func (t Tensor) Raw() []byte {
	if t.dev != nil || t.ptr == nil {
		return nil
	}
	return unsafe.Slice((*byte)(t.ptr), t.Bytes())
}

// String tells type, shape and place, as errors show them: "f32 (3, 128) on far".
func (t Tensor) String() string {
	if t.IsZero() {
		return "nothing"
	}
	dims := make([]string, t.nd)
	for i := range dims {
		dims[i] = fmt.Sprint(t.dim[i])
	}
	return fmt.Sprintf("%s (%s) on %s", t.dtype, strings.Join(dims, ", "), t.Place())
}

// Group joins rows, k at a time: (rows, n) -> (rows/k, k*n).
func (t Tensor) Group(k int) Tensor {
	if t.nd != 2 || k < 1 || int(t.dim[0])%k != 0 || int64(k)*int64(t.dim[1]) > math.MaxInt32 {
		return Tensor{}
	}
	t.dim[0], t.dim[1] = t.dim[0]/int32(k), t.dim[1]*int32(k)
	return t
}

// SameShape says whether two tensors have the same dimensions.
func (t Tensor) SameShape(u Tensor) bool { return t.nd == u.nd && t.dim == u.dim }

func advance(p unsafe.Pointer, n int64) unsafe.Pointer {
	if p == nil {
		return nil
	}
	return unsafe.Add(p, n)
}

func pointerTo[E any](s []E) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(s)) }

func bytesOf[E any](s []E) []byte {
	var e E
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(e)))
}
