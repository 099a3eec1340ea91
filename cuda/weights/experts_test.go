package weights

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
)

// tensors is a source in memory.
type tensors map[string]View

func (t tensors) Names() (names []string) {
	for n := range t {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

func (t tensors) Get(name string, _ []int) (View, bool) {
	v, ok := t[name]
	return v, ok
}

// counted is a tensor of single bytes 0, 1, 2, ..
func counted(shape ...int) View {
	n := 1
	for _, d := range shape {
		n *= d
	}
	v := View{Format: "F8_E4M3", DType: cuda.F8E4M3, Known: true, Shape: shape, Data: make([]byte, n)}
	for i := range v.Data {
		v.Data[i] = byte(i)
	}
	return v
}

func TestJoinedExpertsAreReadOneByOne(t *testing.T) {
	src := SplitExperts(tensors{
		"model.norm.weight":                           counted(5),
		"layers.1.mlp.experts.gate_up_proj":           counted(2, 6, 2), // 2 experts, inner 3, hidden 2
		"layers.1.mlp.experts.down_proj":              counted(2, 2, 3),
		"layers.1.mlp.experts.gate_up_proj_scale_inv": counted(2, 2, 1),
		"layers.1.mlp.experts.down_proj_scale_inv":    counted(2, 1, 1),
		"layers.2.mlp.experts.0.gate_proj.weight":     counted(3, 2), // another layer has its own
		"layers.3.mlp.switch_mlp.up_proj.weight":      counted(2, 3, 2),
	})
	want := []string{
		"layers.1.mlp.experts.0.down_proj.weight", "layers.1.mlp.experts.0.down_proj.weight_scale_inv", "layers.1.mlp.experts.0.gate_proj.weight",
		"layers.1.mlp.experts.0.gate_proj.weight_scale_inv", "layers.1.mlp.experts.0.up_proj.weight", "layers.1.mlp.experts.0.up_proj.weight_scale_inv",
		"layers.1.mlp.experts.1.down_proj.weight", "layers.1.mlp.experts.1.down_proj.weight_scale_inv", "layers.1.mlp.experts.1.gate_proj.weight",
		"layers.1.mlp.experts.1.gate_proj.weight_scale_inv", "layers.1.mlp.experts.1.up_proj.weight", "layers.1.mlp.experts.1.up_proj.weight_scale_inv",
		"layers.2.mlp.experts.0.gate_proj.weight", "layers.3.mlp.experts.0.up_proj.weight", "layers.3.mlp.experts.1.up_proj.weight", "model.norm.weight",
	}
	if !slices.Equal(src.Names(), want) {
		t.Errorf("names %q", src.Names())
	}
	for name, want := range map[string]struct {
		shape []int
		data  []byte
	}{
		"layers.1.mlp.experts.0.gate_proj.weight":           {[]int{3, 2}, []byte{0, 1, 2, 3, 4, 5}},
		"layers.1.mlp.experts.0.up_proj.weight":             {[]int{3, 2}, []byte{6, 7, 8, 9, 10, 11}},
		"layers.1.mlp.experts.1.gate_proj.weight":           {[]int{3, 2}, []byte{12, 13, 14, 15, 16, 17}},
		"layers.1.mlp.experts.1.up_proj.weight":             {[]int{3, 2}, []byte{18, 19, 20, 21, 22, 23}},
		"layers.1.mlp.experts.1.down_proj.weight":           {[]int{2, 3}, []byte{6, 7, 8, 9, 10, 11}},
		"layers.1.mlp.experts.1.up_proj.weight_scale_inv":   {[]int{1, 1}, []byte{3}},
		"layers.1.mlp.experts.1.down_proj.weight_scale_inv": {[]int{1, 1}, []byte{1}},
		"layers.2.mlp.experts.0.gate_proj.weight":           {[]int{3, 2}, []byte{0, 1, 2, 3, 4, 5}},
		"layers.3.mlp.experts.1.up_proj.weight":             {[]int{3, 2}, []byte{6, 7, 8, 9, 10, 11}},
		"model.norm.weight":                                 {[]int{5}, []byte{0, 1, 2, 3, 4}},
	} {
		v, ok := src.Get(name, []int{99})
		if !ok || !slices.Equal(v.Shape, want.shape) || !bytes.Equal(v.Data, want.data) || v.DType != cuda.F8E4M3 {
			t.Errorf("%s is %v %v", name, v.Shape, v.Data)
		}
	}
	for _, name := range []string{"layers.1.mlp.experts.2.up_proj.weight", "layers.1.mlp.experts.-1.up_proj.weight", "layers.4.mlp.experts.0.up_proj.weight"} {
		if _, ok := src.Get(name, nil); ok {
			t.Errorf("it has %s", name)
		}
	}
}

// doubles makes 2, 4, 6, .. of codes that are 1, 2, 3, ..
type doubles struct{ cols int }

func (d doubles) Widen(to []float32, row int) {
	for i := range to {
		to[i] = float32(2 * (1 + row*d.cols + i))
	}
}
func (d doubles) File(from, to int) []byte { return make([]byte, (to-from)*d.cols) }

// Experts that are codes are cut by rows.
func TestJoinedExpertsInCodes(t *testing.T) {
	src := SplitExperts(tensors{"a.experts.gate_up_proj": {Shape: []int{2, 4, 3}, Known: true, Coded: doubles{3}}})
	v, _ := src.Get("a.experts.1.up_proj.weight", nil)
	got := make([]float32, 3)
	if v.Coded == nil || !slices.Equal(v.Shape, []int{2, 3}) || len(v.Coded.File(0, 2)) != 6 {
		t.Fatalf("it is %+v", v)
	}
	v.Coded.Widen(got, 1) // the last row of all
	if want := []float32{44, 46, 48}; !slices.Equal(got, want) {
		t.Errorf("its last row is %v, not %v", got, want)
	}
}

// What cannot be cut keeps its name, so that who binds it tells the user; other sources are left alone.
func TestTensorsThatAreNoExpertsKeepTheirNames(t *testing.T) {
	plain := tensors{
		"a.experts.gate_up_proj":           counted(2, 5, 2), // no halves
		"b.experts.down_proj":              counted(2, 6),
		"c.experts.down_proj":              counted(0, 2, 3),
		"d.experts.down_proj":              counted(MaxExperts+1, 0, 3),
		"e.experts.gate_up_proj_scale_inv": counted(4, 1, 1), // a block over the border of gate and up
		"f.mlp.down_proj":                  counted(2, 2, 3),
		"g.experts.down_proj.weight":       counted(2, 2, 3),
	}
	src := SplitExperts(plain)
	if got, same := src.(tensors); !same || !slices.Equal(got.Names(), plain.Names()) {
		t.Errorf("names %q", src.Names())
	}
	if dummy := Dummy(1, cuda.BF16); SplitExperts(dummy) != dummy {
		t.Error("an invented source was changed")
	}
}

// Tensors without elements take no bytes of a file, and are cut into no more than a model has.
func TestExpertsThatAreEmpty(t *testing.T) {
	all := tensors{}
	for i := range MaxCut/MaxExperts + 3 {
		all[fmt.Sprintf("layers.%d.experts.down_proj", i)] = counted(MaxExperts, 0, 3)
	}
	whole := 0
	for _, name := range SplitExperts(all).Names() {
		if _, is := all[name]; is {
			whole++
		}
	}
	if whole != 3 {
		t.Errorf("%d tensors of %d keep their names", whole, len(all))
	}
}
