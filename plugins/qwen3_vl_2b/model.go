// Qwen3-VL-2B, a dense decoder that sees. One layer:
//
//	h → norm → q k v → norm of each head of q, k → rope by time, row, column → causal attention → o → + → norm → silu(gate)·up → down → +
//
// Four facts to know:
//   - a picture stands in the prompt as a run of one token; the rows of that run take what the tower saw (architecture.go) in place
//     of the token's embedding, and behind each of the first layers what a middle block of the tower saw is added (DeepStack);
//   - a row has three positions (positions.go), and each frequency of the rope turns by one of them; for text the three are equal;
//   - a picture of 9 x 12 tokens moves the positions behind it by 12, not by 108: a row's place in the cache is not its position;
//   - the tower sees a whole picture at once, whatever chunks its rows are prefilled in.
package main

import (
	"slices"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/picture"
	"github.com/inference-pio/inference-pio/cuda/serve"
)

// Model is the whole of it; tags are names in the checkpoint, as names.go spells them.
type Model struct {
	Embed  nn.Embedding `weight:"embed_tokens"`
	Layers []Layer      `weight:"layers"`
	Norm   nn.RMSNorm   `weight:"norm"`
	Head   nn.Linear    `weight:"lm_head,root"` // Embed once more when tied
	Tower  Tower        `weight:"visual"`

	cfg   Config // of the whole checkpoint: Layers may be fewer
	look  picture.Config
	rope  nn.Rope // of rows whose three positions are one
	axial nn.Rope // of others

	pieceRows int
}

// Layer: h += attention(norm(h)); h += mlp(norm(h)).
type Layer struct {
	AttnNorm nn.RMSNorm         `weight:"input_layernorm"`
	Attn     nn.NormedAttention `weight:"self_attn"`
	MLPNorm  nn.RMSNorm         `weight:"post_attention_layernorm"`
	MLP      nn.SwiGLU          `weight:"mlp"`
}

// Forward returns the final hidden rows of b.Outputs: (outputs, hidden).
func (m *Model) Forward(s *cuda.Step, b *nn.Batch) cuda.Tensor {
	x := m.Embed.Forward(s, b.Tokens) // (rows, hidden)
	if f := b.Visual.Features; len(f) > 0 {
		x = s.IndexCopy(x, b.Visual.Rows, f[0])
	}
	angles := m.angles(s, b) // (rows, head_dim/2, 2)
	s.Observe("embeddings", 0, x)
	for i := range m.Layers {
		s.EnterLayer(i) // the layer's weights are where they shall be from here on, the next ones on their way
		s.Observe("input", i, x)
		l := &m.Layers[i]
		x = s.Add(x, l.Attn.Forward(s, l.AttnNorm, x, angles, m.rope, b, b.Caches[i]))
		x = s.Add(x, l.MLP.ForwardNormed(s, l.MLPNorm, x))
		s.Observe("layer", i, x)
		if f := b.Visual.Features; i+1 < len(f) {
			x = s.IndexAdd(x, b.Visual.Rows, f[i+1])
		}
	}
	x = m.Norm.Forward(s, s.Gather(x, b.Outputs)) // (outputs, hidden)
	s.Observe("final", 0, x)
	return x
}

func (m *Model) angles(s *cuda.Step, b *nn.Batch) cuda.Tensor {
	if b.Axes.IsZero() {
		return m.rope.Angles(s, b.Positions)
	}
	return m.axial.Angles(s, b.Axes)
}

// Unembed turns hidden rows into logits: (outputs, hidden) -> (outputs, vocab).
func (m *Model) Unembed(s *cuda.Step, x cuda.Tensor) cuda.Tensor { return m.Head.Forward(s, x) }

// New is the model of a config, without weights. layers > 0 keeps only the first decoder layers, for tests and benchmarks.
func New(c Config, layers int) *Model {
	t := c.Text
	rope := nn.NewRope(t.RopeTheta, t.HeadDim, t.Yarn)
	m := &Model{
		Embed:  nn.NewEmbedding(t.VocabSize, t.HiddenSize),
		Layers: make([]Layer, t.FirstLayers(layers)),
		Norm:   nn.NewRMSNorm(t.HiddenSize, t.RMSNormEps),
		Head:   nn.NewLinear(t.VocabSize, t.HiddenSize),
		Tower:  newTower(c.Vision),
		cfg:    c,
		look:   publishedLook(c.Vision),
		rope:   rope,
		axial:  rope.ByAxis(t.axes()),

		pieceRows: pieceRows,
	}
	if c.TieWordEmbeddings {
		m.Head = m.Embed.Tied()
	}
	for i := range m.Layers {
		m.Layers[i] = newLayer(t)
	}
	return m
}

func newLayer(c TextConfig) Layer {
	return Layer{
		AttnNorm: nn.NewRMSNorm(c.HiddenSize, c.RMSNormEps),
		Attn:     nn.NewNormedAttention(c.HiddenSize, c.NumAttentionHeads, c.NumKeyValueHeads, c.HeadDim, c.RMSNormEps, c.AttentionBias),
		MLPNorm:  nn.NewRMSNorm(c.HiddenSize, c.RMSNormEps),
		MLP:      nn.NewSwiGLU(c.HiddenSize, c.IntermediateSize),
	}
}

// Open reads config.json.
func Open(config []byte, o serve.OpenOptions) (serve.Model, error) {
	c, err := ParseConfig(config)
	if err != nil {
		return nil, err
	}
	return New(c, o.Layers), nil
}

// Shape says what the engine needs to know.
func (m *Model) Shape() serve.Shape {
	t := m.cfg.Text
	return serve.Shape{Vocab: t.VocabSize, Context: t.Context(), Layers: len(m.Layers), Hidden: t.HiddenSize, Published: m.cfg.Published()}
}

// Caches says what each layer keeps of a position.
func (m *Model) Caches() []nn.CacheSpec {
	t := m.cfg.Text
	return slices.Repeat([]nn.CacheSpec{nn.KeysValues(t.NumKeyValueHeads, t.HeadDim, t.HeadDim)}, len(m.Layers))
}

// FP8Block is the shape of the blocks that FP8 weights are scaled by.
func (m *Model) FP8Block() [2]int { return m.cfg.FP8Block }

// IgnoreTensor knows the quirks of checkpoints.
func (m *Model) IgnoreTensor(name string) bool { return m.cfg.Superfluous(name) }
