// Package golden compares what a model computes with tensors that a reference implementation wrote.
//
// A golden file is a safetensors file with embeddings, layer.0, layer.1, ..., final and logits. A [Trace] is shown the
// same tensors as a forward pass makes them and names the first that differs, which is where the mistake is: everything
// behind it differs as well.
package golden

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/inference-pio/inference-pio/cuda/weights"
)

// File is an open golden file.
type File struct{ c *weights.Checkpoint }

// Open maps a golden file.
func Open(path string) (File, error) {
	c, err := weights.OpenFile(path)
	return File{c}, err
}

// Close unmaps the file; what F32 and I64 returned stays valid.
func (f File) Close() error { return f.c.Close() }

// F32 returns a copy of a float32 tensor, row-major.
func (f File) F32(name string) ([]float32, error) {
	data, err := f.get(name, "F32")
	if err != nil {
		return nil, err
	}
	out := make([]float32, len(data)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return out, nil
}

// I64 returns a copy of an int64 tensor, row-major.
func (f File) I64(name string) ([]int64, error) {
	data, err := f.get(name, "I64")
	if err != nil {
		return nil, err
	}
	out := make([]int64, len(data)/8)
	for i := range out {
		out[i] = int64(binary.LittleEndian.Uint64(data[8*i:]))
	}
	return out, nil
}

func (f File) get(name, format string) ([]byte, error) {
	v, ok := f.c.Get(name, nil)
	if !ok {
		return nil, fmt.Errorf("golden file has no %q, only %s", name, strings.Join(f.c.Names(), ", "))
	}
	if v.Format != format {
		return nil, fmt.Errorf("golden tensor %q is %s, not %s", name, v.Format, format)
	}
	return v.Data, nil
}

// Diff says how far one tensor is from another.
type Diff struct {
	MaxAbs float64 // max|a-b|; infinite where lengths differ or a value is not a number
	MaxRef float64 // max|b|
	Rel    float64 // MaxAbs / MaxRef
	At     int     // index of the largest difference
}

// Compare measures got against want.
func Compare(got, want []float32) Diff {
	d := Diff{}
	if len(got) != len(want) {
		d.MaxAbs, d.At = math.Inf(1), min(len(got), len(want))
	}
	for i := range min(len(got), len(want)) {
		d.MaxRef = max(d.MaxRef, math.Abs(float64(want[i])))
		delta := math.Abs(float64(got[i]) - float64(want[i]))
		if math.IsNaN(delta) {
			delta = math.Inf(1)
		}
		if delta > d.MaxAbs {
			d.MaxAbs, d.At = delta, i
		}
	}
	if d.MaxAbs > 0 { // 0/0 stays 0: equal tensors of zeros do not differ
		d.Rel = d.MaxAbs / d.MaxRef
	}
	return d
}

// Trace follows one forward pass. Show it each tensor once, in the order of the pass, then ask Err.
type Trace struct {
	file  File
	bound float64
	seen  []string
	first error
}

// NewTrace compares with the tensors of f; bound is the largest Rel that passes.
func NewTrace(f File, bound float64) *Trace { return &Trace{file: f, bound: bound} }

// Show compares the tensor of that name ("layer.2") with the file's.
func (t *Trace) Show(name string, got []float32) {
	if t.first != nil {
		return
	}
	want, err := t.file.F32(name)
	if err != nil {
		t.first = err
		return
	}
	d := Compare(got, want)
	if d.Rel <= t.bound {
		t.seen = append(t.seen, fmt.Sprintf("%s %.1e", name, d.Rel))
		return
	}
	t.first = fmt.Errorf("%s is the first that differs: max|a-b| %.3g of max|b| %.3g is %.1e, more than %.1e, at element %d of %d (%d computed); before it: %s",
		name, d.MaxAbs, d.MaxRef, d.Rel, t.bound, d.At, len(want), len(got), t)
}

// Err is nil if all of the tensors named were shown and none differs.
func (t *Trace) Err(names ...string) error {
	if t.first != nil {
		return t.first
	}
	var missing []string
	for _, n := range names {
		if !t.saw(n) {
			missing = append(missing, n)
		}
	}
	if len(missing) > 0 {
		return errors.New("the forward pass did not show " + strings.Join(missing, ", "))
	}
	return nil
}

func (t *Trace) saw(name string) bool {
	for _, s := range t.seen {
		if strings.HasPrefix(s, name+" ") {
			return true
		}
	}
	return false
}

// String lists what agreed, each with its Rel.
func (t *Trace) String() string {
	if len(t.seen) == 0 {
		return "nothing"
	}
	return strings.Join(t.seen, ", ")
}
