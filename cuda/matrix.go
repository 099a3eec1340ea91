package cuda

import (
	"fmt"
	"math"
	"unsafe"
)

// matrix.go holds Matrix, the form weights have for ops. Like a Tensor it is a small value that owns nothing.

// Matrix is Rows x Cols weights in the memory of one device. A vector is a matrix of one row; the zero Matrix is none.
type Matrix struct {
	Rows, Cols int
	Layout     *Layout
	planes     [MaxPlanes]unsafe.Pointer
	dev        Device // nil: the memory of this process
}

// HostMatrix views the planes of a matrix in the memory of this process. The bytes must outlive it and be exactly as many as the
// layout takes.
func HostMatrix(l *Layout, rows, cols int, planes ...[]byte) (Matrix, error) {
	m := Matrix{Rows: rows, Cols: cols, Layout: l}
	if err := m.check(); err != nil {
		return Matrix{}, err
	}
	if len(planes) != len(l.Planes) {
		return Matrix{}, fmt.Errorf("%d planes of a matrix in %s, which has %d", len(planes), l.Name, len(l.Planes))
	}
	for i, p := range planes {
		if want := l.Planes[i].bytes(rows, cols); int64(len(p)) != want {
			return Matrix{}, fmt.Errorf("plane %d of a matrix of %d x %d in %s has %d bytes, not %d", i, rows, cols, l.Name, len(p), want)
		}
		m.planes[i] = unsafe.Pointer(unsafe.SliceData(p))
	}
	return m, nil
}

// MatrixOf views a tensor as a matrix: its last dimension is the columns, the others are the rows.
func MatrixOf(t Tensor) (Matrix, error) {
	l := Plain(t.dtype)
	if l == nil || t.IsZero() {
		return Matrix{}, fmt.Errorf("%v is no matrix of weights by itself", t)
	}
	m := Matrix{Rows: 1, Cols: t.Dim(-1), Layout: l, dev: t.dev}
	if t.nd > 1 {
		m.Rows = t.Len() / max(m.Cols, 1)
	}
	m.planes[0] = t.ptr
	return m, m.check()
}

// Lay views DeviceBytes of a device's memory, from offset on, as a matrix. Nothing is copied.
func (l *Layout) Lay(dev Device, mem Memory, offset int64, rows, cols int) (Matrix, error) {
	m := Matrix{Rows: rows, Cols: cols, Layout: l, dev: memoryOf(dev)}
	if err := m.check(); err != nil {
		return Matrix{}, err
	}
	if n := l.DeviceBytes(rows, cols); offset < 0 || n > mem.bytes-offset {
		return Matrix{}, fmt.Errorf("%v at byte %d takes %d of %d bytes", m, offset, n, mem.bytes)
	}
	for i, p := range l.Planes {
		m.planes[i] = advance(mem.ptr, offset)
		offset += aligned(p.bytes(rows, cols))
	}
	return m, nil
}

func (m Matrix) check() error {
	switch {
	case m.Layout == nil || len(m.Layout.Planes) == 0 || len(m.Layout.Planes) > MaxPlanes:
		return fmt.Errorf("a layout has 1 to %d planes", MaxPlanes)
	case m.Rows < 0 || m.Cols < 0 || m.Rows > math.MaxInt32 || m.Cols > math.MaxInt32:
		return fmt.Errorf("a matrix of %d x %d is impossible", m.Rows, m.Cols)
	case m.Cols > 0 && int64(m.Rows) > math.MaxInt64/16/int64(m.Cols):
		return fmt.Errorf("a matrix of %d x %d is too large", m.Rows, m.Cols)
	}
	return nil
}

// IsZero says that this is no matrix.
func (m Matrix) IsZero() bool { return m.Layout == nil }

// Bytes is what its elements take, without what lies between planes.
func (m Matrix) Bytes() (n int64) {
	if m.Layout != nil {
		for _, p := range m.Layout.Planes {
			n += p.bytes(m.Rows, m.Cols)
		}
	}
	return n
}

// Slice is rows from..to-1, without a copy. Both ends are multiples of the layout's RowStep, or the matrix's own.
func (m Matrix) Slice(from, to int) (Matrix, error) {
	cut := func(row int) bool { return row == m.Rows || row >= 0 && row < m.Rows && row%m.Layout.RowStep() == 0 }
	if m.Layout == nil || from > to || !cut(from) || !cut(to) {
		return Matrix{}, fmt.Errorf("%v cannot be cut to rows %d to %d", m, from, to)
	}
	for i, p := range m.Layout.Planes {
		m.planes[i] = advance(m.planes[i], int64(from/p.Rows)*int64(ceilDiv(m.Cols, p.Cols))*int64(p.Bytes))
	}
	m.Rows = to - from
	return m, nil
}

// Plane is one plane as bytes, wherever it lies: for those who copy.
func (m Matrix) Plane(i int) Tensor {
	if m.Layout == nil || i < 0 || i >= len(m.Layout.Planes) {
		return Tensor{}
	}
	p := m.Layout.Planes[i]
	blocks := [MaxDims]int32{int32(ceilDiv(m.Rows, p.Rows)), int32(ceilDiv(m.Cols, p.Cols)), int32(p.Bytes)}
	return Tensor{ptr: m.planes[i], dev: m.dev, dtype: U8, nd: 3, dim: blocks}
}

// Pointer is the address of a plane on the device: for those who implement one.
func (m *Matrix) Pointer(plane int) unsafe.Pointer { return m.planes[plane] }

// Device is where it lies; nil is the memory of this process.
func (m Matrix) Device() Device { return m.dev }

// String tells shape, layout and place: "bf16 (40, 24) on far".
func (m Matrix) String() string {
	if m.IsZero() {
		return "no matrix"
	}
	return fmt.Sprintf("%s (%d, %d) on %s", m.Layout.Name, m.Rows, m.Cols, placeOf(m.dev))
}
