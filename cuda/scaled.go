package cuda

import "fmt"

// scaled.go holds block-scaled matrices: elements of 8 bits that mean something only together with the factors of their
// blocks. The factors are a second tensor that a Tensor of F8E4M3 points at, so that an op, and a list of experts, takes such
// a weight as it takes any other. What copies weights copies both: see Weight.Bytes, Weight.Lay and CopyWeight.

// scaling is immutable and shared by all copies of a Tensor.
type scaling struct {
	factors    Tensor
	rows, cols int // of a block
}

// Scaled is a matrix of F8E4M3 with the factors of its blocks: element (o, i) stands for t[o][i] · factors[o div rows][i div cols].
// factors is (ceil(out/rows), ceil(in/cols)) in f32 or bf16, on the same device; blocks at the edges are partial.
func (t Tensor) Scaled(factors Tensor, rows, cols int) (Tensor, error) {
	switch {
	case t.dtype != F8E4M3 || t.nd != 2:
		return Tensor{}, fmt.Errorf("block scales belong to a matrix of %s, not to %v", F8E4M3, t)
	case rows <= 0 || cols <= 0:
		return Tensor{}, fmt.Errorf("blocks of %d x %d elements are impossible", rows, cols)
	case factors.dtype != F32 && factors.dtype != BF16 || factors.nd != 2:
		return Tensor{}, fmt.Errorf("block scales are a matrix of %s or %s, not %v", F32, BF16, factors)
	case factors.dev != t.dev:
		return Tensor{}, fmt.Errorf("%v and its block scales (%v) lie on two devices", t, factors)
	}
	if want := blocks(t.Dim(0), t.Dim(1), rows, cols); want != [2]int{factors.Dim(0), factors.Dim(1)} {
		return Tensor{}, fmt.Errorf("the block scales of %v in blocks of %d x %d are %v, not (%d, %d)", t, rows, cols, factors, want[0], want[1])
	}
	t.scale = &scaling{factors, rows, cols}
	return t, nil
}

// Scale is what Scaled was given; the zero Tensor for a matrix that has no block scales.
func (t Tensor) Scale() (factors Tensor, rows, cols int) {
	if t.scale == nil {
		return Tensor{}, 0, 0
	}
	return t.scale.factors, t.scale.rows, t.scale.cols
}

// blocks is the shape of the factors of an out x in matrix.
func blocks(out, in, rows, cols int) [2]int {
	return [2]int{(out + rows - 1) / rows, (in + cols - 1) / cols}
}

// Bytes is what the weight takes in the file's form, with its block scales.
func (w *Weight) Bytes() int64 {
	factors, _, _ := w.host.Scale()
	return w.host.Bytes() + factors.Bytes()
}

// WeightAlign is where the parts of a weight begin on a device: at multiples of so many bytes.
const WeightAlign = 64

// DeviceBytes is what Lay needs for the weight on a device.
func (w *Weight) DeviceBytes() int64 {
	factors, _, _ := w.host.Scale()
	return aligned(w.host.Bytes()) + aligned(factors.Bytes())
}

// Lay views DeviceBytes of a device's memory as the weight: its elements from offset on, its block scales behind them. Nothing
// is copied; see CopyWeight.
func (w *Weight) Lay(dev Device, m Memory, offset int64) (Tensor, error) {
	t, err := DeviceTensor(dev, m, offset, w.DType, w.Shape...)
	host, rows, cols := w.host.Scale()
	if err != nil || host.IsZero() {
		return t, err
	}
	factors, err := DeviceTensor(dev, m, offset+aligned(t.Bytes()), host.dtype, host.Dim(0), host.Dim(1))
	if err != nil {
		return Tensor{}, err
	}
	return t.Scaled(factors, rows, cols)
}

// CopyWeight copies a weight from the memory of this process, with its block scales if it has them, into what Lay gave.
func CopyWeight(dev Device, dst Tensor, w *Weight) error {
	if err := dev.CopyIn(dst, w.host); err != nil {
		return err
	}
	from, _, _ := w.host.Scale()
	if from.IsZero() {
		return nil
	}
	to, _, _ := dst.Scale()
	return dev.CopyIn(to, from)
}

func aligned(n int64) int64 { return (n + WeightAlign - 1) &^ (WeightAlign - 1) }
