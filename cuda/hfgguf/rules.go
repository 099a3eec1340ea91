// rules.go has what files do with a checkpoint's tensors, each undone by a rule.

package hfgguf

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// Rules are the tensors of a file by their names, with N in place of a block's number.
type Rules map[string]Rule

// Rule puts a tensor of block n into the table as what it stands for.
type Rule func(t *Table, n int, v weights.View)

// With is the rules of several tables; later ones replace earlier ones.
func With(all ...Rules) Rules {
	out := Rules{}
	for _, r := range all {
		maps.Copy(out, r)
	}
	return out
}

// Named is a rule for each pair of names; a name that ends in .* stands for its weight and its bias.
func Named(names map[string]string) Rules {
	r := Rules{}
	for from, to := range names {
		base, both := strings.CutSuffix(from, ".*")
		if !both {
			r[from] = As(to)
			continue
		}
		for _, kind := range []string{".weight", ".bias"} {
			r[base+kind] = As(strings.TrimSuffix(to, ".*") + kind)
		}
	}
	return r
}

func in(name string, n int) string { return strings.Replace(name, ".N.", fmt.Sprintf(".%d.", n), 1) }

// As is a tensor that is only called otherwise.
func As(name string) Rule {
	return func(t *Table, n int, v weights.View) { t.Put(in(name, n), v) }
}

// Ignored is a tensor that nobody reads.
func Ignored(*Table, int, weights.View) {}

// Shaped is a tensor with dimensions of one added or left out.
func Shaped(name string, shape func(s []int) []int) Rule {
	return func(t *Table, n int, v weights.View) {
		shape := shape(slices.Clone(v.Shape))
		if product(shape) != product(v.Shape) {
			t.Refuse("a tensor %v cannot be %s %v", v.Shape, in(name, n), shape)
			return
		}
		v.Shape = shape
		t.Put(in(name, n), v)
	}
}

// Flat is the shape of a vector.
func Flat(s []int) []int { return []int{product(s)} }

// Each is a tensor in f32 of which each number was changed: back undoes it.
func Each(name string, back func(x float32) float32) Rule {
	return func(t *Table, n int, v weights.View) {
		if v.DType != cuda.F32 || !v.Known || v.Data == nil {
			t.Refuse("%s is %s; F32 is needed", in(name, n), v.Format)
			return
		}
		data := make([]byte, len(v.Data))
		for i := 0; i < len(data); i += 4 {
			x := math.Float32frombits(binary.LittleEndian.Uint32(v.Data[i:]))
			binary.LittleEndian.PutUint32(data[i:], math.Float32bits(back(x)))
		}
		v.Data = data
		t.Put(in(name, n), v)
	}
}

// Add is a tensor from which the converter took so much away, or to which it added a negative number.
func Add(name string, d float32) Rule { return Each(name, func(x float32) float32 { return x + d }) }

// Rows is a matrix that was joined of several: each of the names has so many of its rows.
func Rows(names []string, rows ...int) Rule {
	return func(t *Table, n int, v weights.View) {
		sum := 0
		for _, r := range rows {
			sum += r
		}
		if len(v.Shape) < 1 || v.Shape[0] != sum || slices.Min(rows) < 0 {
			t.Refuse("a tensor %v does not hold %v rows of %s", v.Shape, rows, in(strings.Join(names, ", "), n))
			return
		}
		at := 0
		for i, name := range names {
			t.Put(in(name, n), weights.Cut(v, at, rows[i], append([]int{rows[i]}, v.Shape[1:]...)))
			at += rows[i]
		}
	}
}

// Experts is a tensor with a matrix of each expert, which is cut into one for each of the names; E stands for the expert.
func Experts(names ...string) Rule {
	return func(t *Table, n int, v weights.View) {
		if len(v.Shape) != 3 || v.Shape[0] > weights.MaxExperts || v.Shape[1]%len(names) != 0 {
			t.Refuse("a tensor %v does not hold experts' %s", v.Shape, in(strings.Join(names, ", "), n))
			return
		}
		if t.cut += v.Shape[0] * len(names); t.cut > weights.MaxCut {
			t.Refuse("%s: more than %d matrices of experts are in the file", in(strings.Join(names, ", "), n), weights.MaxCut)
			return
		}
		rows := v.Shape[1] / len(names)
		for e := range v.Shape[0] {
			for i, name := range names {
				t.Put(strings.Replace(in(name, n), ".E.", fmt.Sprintf(".%d.", e), 1), weights.Cut(v, e*v.Shape[1]+i*rows, rows, []int{rows, v.Shape[2]}))
			}
		}
	}
}

func product(s []int) (n int) {
	n = 1
	for _, d := range s {
		n *= d
	}
	return n
}

// Only has rules of blocks ignore those behind so many: layers that guess further tokens.
func (r Rules) Only(layers int) Rules {
	for name, rule := range r {
		if strings.HasPrefix(name, "blk.N.") {
			r[name] = func(t *Table, n int, v weights.View) {
				if n < layers {
					rule(t, n, v)
				}
			}
		}
	}
	return r
}
