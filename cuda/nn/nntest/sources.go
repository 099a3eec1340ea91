package nntest

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// sources.go has weights that are not quite those of a checkpoint: changed, shared between layers, respelled, widened.

// Source is tensors by name, from a function.
type Source struct {
	List []string // names
	Find func(name string, shape []int) (weights.View, bool)
}

// Names lists the tensors.
func (s Source) Names() []string { return s.List }

// Get finds one.
func (s Source) Get(name string, shape []int) (weights.View, bool) { return s.Find(name, shape) }

// Tensors is a source of some tensors.
func Tensors(all map[string]weights.View) Source {
	return Source{slices.Sorted(maps.Keys(all)), func(name string, _ []int) (weights.View, bool) {
		v, ok := all[name]
		return v, ok
	}}
}

// Edited is a source with tensors added, replaced or, where the change is nil, removed.
func Edited(src weights.Source, changes map[string]*weights.View) Source {
	names := slices.DeleteFunc(slices.Clone(src.Names()), func(n string) bool { _, changed := changes[n]; return changed })
	for n, v := range changes {
		if v != nil {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return Source{names, func(name string, shape []int) (weights.View, bool) {
		v, changed := changes[name]
		switch {
		case !changed:
			return src.Get(name, shape)
		case v == nil:
			return weights.View{}, false
		}
		return *v, true
	}}
}

// Zeros is a tensor of zeros in bf16.
func Zeros(shape ...int) *weights.View {
	return &weights.View{Format: "BF16", DType: cuda.BF16, Known: true, Shape: shape, Data: make([]byte, 2*elements(shape))}
}

// OfBytes is a tensor of zeros of a type that is one byte wide and that no model reads.
func OfBytes(shape ...int) *weights.View {
	return &weights.View{Format: "I8", Shape: shape, Data: make([]byte, elements(shape))}
}

func elements(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// Alike invents weights, each in the type that dtype says, and those whose names have one key and one type from the same bytes: so
// a model of many layers and experts fits in the memory of one of each.
func Alike(key func(name string) string, dtype func(name string, shape []int) cuda.DType) Source {
	made := map[string]weights.View{}
	return Source{nil, func(name string, shape []int) (weights.View, bool) {
		kind := dtype(name, shape)
		k := fmt.Sprint(key(name), kind, shape)
		v, ok := made[k]
		if !ok {
			if v, ok = weights.Dummy(1, kind).Get(key(name), shape); ok {
				made[k] = v
			}
		}
		return v, ok
	}}
}

// InFP8 is the type of weights of which some are in FP8, and the others in bf16; with nil all are.
func InFP8(some func(name string, shape []int) bool) func(name string, shape []int) cuda.DType {
	return func(name string, shape []int) cuda.DType {
		if some != nil && some(name, shape) {
			return cuda.F8E4M3
		}
		return cuda.BF16
	}
}

var (
	numbers = regexp.MustCompile(`[0-9]+`)
	layer   = regexp.MustCompile(`layers\.[0-9]+\.`)
	expert  = regexp.MustCompile(`\.experts\.[0-9]+`)
)

// Itself is a key of Alike: nothing is shared.
func Itself(name string) string { return name }

// Unnumbered is a key of Alike that is one for all layers, for all experts, and for embedding and head.
func Unnumbered(name string) string {
	return strings.Replace(numbers.ReplaceAllString(name, "N"), "lm_head", "model.embed_tokens", 1)
}

// OneLayer is a key of Alike that is one for all layers, and for embedding and head, but not for the experts of a layer.
func OneLayer(name string) string {
	return strings.Replace(layer.ReplaceAllString(name, "layers.N."), "lm_head", "model.embed_tokens", 1)
}

// FewExperts is a key of Alike with which so many experts of a layer have bytes of their own and the others share them.
func FewExperts(own int) func(name string) string {
	return func(name string) string {
		return expert.ReplaceAllStringFunc(name, func(part string) string {
			n, _ := strconv.Atoi(strings.TrimPrefix(part, ".experts."))
			return fmt.Sprintf(".experts.%d", n%own)
		})
	}
}

// Joined is a checkpoint of experts as transformers 5 saves it: the experts of a layer in one tensor, gate before up.
func Joined(t testing.TB, src weights.Source) Source {
	t.Helper()
	all := map[string]weights.View{}
	for _, name := range src.Names() {
		v, ok := src.Get(name, nil)
		if !ok {
			t.Fatal("no ", name)
		}
		layer, rest, expert := strings.Cut(name, ".experts.")
		if !expert {
			all[name] = v
			continue
		}
		if rest != "0.gate_proj.weight" {
			continue // the first of a layer brings the others
		}
		var gateUp, down []byte
		n := 0
		for ; ; n++ {
			gate, ok := src.Get(fmt.Sprintf("%s.experts.%d.gate_proj.weight", layer, n), nil)
			if !ok {
				break
			}
			up, _ := src.Get(fmt.Sprintf("%s.experts.%d.up_proj.weight", layer, n), nil)
			last, _ := src.Get(fmt.Sprintf("%s.experts.%d.down_proj.weight", layer, n), nil)
			gateUp, down = slices.Concat(gateUp, gate.Data, up.Data), append(down, last.Data...)
		}
		width, hidden := v.Shape[0], v.Shape[1]
		one := v
		one.Shape, one.Data = []int{n, 2 * width, hidden}, gateUp
		all[layer+".experts.gate_up_proj"] = one
		one.Shape, one.Data = []int{n, hidden, width}, down
		all[layer+".experts.down_proj"] = one
	}
	return Tensors(all)
}

// Widened gives the matrices that src has in FP8, scaled by blocks of rows x cols, as f32 numbers, and counts them.
func Widened(src weights.Source, rows, cols int, count *int) Source {
	return Source{nil, func(name string, shape []int) (weights.View, bool) {
		v, ok := src.Get(name, shape)
		if !ok || v.DType != cuda.F8E4M3 {
			return v, ok
		}
		scale, ok := src.Get(name+"_scale_inv", []int{(shape[0] + rows - 1) / rows, (shape[1] + cols - 1) / cols})
		*count++
		return widened(v, scale, rows, cols), ok
	}}
}

// widened is a matrix of FP8 in f32: each element times the factor of its block of rows x cols.
func widened(v, scale weights.View, rows, cols int) weights.View {
	data := make([]byte, 0, 4*len(v.Data))
	for i, b := range v.Data {
		block := i/v.Shape[1]/rows*scale.Shape[1] + i%v.Shape[1]/cols
		factor := math.Float32frombits(binary.LittleEndian.Uint32(scale.Data[4*block:]))
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(e4m3(b)*factor))
	}
	return weights.View{Format: "F32", DType: cuda.F32, Known: true, Shape: v.Shape, Data: data}
}

// e4m3 is one sign, four bits of exponent (bias 7) and three of fraction; an exponent of 0 means no leading one.
func e4m3(b byte) float32 {
	exponent, fraction := int(b>>3&15), float64(b&7)/8
	if exponent == 0 {
		exponent = 1
	} else {
		fraction++
	}
	value := math.Ldexp(fraction, exponent-7)
	if b>>7 == 1 {
		value = -value
	}
	return float32(value)
}

// TensorBytes is what the headers of a checkpoint say its tensors take.
func TensorBytes(t testing.TB, dir string) (n int64) {
	t.Helper()
	entries, err := weights.ReadHeaders(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		n += e.To - e.From
	}
	return n
}
