package weights

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/weights/blocks"
	"github.com/inference-pio/inference-pio/internal/gguf"
	"github.com/inference-pio/inference-pio/internal/gguf/gguftest"
)

// coded is a tensor of random blocks; factors are such that all is a number.
func coded(name string, kind uint32, shape ...int) gguftest.Tensor {
	e, _ := gguf.ElementOf(kind)
	n := e.Bytes
	for _, d := range shape {
		n *= d
	}
	t := gguftest.Tensor{Name: name, Type: kind, Shape: shape, Data: make([]byte, n/e.Values)}
	r := rand.New(rand.NewPCG(1, uint64(kind)))
	for i := range t.Data {
		t.Data[i] = byte(r.Uint32()) & 0x3F
	}
	return t
}

// Each type is widened row by row as its blocks are, wherever the rows begin; and the file's part of some rows is theirs.
func TestGGUFRowsAreTheirBlocks(t *testing.T) {
	for kind := range uint32(64) {
		f := blocks.Of(kind)
		if f == nil {
			continue
		}
		x := coded("t.weight", kind, 2, 3, 512)
		c, _, err := OpenGGUF(gguftest.File{Tensors: []gguftest.Tensor{x}}.Write(t, "m.gguf"))
		if err != nil {
			t.Fatal(err)
		}
		v, _ := c.Get("t.weight", nil)
		if v.Coded == nil || v.Coded.(Blocks).Type() != f.Name || v.Format != f.Name || v.DType != cuda.BF16 || !slices.Equal(v.Shape, []int{2, 3, 512}) {
			t.Fatalf("%+v", v)
		}
		want, got := make([]float32, 6*512), make([]float32, 6*512)
		f.Widen(want, x.Data)
		v.Coded.Widen(got[:2*512], 0)
		v.Coded.Widen(got[2*512:], 2)
		if !slices.Equal(got, want) {
			t.Errorf("%s: rows are not their blocks", f.Name)
		}
		if row := len(x.Data) / 6; !bytes.Equal(v.Coded.File(2, 5), x.Data[2*row:5*row]) {
			t.Errorf("%s: rows 2 to 4 are said to be made of another part", f.Name)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A factor beside a tensor is of all of it, or of each expert, and no tensor by itself.
func TestGGUFScalesAreFactors(t *testing.T) {
	const nvfp4 = 40
	one, experts := coded("a.weight", nvfp4, 3, 64), coded("e.weight", nvfp4, 2, 3, 64)
	c, _, err := OpenGGUF(gguftest.File{Tensors: []gguftest.Tensor{one, experts, gguftest.F32("a.scale", []int{1}, 0.5), gguftest.F32("e.scale", []int{2}, 2, 0.25),
		gguftest.F32("a.input_scale", []int{1}, 9)}}.Write(t, "m.gguf"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if names := c.Names(); !slices.Equal(names, []string{"a.weight", "e.weight"}) {
		t.Errorf("the tensors are %q", names)
	}
	for _, x := range []struct {
		name    string
		factors []float32
		data    []byte
	}{{"a.weight", []float32{0.5}, one.Data}, {"e.weight", []float32{2, 0.25}, experts.Data}} {
		v, _ := c.Get(x.name, nil)
		n := len(x.data) / 36 * 64
		got, want := make([]float32, n), make([]float32, n)
		v.Coded.Widen(got, 0)
		blocks.Of(nvfp4).Widen(want, x.data)
		if kind := v.Coded.(Blocks).Type(); kind != "" {
			t.Errorf("%s: blocks of %s say all of its numbers", x.name, kind)
		}
		for i := range want {
			if w := want[i] * x.factors[i*len(x.factors)/n]; got[i] != w {
				t.Fatalf("%s: element %d is %v, not %v", x.name, i, got[i], w)
			}
		}
	}
	for _, scale := range []gguftest.Tensor{gguftest.F32("a.scale", []int{2}, 1, 1), gguftest.F32("b.scale", []int{1}, 1)} {
		if _, _, err := OpenGGUF(gguftest.File{Tensors: []gguftest.Tensor{one, scale}}.Write(t, "m.gguf")); err == nil || !strings.Contains(err.Error(), scale.Name) {
			t.Errorf("%s %v: %v", scale.Name, scale.Shape, err)
		}
	}
}

// Parts written by the reference are one table, whichever of them is named; one that is missing is told by name.
func TestGGUFParts(t *testing.T) {
	const folder = "../../internal/gguf/testdata/"
	for _, named := range []string{"parts-00001-of-00003.gguf", "parts-00003-of-00003.gguf"} {
		c, h, err := OpenGGUF(folder + named)
		if err != nil {
			t.Fatal(err)
		}
		if n, _ := h.Keys["kinds.u32"].Int(); n != 7 {
			t.Errorf("%s: the keys are not those of the first part", named)
		}
		for i, name := range []string{"t0", "t1", "t2", "t3", "t4"} {
			v, ok := c.Get(name, nil)
			if !ok || len(v.Data) != 24 || math.Float32frombits(binary.LittleEndian.Uint32(v.Data[20:])) != float32(i) {
				t.Errorf("%s: %s is %+v", named, name, v)
			}
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	dir := t.TempDir()
	for _, name := range []string{"parts-00001-of-00003.gguf", "parts-00003-of-00003.gguf"} {
		data, err := os.ReadFile(folder + name)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := OpenGGUF(filepath.Join(dir, "parts-00001-of-00003.gguf")); err == nil || !strings.Contains(err.Error(), "parts-00002-of-00003.gguf: there is no such file") {
		t.Error(err)
	}
}

// A type that is not built is the matter of who asks for the tensor.
func TestGGUFTypesThatAreNotBuilt(t *testing.T) {
	c, _, err := OpenGGUF(gguftest.File{Tensors: []gguftest.Tensor{coded("t.weight", 16, 2, 256)}}.Write(t, "m.gguf"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if v, ok := c.Get("t.weight", nil); !ok || v.Known || v.Format != "IQ2_XXS" {
		t.Errorf("%+v", v)
	}
}
