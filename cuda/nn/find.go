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

// find gives a leaf's data, or notes why there is none. Of a leaf whose numbers are to be made of codes it gives the sizes, and the view that
// makes them.
func (f *finder) find(l leaf) (cuda.Matrix, weights.View) {
	v, ok := f.get(l.name, l.weight.Shape)
	if ok && v.Coded != nil && v.Known && cuda.Plain(v.DType) != nil && len(v.Shape) > 0 {
		return codedMatrix(v.Shape), v
	}
	if !ok {
		return cuda.Matrix{}, weights.View{}
	}
	return f.plain(l, v), weights.View{}
}

// plain gives the data of a view that has numbers.
func (f *finder) plain(l leaf, v weights.View) cuda.Matrix {
	layout := cuda.Plain(v.DType)
	switch {
	case !v.Known || v.Coded != nil:
	case v.DType == cuda.F8E4M3 && len(v.Shape) == 2:
		return f.scaled(l.name, v)
	case v.DType == cuda.F32 || v.DType == cuda.F16 || v.DType == cuda.BF16:
		return f.matrix(l.name, layout, v.Shape, v.Data)
	}
	f.report.Types = append(f.report.Types, l.name+" is "+v.Format)
	return cuda.Matrix{}
}

// codedMatrix is a matrix that has sizes and no data yet.
func codedMatrix(shape []int) cuda.Matrix {
	rows, last := 1, len(shape)-1
	for _, n := range shape[:last] {
		rows *= n
	}
	return cuda.Matrix{Rows: rows, Cols: shape[last]}
}

// scaled joins a matrix with the scales of its blocks.
func (f *finder) scaled(name string, v weights.View) cuda.Matrix {
	rows, cols := f.block[0], f.block[1]
	blocks := []int{(v.Shape[0] + rows - 1) / rows, (v.Shape[1] + cols - 1) / cols}
	scale, ok := f.get(name+scaleSuffix, blocks)
	if !ok {
		return cuda.Matrix{}
	}
	layout, err := cuda.BlockScaled(rows, cols, scale.DType)
	if err != nil || !scale.Known {
		f.report.Types = append(f.report.Types, name+scaleSuffix+" is "+scale.Format)
		return cuda.Matrix{}
	}
	return f.matrix(name, layout, v.Shape, v.Data, scale.Data)
}

// matrix views a tensor's bytes: its last dimension is the columns, the others are the rows.
func (f *finder) matrix(name string, l *cuda.Layout, shape []int, planes ...[]byte) cuda.Matrix {
	rows, last := 1, len(shape)-1
	for _, n := range shape[:last] {
		rows *= n
	}
	m, err := cuda.HostMatrix(l, rows, shape[last], planes...)
	if err != nil {
		f.report.Shapes = append(f.report.Shapes, name+": "+err.Error())
	}
	return m
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

// findExtra notes what the checkpoint has and the model did not ask for.
func (f *finder) findExtra(ignore func(string) bool) {
	for _, name := range f.src.Names() {
		if !f.used[name] && (ignore == nil || !ignore(name)) {
			f.report.Extra = append(f.report.Extra, name)
		}
	}
}
