// Bind connects a model's weights with a checkpoint. All that does not fit is told in one error, so that a user who has the
// wrong export learns it at once and whole.

package nn

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// BindOptions say what a checkpoint may look like.
type BindOptions struct {
	Prefix string                 // of every name but those tagged root: "model."
	Ignore func(name string) bool // tensors that may be there and are not needed; nil ignores none

	Stop func() error // asked before each tensor, whose error ends the binding; nil never does

	FP8Block [2]int // rows and columns of the blocks that F8_E4M3 weights are scaled by; zero is 128 x 128

	Quantise string // cuda.Q8 or cuda.Q4: see quantise.go; "" keeps every weight as the file has it
	// Coded is the same for weights that the file has as codes, where Quantise is "": see Repack. nil, and "", widen them to their source's
	// type.
	Coded func(v weights.View) string
}

// Bound is a model whose weights have data.
type Bound struct {
	Modules    []*cuda.Module // in the order of the model's fields, which is that of the forward pass
	Layers     []*cuda.Module // those with id "layers.N", N = 0, 1, ...
	Parameters int64          // elements of all weights; one that is used twice counts once

	byID  map[string]*cuda.Module
	later []unquantised
}

// Bind fills the weights of a model, given as a pointer to its struct. Fields tagged `weight:"name"` are pieces of a path: a
// struct's piece is followed by those of its fields, a slice's by the element's index; a piece "." adds nothing. `weight:"lm_head,root"` begins a path
// outside the prefix. A *cuda.Weight is a leaf and must have its shape; one that stands in two places (a tied head) is
// bound under the first. A nil leaf must be tagged `weight:"bias,optional"`: the model has none. What is tagged `weight:"gate,keep"` is not
// quantised.
//
// A weight that its file has as codes has no data until Quantise makes it, be it in a plain type.
//
// A matrix in F8_E4M3 has the scales of its blocks beside it, under its own name with _scale_inv behind; both are one weight.
//
// A weight belongs to the module that its path names up to its last index ("layers.3"), without one to its first piece
// ("norm"). The error, if the checkpoint does not fit, is a *BindError.
func Bind(model any, src weights.Source, o BindOptions) (*Bound, error) {
	leaves, err := walk(model, o.Prefix)
	if err != nil {
		return nil, err
	}
	f := finder{src: src, block: o.FP8Block, used: map[string]bool{}}
	if f.block == [2]int{} {
		f.block = [2]int{128, 128}
	}
	if min(f.block[0], f.block[1]) < 1 {
		return nil, fmt.Errorf("blocks of %d x %d elements are impossible", f.block[0], f.block[1])
	}
	forms, err := formsOf(leaves, o.Quantise)
	if err != nil {
		return nil, err
	}
	files, coded := make([]cuda.Matrix, len(leaves)), make([]weights.Coded, len(leaves))
	for i, l := range leaves {
		if o.Stop != nil {
			if err := o.Stop(); err != nil {
				return nil, err
			}
		}
		if forms[i] != nil && src.Names() == nil { // it would be invented, whole, to be quantised later
			files[i] = cuda.Matrix{Rows: l.weight.Shape[0], Cols: l.weight.Shape[1]}
			if p, ok := src.(weights.Piecewise); ok {
				v, _ := p.Rows(l.name, l.weight.Shape)
				coded[i] = v.Coded
			}
			continue
		}
		var v weights.View
		if files[i], v = f.find(l); v.Coded != nil {
			coded[i], forms[i] = v.Coded, o.formOfCodes(l, v, forms[i])
		}
	}
	f.findExtra(o.Ignore)
	if f.report.any() {
		return nil, &f.report
	}
	b := &Bound{byID: map[string]*cuda.Module{}}
	for i, l := range leaves {
		l.weight.Bind(l.name, b.module(l.path), files[i])
		b.Parameters += l.elements()
		if forms[i] != nil {
			b.later = append(b.later, unquantised{leaf: l, file: files[i], coded: coded[i], from: src, block: f.block})
			l.weight.Quantise(forms[i])
		}
	}
	slices.SortStableFunc(b.Layers, func(x, y *cuda.Module) int { return x.Layer - y.Layer })
	return b, nil
}

// formOfCodes is what codes are made into; quantised is the form that all weights are to have, nil for none.
func (o BindOptions) formOfCodes(l leaf, v weights.View, quantised *cuda.Layout) *cuda.Layout {
	if o.Quantise == "" && o.Coded != nil {
		quantised = formOf(l, o.Coded(v))
	}
	return cmp.Or(quantised, cuda.Plain(v.DType))
}

// Outline lists a model's modules and counts its parameters without any data: Modules have ids, but no weights.
// The number of elements of each is in the second result, by id.
func Outline(model any, prefix string) (*Bound, map[string]int64, error) {
	leaves, err := walk(model, prefix)
	if err != nil {
		return nil, nil, err
	}
	b, elements := &Bound{byID: map[string]*cuda.Module{}}, map[string]int64{}
	for _, l := range leaves {
		n := l.elements()
		elements[b.module(l.path).ID] += n
		b.Parameters += n
	}
	return b, elements, nil
}

// module finds or makes the module of a path.
func (b *Bound) module(path []string) *cuda.Module {
	id, layer := moduleOf(path)
	if m := b.byID[id]; m != nil {
		return m
	}
	m := &cuda.Module{ID: id, Layer: layer}
	b.byID[id], b.Modules = m, append(b.Modules, m)
	if id == fmt.Sprintf("layers.%d", layer) {
		b.Layers = append(b.Layers, m)
	}
	return m
}

// BindError tells everything in which a checkpoint differs from the model. Its lists are sorted as the model and the checkpoint
// are.
type BindError struct {
	Missing []string // "name (shape)"
	Extra   []string // names the model does not have
	Shapes  []string // "name is (shape), not (shape)"
	Types   []string // "name is F64"
}

// listed is how many entries of one kind the message shows: enough to see the pattern.
const listed = 16

func (e *BindError) Error() string {
	var parts []string
	add := func(what string, list []string) {
		switch n := len(list) - listed; {
		case len(list) == 0:
		case n > 0:
			parts = append(parts, fmt.Sprintf("%s %s and %d more", what, strings.Join(list[:listed], ", "), n))
		default:
			parts = append(parts, what+" "+strings.Join(list, ", "))
		}
	}
	add("it lacks", e.Missing)
	add("of another shape than config.json says:", e.Shapes)
	add("of a type that is not read (F32, F16, BF16 and, for matrices, F8_E4M3 are):", e.Types)
	add("unknown to this model:", e.Extra)
	return "the checkpoint does not fit the model: " + strings.Join(parts, "; ")
}

func (e *BindError) any() bool {
	return len(e.Missing)+len(e.Extra)+len(e.Shapes)+len(e.Types) > 0
}

func shape(s []int) string {
	text := make([]string, len(s))
	for i, n := range s {
		text[i] = fmt.Sprint(n)
	}
	return "(" + strings.Join(text, ", ") + ")"
}
