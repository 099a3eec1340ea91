// Qwen3-Coder-Next, a mixture of experts in which three of four layers keep no keys and values. One layer:
//
//	h → norm → delta rule, or gated attention → + → norm → experts and a gated shared expert → +
//
// Four facts to know:
//   - a layer with the delta rule keeps a matrix for each head and the last inputs of a convolution: its memory does not grow
//     with the sequence. Prompts are computed in chunks of 64 positions, generated tokens one by one (cuda.Step.DeltaRule);
//   - norms multiply by 1 + w, but for the one behind the delta rule, which multiplies by w;
//   - q_proj holds query and gate of a head side by side, in_proj_qkvz what belongs to a key head (architecture.go);
//   - the rope turns the first quarter of a head.
package main

import (
	"fmt"
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

// Layer: h += mixer(norm(h)); h += mlp(norm(h)). It has one of the two mixers.
type Layer struct {
	MixerNorm nn.RMSNorm  `weight:"input_layernorm"`
	Delta     *DeltaNet   `weight:"linear_attn,optional"`
	Attn      *Attention  `weight:"self_attn,optional"`
	MLPNorm   nn.RMSNorm  `weight:"post_attention_layernorm"`
	MLP       feedForward `weight:"mlp"`
}

// Forward returns the final hidden rows of b.Outputs: (outputs, hidden).
func (m *Model) Forward(s *cuda.Step, b *nn.Batch) cuda.Tensor {
	x := m.Embed.Forward(s, b.Tokens)       // (rows, hidden)
	angles := m.rope.Angles(s, b.Positions) // (rows, rotary dim/2, 2)
	s.Observe("embeddings", 0, x)
	for i := range m.Layers {
		s.EnterLayer(i) // the layer's weights are where they shall be from here on, the next ones on their way
		l := &m.Layers[i]
		x = s.Add(x, m.mix(s, l, l.MixerNorm.Forward(s, x), angles, b, b.Caches[i]))
		x = s.Add(x, l.MLP.Forward(s, l.MLPNorm.Forward(s, x)))
		s.Observe("layer", i, x)
	}
	x = m.Norm.Forward(s, s.Gather(x, b.Outputs)) // (outputs, hidden)
	s.Observe("final", 0, x)
	return x
}

func (m *Model) mix(s *cuda.Step, l *Layer, x, angles cuda.Tensor, b *nn.Batch, c *nn.Cache) cuda.Tensor {
	if l.Delta != nil {
		return l.Delta.forward(s, x, b, c)
	}
	return l.Attn.forward(s, x, m.rope, angles, b, c)
}

// Unembed turns hidden rows into logits: (outputs, hidden) -> (outputs, vocab).
func (m *Model) Unembed(s *cuda.Step, x cuda.Tensor) cuda.Tensor { return m.Head.Forward(s, x) }

// New is the model of a config, without weights. layers > 0 keeps only the first ones, for tests and benchmarks.
func New(c Config, layers int, sp Spelling) *Model {
	m := &Model{
		Embed:  nn.NewEmbedding(c.VocabSize, c.HiddenSize),
		Layers: make([]Layer, c.FirstLayers(layers)),
		Norm:   c.norm(c.HiddenSize),
		Head:   nn.NewLinear(c.VocabSize, c.HiddenSize),
		cfg:    c,
		rope:   nn.NewRope(c.RopeTheta, c.RotaryDim, c.Yarn),
	}
	if c.TieWordEmbeddings {
		m.Head = m.Embed.Tied()
	}
	for i := range m.Layers {
		m.Layers[i] = newLayer(c, i, sp)
	}
	return m
}

func newLayer(c Config, i int, sp Spelling) Layer {
	l := Layer{MixerNorm: c.norm(c.HiddenSize), MLPNorm: c.norm(c.HiddenSize), MLP: newFeedForward(c, i)}
	if c.attends(i) {
		l.Attn = newAttention(c)
	} else {
		l.Delta = newDeltaNet(c, sp)
	}
	return l
}

// norm multiplies by 1 + w.
func (c Config) norm(dim int) nn.RMSNorm {
	n := nn.NewRMSNorm(dim, c.RMSNormEps)
	n.Plus = 1
	return n
}

// Open reads config.json, and learns from the names of the tensors how the projections of the delta rule are cut.
func Open(config []byte, o serve.OpenOptions) (serve.Model, error) {
	c, err := ParseConfig(config)
	if err != nil {
		return nil, err
	}
	return New(c, o.Layers, spelling(c, o.Has)), nil
}

// spelling is that of the first layer with the delta rule; without a checkpoint it is the published one.
func spelling(c Config, has func(string) bool) (sp Spelling) {
	first := 0
	for first < c.NumHiddenLayers && c.attends(first) {
		first++
	}
	if has != nil {
		sp.SplitQKVZ = has(fmt.Sprintf("model.layers.%d.linear_attn.in_proj_qkv.weight", first))
		sp.SplitBA = has(fmt.Sprintf("model.layers.%d.linear_attn.in_proj_b.weight", first))
	}
	return sp
}

// Shape says what the engine needs to know.
func (m *Model) Shape() serve.Shape {
	return serve.Shape{
		Vocab: m.cfg.VocabSize, Context: m.cfg.Context(), Layers: len(m.Layers), Hidden: m.cfg.HiddenSize, Published: m.cfg.Published(),
		Experts: m.cfg.NumExperts, ExpertsPerToken: m.cfg.NumExpertsPerTok,
		TwoForms: true, // the delta rule goes through a prompt in chunks
	}
}

// Caches says what each layer keeps of a sequence.
func (m *Model) Caches() []nn.CacheSpec {
	specs := make([]nn.CacheSpec, len(m.Layers))
	for i, l := range m.Layers {
		if l.Delta != nil {
			specs[i] = l.Delta.cache()
		} else {
			specs[i] = l.Attn.cache()
		}
	}
	return specs
}

// Respell reads checkpoints that transformers 5 saved, which have all experts of a layer in one tensor.
func (m *Model) Respell(src weights.Source) weights.Source { return weights.SplitExperts(src) }

// FP8Block is the shape of the blocks that FP8 weights are scaled by.
func (m *Model) FP8Block() [2]int { return m.cfg.FP8Block }

// IgnoreTensor knows the quirks of checkpoints, and layers that predict further tokens.
func (m *Model) IgnoreTensor(name string) bool {
	return strings.HasPrefix(name, "mtp.") || m.cfg.Superfluous(name)
}
