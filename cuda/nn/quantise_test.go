package nn

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// wide has maps that are worth quantising, and others.
type wide struct {
	Embed  Embedding   `weight:"embed_tokens"`
	Layers []wideLayer `weight:"layers"`
	Norm   RMSNorm     `weight:"norm"`
	Head   Linear      `weight:"lm_head,root"`
	Tower  Linear      `weight:"visual.up"`
}

type wideLayer struct {
	Q       Linear     `weight:"q"`
	Narrow  Linear     `weight:"narrow"`
	Gate    Linear     `weight:"gate,keep"`
	One     Linear     `weight:"one"`
	Conv    CausalConv `weight:"conv"`
	Experts []dense    `weight:"experts"`
}

func newWide() *wide {
	return &wide{
		Embed: NewEmbedding(300, 128), Norm: NewRMSNorm(128, 1e-6), Head: NewLinear(300, 128), Tower: NewLinear(64, 128),
		Layers: []wideLayer{{
			Q: NewBiased(96, 128), Narrow: NewLinear(128, 64), Gate: NewLinear(64, 128), One: NewLinear(1, 128), Conv: NewCausalConv(128, 4),
			Experts: []dense{{NewLinear(256, 128)}, {NewLinear(256, 128)}},
		}},
	}
}

// forms are the layouts of all weights, by name.
func forms(t *testing.T, b *Bound) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, m := range b.Modules {
		for _, w := range m.Weights {
			all[strings.TrimSuffix(w.Name, ".weight")] = w.File().Layout.Name
		}
	}
	return all
}

func TestWhatIsQuantised(t *testing.T) {
	for _, quantise := range []string{cuda.Q8, cuda.Q4} {
		b, err := Bind(newWide(), weights.NewOutline(cuda.BF16), BindOptions{Quantise: quantise})
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"embed_tokens": quantise, "lm_head": quantise, "layers.0.q": quantise, "layers.0.experts.0.up_proj": quantise,
			"layers.0.experts.1.up_proj": quantise, "visual.up": cuda.Q8, "layers.0.narrow": "bf16", // which takes whole blocks of 128 columns
			"layers.0.q.bias": "bf16", "layers.0.gate": "bf16", "layers.0.one": "bf16", "layers.0.conv": "bf16", "norm": "bf16"}
		if quantise == cuda.Q4 {
			want["layers.0.narrow"] = cuda.Q4
		}
		if got := forms(t, b); !maps.Equal(got, want) {
			t.Errorf("%s: the forms are\n     %v\nwant %v", quantise, got, want)
		}
	}
}

func TestFormsThatThereAreNot(t *testing.T) {
	_, err := Bind(newWide(), weights.NewOutline(cuda.BF16), BindOptions{Quantise: "q5"})
	if err == nil || err.Error() != `weights are quantised to "q8" or "q4", not "q5"` {
		t.Error(err)
	}
}

// invented has its matrices in a type, and in bf16 what is none.
type invented cuda.DType

func (invented) Names() []string { return nil }

func (i invented) Get(name string, shape []int) (weights.View, bool) {
	if len(shape) != 2 {
		return weights.Dummy(1, cuda.BF16).Get(name, shape)
	}
	return weights.Dummy(1, cuda.DType(i)).Get(name, shape)
}

// bindWide gives the model weights of a type.
func bindWide(t *testing.T, dtype cuda.DType) (*wide, *Bound) {
	t.Helper()
	m := newWide()
	b, err := Bind(m, invented(dtype), BindOptions{Quantise: cuda.Q8, FP8Block: [2]int{24, 40}})
	if err != nil {
		t.Fatal(err)
	}
	return m, b
}

// What is made takes what was said before, all of the source is read, each piece once, and the weights are the source's.
func TestQuantise(t *testing.T) {
	for _, dtype := range []cuda.DType{cuda.BF16, cuda.F16, cuda.F32, cuda.F8E4M3} {
		m, b := bindWide(t, dtype)
		c := cpu.New(2)
		want, read, all, done := b.QuantisedBytes(), int64(0), int64(0), int64(0)
		for _, u := range b.later {
			src, err := u.read()
			if err != nil {
				t.Fatal(err)
			}
			all += src.Bytes()
		}
		made, err := b.Quantise(Quantiser{Device: c, Stop: func() error { return nil },
			Read: func(file []byte) { read += int64(len(file)) }, Done: func(n int64) { done = n }})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Usage().For[cuda.ForWeights]; got != want || done != want || read != all {
			t.Errorf("%s: %d bytes are taken and %d told of %d; %d of %d bytes were read", dtype, got, done, want, read, all)
		}
		near(t, fmt.Sprint(dtype), c, m.Layers[0].Q.W, b.later[1])
		for _, mem := range made {
			c.Free(mem)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// near compares the product of a row with what the source gives.
func near(t *testing.T, what string, c *cpu.Device, w *cuda.Weight, u unquantised) {
	t.Helper()
	src, err := u.read()
	if err != nil {
		t.Fatal(err)
	}
	plain := cuda.NewWeight(w.Shape...)
	plain.Bind(w.Name, nil, src)
	product := func(w *cuda.Weight) []float32 {
		s := cuda.NewStep([]cuda.Device{c}, nil, nil)
		defer s.Close()
		x := make([]float32, w.Shape[1])
		for i := range x {
			x[i] = float32(i%7) - 3
		}
		forward := func(s *cuda.Step) cuda.Tensor { return s.MatMul(s.InputF32(x, 1, len(x)), w) }
		sizes, err := s.Measure(func(s *cuda.Step) { forward(s) })
		if err == nil {
			err = s.Reserve(0, sizes)
		}
		if err != nil {
			t.Fatal(err)
		}
		s.Begin()
		y := forward(s)
		if err := s.End(); err != nil {
			t.Fatal(err)
		}
		return slices.Clone(y.F32())
	}
	got, want := product(w), product(plain)
	for i := range want {
		if off := got[i] - want[i]; off > 0.05 || off < -0.05 { // of sums of some 128 x 2 x 0.1
			t.Errorf("%s: row %d is %v, of the source %v", what, i, got[i], want[i])
		}
	}
}

// Without the memory nothing is kept, and the error says which module was to have it; so when it is stopped.
func TestQuantisingThatEnds(t *testing.T) {
	c := cpu.New(1)
	defer c.Close()
	_, b := bindWide(t, cuda.BF16)
	c.SetBudget(b.QuantisedBytes() - 1)
	_, err := b.Quantise(Quantiser{Device: c})
	var budget *cuda.BudgetError
	if !errors.As(err, &budget) || !strings.HasPrefix(err.Error(), "the weights of visual: cpu: ") {
		t.Errorf("a byte is missing: %v", err)
	}
	c.SetBudget(0)
	stopped, looks := errors.New("stopped"), 3
	_, err = b.Quantise(Quantiser{Device: c, Stop: func() error {
		if looks--; looks < 0 {
			return stopped
		}
		return nil
	}})
	if !errors.Is(err, stopped) {
		t.Errorf("stopped: %v", err)
	}
	if used := c.Usage().Used; used != 0 {
		t.Errorf("%d bytes are kept", used)
	}
}

// A weight that its checkpoint does not have is missing whether or not it would be quantised.
func TestWhatIsQuantisedMustBeThere(t *testing.T) {
	names := map[string][]int{}
	leaves, err := walk(newWide(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range leaves {
		names[l.name] = l.weight.Shape
	}
	delete(names, "lm_head.weight")
	_, err = Bind(newWide(), newTable(names), BindOptions{Quantise: cuda.Q4})
	if want := (&BindError{Missing: []string{"lm_head.weight (300, 128)"}}).Error(); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
