package nn

import (
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// fed is a model of feed-forward layers alone.
type fed struct {
	Embed  Embedding  `weight:"embed_tokens"`
	Layers []fedLayer `weight:"layers"`
}

type fedLayer struct {
	Norm RMSNorm `weight:"norm"`
	MLP  SwiGLU  `weight:"mlp"`
}

const fedVocab, fedHidden, fedInner = 40, 48, 80

func newFed(t *testing.T) (*fed, *Bound) {
	t.Helper()
	m := &fed{Embed: NewEmbedding(fedVocab, fedHidden)}
	for range 3 {
		m.Layers = append(m.Layers, fedLayer{NewRMSNorm(fedHidden, 1e-6), NewSwiGLU(fedHidden, fedInner)})
	}
	b, err := Bind(m, weights.Dummy(5, cuda.F32), BindOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return m, b
}

// forward leaves the norm to the layer if it is to.
func (m *fed) forward(s *cuda.Step, tokens []int32, leaves bool) (x cuda.Tensor) {
	x = m.Embed.Forward(s, s.Input(tokens))
	for i := range m.Layers {
		s.EnterLayer(i)
		l := &m.Layers[i]
		if leaves {
			x = s.Add(x, l.MLP.ForwardNormed(s, l.Norm, x))
		} else {
			x = s.Add(x, l.MLP.Forward(s, l.Norm.Forward(s, x)))
		}
	}
	return x
}

// A layer that is given its norm computes the same, and of what it makes only the sum lasts.
func TestALayerWithItsNormKeepsTheSumAlone(t *testing.T) {
	m, b := newFed(t)
	s := cuda.NewStep([]cuda.Device{newCPU(t, 2)}, b.Layers, nil)
	defer s.Close()
	tokens := make([]int32, 64)
	for i := range tokens {
		tokens[i] = int32(i * 7 % fedVocab)
	}
	var got [2][]float32
	var layer [2]int64
	for i, leaves := range []bool{false, true} {
		z, err := s.Measure(func(s *cuda.Step) { m.forward(s, tokens, leaves) })
		if err != nil {
			t.Fatal(err)
		}
		layer[i] = z.Even
		if err := s.Reserve(0, z); err != nil {
			t.Fatal(err)
		}
		s.Begin()
		x := m.forward(s, tokens, leaves)
		if err := s.End(); err != nil {
			t.Fatal(err)
		}
		got[i] = slices.Clone(x.F32())
	}
	if !slices.Equal(got[0], got[1]) {
		t.Error("the numbers differ")
	}
	if sum := int64(len(tokens) * fedHidden * 4); layer[1] != sum || layer[0] != 3*sum {
		t.Errorf("a layer takes %d bytes, want %d; with a norm before it %d, want %d", layer[1], sum, layer[0], 3*sum)
	}
}
