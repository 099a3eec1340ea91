// The two kinds of mixer: the gated delta rule, and attention whose output is gated.

package main

import (
	"math"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/nn"
)

// DeltaNet is linear attention: each value head keeps a matrix that a key corrects and a query reads, instead of all keys and
// values. Several value heads share a key head.
//
//	x → q k v z, b a;  q k v → conv of the last positions, silu;  y = delta rule(q, k, v, decay(a), sigmoid(b));  out(norm(y) · silu(z))
//
// The projections come in two spellings. In the published one the rows of a matrix are sorted by key head, each with what
// belongs to it: [q | k | v of its value heads | z of its value heads] and [b | a of its value heads]. In the newer one q, k
// and v stand one after the other, the others have a matrix each.
type DeltaNet struct {
	QKVZ nn.Linear `weight:"in_proj_qkvz,optional"`    // hidden -> key heads * (2 key_dim + 2 group * value_dim)
	BA   nn.Linear `weight:"in_proj_ba,optional,keep"` // hidden -> key heads * 2 group, group being value heads / key heads
	QKV  nn.Linear `weight:"in_proj_qkv,optional"`     // hidden -> 2 key heads * key_dim + value heads * value_dim
	Z    nn.Linear `weight:"in_proj_z,optional"`       // hidden -> value heads * value_dim
	B    nn.Linear `weight:"in_proj_b,optional,keep"`  // hidden -> value heads
	A    nn.Linear `weight:"in_proj_a,optional,keep"`

	Conv   nn.CausalConv `weight:"conv1d"`  // over q | k | v
	ALog   *cuda.Weight  `weight:"A_log"`   // (value heads)
	DtBias *cuda.Weight  `weight:"dt_bias"` // (value heads)
	Norm   nn.RMSNorm    `weight:"norm"`    // (value_dim), and the one norm whose weights are not kept as w - 1
	Out    nn.Linear     `weight:"out_proj"`

	keyHeads, heads  int
	keyDim, valueDim int
}

// Spelling says how a checkpoint cuts the projections of its DeltaNets.
type Spelling struct{ SplitQKVZ, SplitBA bool }

func newDeltaNet(c Config, sp Spelling) *DeltaNet {
	keys, values := c.LinearNumKeyHeads*c.LinearKeyHeadDim, c.LinearNumValueHeads*c.LinearValueHeadDim
	d := &DeltaNet{
		Conv: nn.NewCausalConv(2*keys+values, c.LinearConvKernelDim),
		ALog: cuda.NewWeight(c.LinearNumValueHeads), DtBias: cuda.NewWeight(c.LinearNumValueHeads),
		Norm: nn.NewRMSNorm(c.LinearValueHeadDim, c.RMSNormEps), Out: nn.NewLinear(c.HiddenSize, values),
		keyHeads: c.LinearNumKeyHeads, heads: c.LinearNumValueHeads, keyDim: c.LinearKeyHeadDim, valueDim: c.LinearValueHeadDim,
	}
	if sp.SplitQKVZ {
		d.QKV, d.Z = nn.NewLinear(2*keys+values, c.HiddenSize), nn.NewLinear(values, c.HiddenSize)
	} else {
		d.QKVZ = nn.NewLinear(2*keys+2*values, c.HiddenSize)
	}
	if sp.SplitBA {
		d.B, d.A = nn.NewLinear(c.LinearNumValueHeads, c.HiddenSize), nn.NewLinear(c.LinearNumValueHeads, c.HiddenSize)
	} else {
		d.BA = nn.NewLinear(2*c.LinearNumValueHeads, c.HiddenSize)
	}
	return d
}

// cache: the last inputs of the convolution, and the matrices.
func (d *DeltaNet) cache() nn.CacheSpec {
	return nn.CacheSpec{Fixed: []nn.Fixed{d.Conv.State("conv"), nn.DeltaState("delta", d.heads, d.keyDim, d.valueDim)}}
}

// forward maps x (rows, hidden) -> (rows, hidden).
func (d *DeltaNet) forward(s *cuda.Step, x cuda.Tensor, b *nn.Batch, c *nn.Cache) cuda.Tensor {
	s.StartPart()
	// In this order a device can make one launch of what is done with x, and few of what is cut out of it.
	u, ba := d.project(s, x)
	qkv, z := d.cutQKVZ(s, u)
	qkv = d.Conv.Forward(s, qkv, b, c.Fixed[0])
	keys, values := d.keyHeads*d.keyDim, d.heads*d.valueDim
	q := s.Columns(qkv, 0, keys).Heads(d.keyDim) // (rows, key heads, key_dim)
	k := s.Columns(qkv, keys, 2*keys).Heads(d.keyDim)
	v := s.Columns(qkv, 2*keys, 2*keys+values).Heads(d.valueDim) // (rows, value heads, value_dim)
	beta, a := d.cutBA(s, ba)
	y := nn.DeltaRule(s, q, k, v, s.Decay(a, d.ALog, d.DtBias), s.Sigmoid(beta), b, c.Fixed[1])
	y = s.SwiGLU(z.Heads(d.valueDim), d.Norm.Forward(s, y))
	s.EndPart()
	return d.Out.Forward(s, y.Flat())
}

// project gives what q, k, v and z are cut out of, and what b and a are; in the newer spelling they are there already.
func (d *DeltaNet) project(s *cuda.Step, x cuda.Tensor) (u, ba [2]cuda.Tensor) {
	if d.QKV.W != nil {
		u = [2]cuda.Tensor{d.QKV.Forward(s, x), d.Z.Forward(s, x)}
	} else {
		u[0] = d.QKVZ.Forward(s, x)
	}
	if d.B.W != nil {
		ba = [2]cuda.Tensor{d.B.Forward(s, x), d.A.Forward(s, x)}
	} else {
		ba[0] = d.BA.Forward(s, x)
	}
	return u, ba
}

// cutQKVZ gives q | k | v (rows, 2 key heads * key_dim + value heads * value_dim) and z (rows, value heads * value_dim).
func (d *DeltaNet) cutQKVZ(s *cuda.Step, of [2]cuda.Tensor) (qkv, z cuda.Tensor) {
	if d.QKV.W != nil {
		return of[0], of[1]
	}
	dk, dv := d.keyDim, d.heads/d.keyHeads*d.valueDim                     // of one key head
	u := of[0].Heads(2*dk + 2*dv)                                         // (rows, key heads, 2 dk + 2 dv)
	q, k := s.Columns(u, 0, dk), s.Columns(u, dk, 2*dk)                   // (rows, key heads, dk)
	v, z := s.Columns(u, 2*dk, 2*dk+dv), s.Columns(u, 2*dk+dv, 2*dk+2*dv) // (rows, key heads, dv)
	return s.Join(q.Flat(), k.Flat(), v.Flat()), z.Flat()
}

// cutBA gives b and a (rows, value heads).
func (d *DeltaNet) cutBA(s *cuda.Step, of [2]cuda.Tensor) (b, a cuda.Tensor) {
	if d.B.W != nil {
		return of[0], of[1]
	}
	n := d.heads / d.keyHeads
	u := of[0].Heads(2 * n) // (rows, key heads, 2n)
	return s.Columns(u, 0, n).Flat(), s.Columns(u, n, 2*n).Flat()
}

// Attention is attention with grouped heads, of which each has a gate for its output.
type Attention struct {
	Q     nn.Linear  `weight:"q_proj"` // hidden -> heads * (head_dim of the query | head_dim of the gate)
	K     nn.Linear  `weight:"k_proj"` // hidden -> kv heads * head_dim
	V     nn.Linear  `weight:"v_proj"`
	QNorm nn.RMSNorm `weight:"q_norm"` // (head_dim)
	KNorm nn.RMSNorm `weight:"k_norm"`
	O     nn.Linear  `weight:"o_proj"` // heads * head_dim -> hidden

	kvHeads, dim int
	scale        float32 // of scores
}

func newAttention(c Config) *Attention {
	queries, keys := c.NumAttentionHeads*c.HeadDim, c.NumKeyValueHeads*c.HeadDim
	return &Attention{
		Q: nn.NewLinear(2*queries, c.HiddenSize), K: nn.NewLinear(keys, c.HiddenSize), V: nn.NewLinear(keys, c.HiddenSize),
		QNorm: c.norm(c.HeadDim), KNorm: c.norm(c.HeadDim), O: nn.NewLinear(c.HiddenSize, queries),
		kvHeads: c.NumKeyValueHeads, dim: c.HeadDim, scale: float32(1 / math.Sqrt(float64(c.HeadDim))),
	}
}

func (a *Attention) cache() nn.CacheSpec { return nn.KeysValues(a.kvHeads, a.dim, a.dim) }

// forward maps x (rows, hidden) -> (rows, hidden).
func (a *Attention) forward(s *cuda.Step, x cuda.Tensor, rope nn.Rope, angles cuda.Tensor, b *nn.Batch, c *nn.Cache) cuda.Tensor {
	s.StartPart()
	// In this order a device can make one launch of what is done with x, and one of what is done with heads.
	u, k, v := a.Q.Forward(s, x).Heads(2*a.dim), a.K.Forward(s, x).Heads(a.dim), a.V.Forward(s, x).Heads(a.dim) // (rows, heads, 2 head_dim), (rows, kv heads, head_dim)
	q, gate := s.Columns(u, 0, a.dim), s.Columns(u, a.dim, 2*a.dim)
	q, k = a.QNorm.Forward(s, q), a.KNorm.Forward(s, k)
	q, k = rope.Apply(s, q, angles), rope.Apply(s, k, angles)
	y := s.Mul(nn.Attend(s, q, k, v, b, c, a.scale), s.Sigmoid(gate))
	s.EndPart()
	return a.O.Forward(s, y.Flat())
}
