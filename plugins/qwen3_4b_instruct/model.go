// Qwen3-4B-Instruct-2507, a dense decoder. One layer:
//
//	h → norm → q k v → norm of each head of q, k → rope → causal attention (4 heads share a kv head) → o → + → norm → silu(gate)·up → down → +
//
// Three facts to know:
//   - attention is wider than the residual stream: 32 heads of 128 make 4096 of a hidden size of 2560, so o is no square;
//   - the context is 262,144 positions, with a rope whose base is 5,000,000 and that is not stretched unless config.json says so;
//   - the weights come in bf16 or in FP8, 8-bit floats with a scale for each block of 128 x 128. Which of a checkpoint's matrices
//     are FP8 is seen by the scales beside them; arithmetic is the same.
//
// It answers at once: the model has no thinking and its chat template no switch for it.
package main

import (
	"slices"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/serve"
)

// Model is the whole of it; tags are names in the checkpoint.
type Model struct {
	Embed  nn.Embedding `weight:"embed_tokens"`
	Layers []Layer      `weight:"layers"`
	Norm   nn.RMSNorm   `weight:"norm"`
	Head   nn.Linear    `weight:"lm_head,root"` // Embed once more when tied

	cfg  Config // of the whole checkpoint: Layers may be fewer
	rope nn.Rope
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
	x := m.Embed.Forward(s, b.Tokens)       // (rows, hidden)
	angles := m.rope.Angles(s, b.Positions) // (rows, head_dim/2, 2)
	s.Observe("embeddings", 0, x)
	for i := range m.Layers {
		s.EnterLayer(i) // the layer's weights are where they shall be from here on, the next ones on their way
		l := &m.Layers[i]
		x = s.Add(x, l.Attn.Forward(s, l.AttnNorm, x, angles, m.rope, b, b.Caches[i]))
		x = s.Add(x, l.MLP.ForwardNormed(s, l.MLPNorm, x))
		s.Observe("layer", i, x)
	}
	x = m.Norm.Forward(s, s.Gather(x, b.Outputs)) // (outputs, hidden)
	s.Observe("final", 0, x)
	return x
}

// Unembed turns hidden rows into logits: (outputs, hidden) -> (outputs, vocab).
func (m *Model) Unembed(s *cuda.Step, x cuda.Tensor) cuda.Tensor { return m.Head.Forward(s, x) }

// New is the model of a config, without weights. layers > 0 keeps only the first ones, for tests and benchmarks.
func New(c Config, layers int) *Model {
	m := &Model{
		Embed:  nn.NewEmbedding(c.VocabSize, c.HiddenSize),
		Layers: make([]Layer, c.FirstLayers(layers)),
		Norm:   nn.NewRMSNorm(c.HiddenSize, c.RMSNormEps),
		Head:   nn.NewLinear(c.VocabSize, c.HiddenSize),
		cfg:    c,
		rope:   nn.NewRope(c.RopeTheta, c.HeadDim, c.Yarn),
	}
	if c.TieWordEmbeddings {
		m.Head = m.Embed.Tied()
	}
	for i := range m.Layers {
		m.Layers[i] = newLayer(c)
	}
	return m
}

func newLayer(c Config) Layer {
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
	return serve.Shape{Vocab: m.cfg.VocabSize, Context: m.cfg.Context(), Layers: len(m.Layers), Hidden: m.cfg.HiddenSize, Published: m.cfg.Published()}
}

// Caches says what each layer keeps of a position.
func (m *Model) Caches() []nn.CacheSpec {
	return slices.Repeat([]nn.CacheSpec{nn.KeysValues(m.cfg.NumKeyValueHeads, m.cfg.HeadDim, m.cfg.HeadDim)}, len(m.Layers))
}

// FP8Block is the shape of the blocks that FP8 weights are scaled by.
func (m *Model) FP8Block() [2]int { return m.cfg.FP8Block }

// IgnoreTensor knows the quirks of checkpoints.
func (m *Model) IgnoreTensor(name string) bool { return m.cfg.Superfluous(name) }
