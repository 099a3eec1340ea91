// GLM-4.7-Flash, a mixture of experts with latent attention. One layer:
//
//	h → norm → latent attention (architecture.go) → + → norm → 4 of 64 experts, and one that every token visits (feedforward.go) → +
//
// Four facts to know:
//   - a position is cached as one latent of 512 and one rotated key of 64, from which keys and values of all heads are made;
//   - the first layer is dense: which are is told by mlp_layer_types or first_k_dense_replace;
//   - the router chooses by sigmoid plus a bias and weighs by the sigmoid alone, times 1.8;
//   - published files have one layer more than num_hidden_layers, which predicts a second token and is not read.
package main

import (
	"slices"
	"strconv"
	"strings"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/serve"
	"github.com/inference-pio/inference-pio/cuda/weights"
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
	AttnNorm nn.RMSNorm  `weight:"input_layernorm"`
	Attn     Attention   `weight:"self_attn"`
	MLPNorm  nn.RMSNorm  `weight:"post_attention_layernorm"`
	MLP      feedForward `weight:"mlp"` // a *Mixture or, in a dense layer, a *nn.SwiGLU
}

// Forward returns the final hidden rows of b.Outputs: (outputs, hidden).
func (m *Model) Forward(s *cuda.Step, b *nn.Batch) cuda.Tensor {
	x := m.Embed.Forward(s, b.Tokens)       // (rows, hidden)
	angles := m.rope.Angles(s, b.Positions) // (rows, rope dim/2, 2)
	s.Observe("embeddings", 0, x)
	for i := range m.Layers {
		s.EnterLayer(i) // the layer's weights are where they shall be from here on, the next ones on their way
		l := &m.Layers[i]
		x = s.Add(x, l.Attn.forward(s, l.AttnNorm.Forward(s, x), angles, b, b.Caches[i]))
		x = s.Add(x, l.MLP.Forward(s, l.MLPNorm.Forward(s, x)))
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
		rope:   nn.NewRope(c.RopeTheta, c.QKRopeHeadDim, c.Yarn),
	}
	if c.TieWordEmbeddings {
		m.Head = m.Embed.Tied()
	}
	for i := range m.Layers {
		m.Layers[i] = Layer{
			AttnNorm: nn.NewRMSNorm(c.HiddenSize, c.RMSNormEps),
			Attn:     newAttention(c),
			MLPNorm:  nn.NewRMSNorm(c.HiddenSize, c.RMSNormEps),
			MLP:      newFeedForward(c, i),
		}
	}
	return m
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
	return serve.Shape{
		Vocab: m.cfg.VocabSize, Context: m.cfg.Context(), Layers: len(m.Layers), Hidden: m.cfg.HiddenSize, Published: m.cfg.Published(),
		Experts: m.cfg.NRoutedExperts, ExpertsPerToken: m.cfg.NumExpertsPerTok,
		TwoForms: true, // latents of a prompt are expanded, those of an answer absorbed
	}
}

// Caches says what each layer keeps of a position.
func (m *Model) Caches() []nn.CacheSpec {
	return slices.Repeat([]nn.CacheSpec{nn.LatentCache(m.cfg.KVLoraRank, m.cfg.QKRopeHeadDim)}, len(m.Layers))
}

// Respell reads checkpoints that transformers 5 saved, which have all experts of a layer in one tensor.
func (m *Model) Respell(src weights.Source) weights.Source { return weights.SplitExperts(src) }

// FP8Block is the shape of the blocks that FP8 weights are scaled by.
func (m *Model) FP8Block() [2]int { return m.cfg.FP8Block }

// IgnoreTensor knows the quirks of checkpoints, layers behind the last, which guess a second token, and the empty matrices of no
// shared expert.
func (m *Model) IgnoreTensor(name string) bool {
	layer, inLayers := strings.CutPrefix(name, "model.layers.")
	number, rest, _ := strings.Cut(layer, ".")
	n, err := strconv.Atoi(number)
	return inLayers && err == nil && n >= m.cfg.NumHiddenLayers ||
		inLayers && m.cfg.NSharedExperts == 0 && strings.HasPrefix(rest, "mlp.shared_experts.") ||
		m.cfg.Superfluous(name)
}
