// Qwen3-Coder-30B-A3B, a mixture of experts. One layer:
//
//	h → norm → q k v → norm of each head of q, k → rope → causal attention (8 heads share a kv head) → o → + → norm → router, 8 of 128 experts → +
//
// Four facts to know:
//   - the router's softmax is over all experts; the weights of the chosen are divided by their sum where norm_topk_prob says
//     so, and otherwise stay as they are, which is less than one in all;
//   - which layers have experts is a rule of three keys (Config.Sparse); in the published model all have;
//   - of 30 billion weights a token uses 3: each expert is a module of its own that is placed alone;
//   - there is no shared expert, and the head is not the embedding.
package main

import (
	"slices"

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
	AttnNorm nn.RMSNorm         `weight:"input_layernorm"`
	Attn     nn.NormedAttention `weight:"self_attn"`
	MLPNorm  nn.RMSNorm         `weight:"post_attention_layernorm"`
	MLP      feedForward        `weight:"mlp"` // a *Mixture or, in a dense layer, a *nn.SwiGLU
}

type feedForward interface {
	Forward(s *cuda.Step, x cuda.Tensor) cuda.Tensor // (rows, hidden) -> (rows, hidden)
}

// Mixture is many small feed-forward layers of which each row takes a few.
type Mixture struct {
	Router  nn.Linear  `weight:"gate,keep"` // hidden -> experts
	Experts nn.Experts `weight:"experts"`

	choose cuda.RouteOptions
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
		x = s.Add(x, l.MLP.Forward(s, l.MLPNorm.Forward(s, x)))
		s.Observe("layer", i, x)
	}
	x = m.Norm.Forward(s, s.Gather(x, b.Outputs)) // (outputs, hidden)
	s.Observe("final", 0, x)
	return x
}

// Forward sends each row of x (rows, hidden) to its experts and adds up what they give.
func (m *Mixture) Forward(s *cuda.Step, x cuda.Tensor) cuda.Tensor {
	index, weights := s.Route(m.Router.Forward(s, x), nil, m.choose) // (rows, experts per token)
	return m.Experts.Forward(s, x, index, weights)
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
		m.Layers[i] = newLayer(c, c.Sparse(i))
	}
	return m
}

func newLayer(c Config, sparse bool) Layer {
	l := Layer{
		AttnNorm: nn.NewRMSNorm(c.HiddenSize, c.RMSNormEps),
		Attn:     nn.NewNormedAttention(c.HiddenSize, c.NumAttentionHeads, c.NumKeyValueHeads, c.HeadDim, c.RMSNormEps, false),
		MLPNorm:  nn.NewRMSNorm(c.HiddenSize, c.RMSNormEps),
	}
	if sparse {
		l.MLP = &Mixture{
			Router:  nn.NewLinear(c.NumExperts, c.HiddenSize),
			Experts: nn.NewExperts(c.NumExperts, c.HiddenSize, c.MoEIntermediateSize),
			choose:  cuda.RouteOptions{Score: cuda.Softmax, TopK: c.NumExpertsPerTok, Normalize: c.NormTopKProb},
		}
	} else {
		dense := nn.NewSwiGLU(c.HiddenSize, c.IntermediateSize)
		l.MLP = &dense
	}
	return l
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
		Experts: m.cfg.NumExperts, ExpertsPerToken: m.cfg.NumExpertsPerTok,
	}
}

// Caches says what each layer keeps of a position.
func (m *Model) Caches() []nn.CacheSpec {
	return slices.Repeat([]nn.CacheSpec{nn.KeysValues(m.cfg.NumKeyValueHeads, m.cfg.HeadDim, m.cfg.HeadDim)}, len(m.Layers))
}

// Respell reads checkpoints that transformers 5 saved, which have all experts of a layer in one tensor.
func (m *Model) Respell(src weights.Source) weights.Source { return weights.SplitExperts(src) }

// IgnoreTensor knows the quirks of checkpoints.
func (m *Model) IgnoreTensor(name string) bool { return m.cfg.Superfluous(name) }

// FP8Block is the shape of the blocks that FP8 weights are scaled by.
func (m *Model) FP8Block() [2]int { return m.cfg.FP8Block }
