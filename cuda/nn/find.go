// How Bind finds the data of a weight in a source, and notes all that does not fit.

package nn

import (
	"slices"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// scaleSuffix makes of a weight's name that of its block scales. The name says inverse and means the factor itself.
const scaleSuffix = "_scale_inv"

type finder struct {
	src    weights.Source
	block  [2]int          // rows and columns of a scaled block
	used   map[string]bool // names the model asked for
	report BindError
}

// find gives a leaf's data, or notes why there is none.
func (f *finder) find(l leaf) cuda.Tensor {
	v, ok := f.get(l.name, l.weight.Shape)
	if !ok {
		return cuda.Tensor{}
	}
	switch {
	case !v.Known:
	case v.DType == cuda.F32 || v.DType == cuda.F16 || v.DType == cuda.BF16:
		return f.host(l.name, v)
	case v.DType == cuda.F8E4M3 && len(v.Shape) == 2:
		return f.scaled(l.name, v)
	}
	f.report.Types = append(f.report.Types, l.name+" is "+v.Format)
	return cuda.Tensor{}
}

// scaled joins a matrix with the scales of its blocks.
func (f *finder) scaled(name string, v weights.View) cuda.Tensor {
	rows, cols := f.block[0], f.block[1]
	blocks := []int{(v.Shape[0] + rows - 1) / rows, (v.Shape[1] + cols - 1) / cols}
	name += scaleSuffix
	scale, ok := f.get(name, blocks)
	if !ok {
		return cuda.Tensor{}
	}
	if !scale.Known || scale.DType != cuda.F32 && scale.DType != cuda.BF16 {
		f.report.Types = append(f.report.Types, name+" is "+scale.Format)
		return cuda.Tensor{}
	}
	t, err := f.host(name, v).Scaled(f.host(name, scale), rows, cols)
	if err != nil {
		f.report.Shapes = append(f.report.Shapes, name+": "+err.Error())
	}
	return t
}

// get gives a tensor of the shape wanted, or notes that it is missing or has another.
func (f *finder) get(name string, want []int) (weights.View, bool) {
	f.used[name] = true
	v, ok := f.src.Get(name, want)
	switch {
	case !ok:
		f.report.Missing = append(f.report.Missing, name+" "+shape(want))
	case !slices.Equal(v.Shape, want):
		f.report.Shapes = append(f.report.Shapes, name+" is "+shape(v.Shape)+", not "+shape(want))
		ok = false
	}
	return v, ok
}

func (f *finder) host(name string, v weights.View) cuda.Tensor {
	t, err := cuda.HostTensor(v.Data, v.DType, v.Shape...)
	if err != nil {
		f.report.Shapes = append(f.report.Shapes, name+": "+err.Error())
	}
	return t
}

// findExtra notes what the checkpoint has and the model did not ask for.
func (f *finder) findExtra(ignore func(string) bool) {
	for _, name := range f.src.Names() {
		if !f.used[name] && (ignore == nil || !ignore(name)) {
			f.report.Extra = append(f.report.Extra, name)
		}
	}
}
