// The tower that sees: a vision transformer whose patches are read with their row and column. With the published numbers:
//
//	a patch of 3 x 2 x 16 x 16 values → linear → + position, interpolated from a table of 48 x 48
//	24 blocks: h → norm → q k v → rope by row and column → attention to the whole picture → o → + → norm → fc1 → gelu → fc2 → +
//	merger: norm → 2 x 2 patches become one row → fc1 → gelu → fc2: a token of the decoder's width
//
// and three more mergers, which read what blocks in the middle give and norm after the rows are joined (DeepStack).
//
// A picture may have tens of thousands of patches, so everything but attention is done for some rows at a time; rows are
// independent, so that changes no bit.

package main

import (
	"math"
	"slices"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/nn"
)

const (
	visionEps  = 1e-6 // of every layer norm
	rowsAtOnce = 1024 // patches that are worked on together; keys of a tile
)

// Tower turns patches into rows of the decoder.
type Tower struct {
	Patch     nn.Linear    `weight:"patch_embed.proj,keep"` // patch values -> hidden
	Positions nn.Embedding `weight:"pos_embed,keep"`        // (side * side, hidden)
	Blocks    []Block      `weight:"blocks"`
	Merger    Merger       `weight:"merger"`
	DeepStack []Merger     `weight:"deepstack_merger_list"`

	cfg   VisionConfig
	rope  nn.Rope // by row and column
	act   cuda.GELUForm
	scale float32 // of attention scores
}

// Block: h += attention(norm(h)); h += mlp(norm(h)).
type Block struct {
	Norm1 nn.LayerNorm `weight:"norm1"`
	QKV   nn.Linear    `weight:"attn.qkv"` // hidden -> 3 * hidden
	O     nn.Linear    `weight:"attn.proj"`
	Norm2 nn.LayerNorm `weight:"norm2"`
	FC1   nn.Linear    `weight:"mlp.linear_fc1"`
	FC2   nn.Linear    `weight:"mlp.linear_fc2"`
}

// Merger joins a group of patches into one row.
type Merger struct {
	Norm nn.LayerNorm `weight:"norm"` // of a patch, or of a group that is joined already
	FC1  nn.Linear    `weight:"linear_fc1"`
	FC2  nn.Linear    `weight:"linear_fc2"`

	joined bool
}

// embed makes the first hidden rows of a picture: (patches, hidden).
func (t *Tower) embed(s *cuda.Step, p *Picture) cuda.Tensor {
	s.EnterModule(t.Patch.W.Module)
	n, width := p.patches(), t.cfg.patchValues()
	out, at := s.Empty(n, t.cfg.HiddenSize), newInterpolation(t.cfg.side(), p.grid, t.cfg.SpatialMergeSize)
	t.inParts(s, n, rowsAtOnce, func(from, to int) {
		var values []float32
		if !s.Measuring() {
			values = p.values(from, to)
		}
		x := t.Patch.Forward(s, s.InputF32(values, to-from, width)) // (rows, hidden)
		s.Copy(out.Slice(from, to), s.Add(x, t.position(s, at, from, to)))
	})
	return out
}

// position is the table at the places of patches, between whose four neighbours it is interpolated: (rows, hidden).
func (t *Tower) position(s *cuda.Step, at interpolation, from, to int) (sum cuda.Tensor) {
	for corner := range 4 {
		index, weight := at.corner(corner, from, to)
		x := s.Mul(t.Positions.Forward(s, s.Input(index)), s.InputF32(weight, to-from, 1))
		if corner > 0 {
			x = s.Add(sum, x)
		}
		sum = x
	}
	return sum
}

// block maps x (patches, hidden) -> (patches, hidden).
func (t *Tower) block(s *cuda.Step, b *Block, x, positions cuda.Tensor) cuda.Tensor {
	s.EnterModule(b.Norm1.W.Module)
	x = s.Here(x) // before the mark: all parts find it there
	n, hidden := x.Rows(), t.cfg.HiddenSize
	out := s.Empty(n, hidden)
	mark := s.Mark()
	acc := t.attend(s, b, x, positions)
	t.inParts(s, n, rowsAtOnce, func(from, to int) {
		y := b.O.Forward(s, s.AttendDone(acc.Slice(from, to)).Flat()) // (rows, hidden)
		h := s.Add(x.Slice(from, to), y)
		y = b.FC2.Forward(s, s.GELU(b.FC1.Forward(s, b.Norm2.Forward(s, h)), t.act))
		s.Copy(out.Slice(from, to), s.Add(h, y))
	})
	s.Rewind(mark)
	return out
}

// attend gives what each patch has attended to, before it is divided by its weights: (patches, heads, head dim + 2).
func (t *Tower) attend(s *cuda.Step, b *Block, x, positions cuda.Tensor) cuda.Tensor {
	n, hidden, dim := x.Rows(), t.cfg.HiddenSize, t.cfg.headDim()
	q, k, v := s.Empty(n, hidden), s.Empty(n, hidden), s.Empty(n, hidden)
	t.inParts(s, n, rowsAtOnce, func(from, to int) {
		angles := t.rope.Angles(s, positions.Slice(from, to))          // (rows, head dim/2, 2)
		qkv := b.QKV.Forward(s, b.Norm1.Forward(s, x.Slice(from, to))) // (rows, 3 * hidden)
		turned := func(i int) cuda.Tensor {
			return t.rope.Apply(s, s.Columns(qkv, i*hidden, (i+1)*hidden).Heads(dim), angles).Flat()
		}
		s.Copy(q.Slice(from, to), turned(0))
		s.Copy(k.Slice(from, to), turned(1))
		s.Copy(v.Slice(from, to), s.Columns(qkv, 2*hidden, 3*hidden))
	})
	limits := s.Input(slices.Repeat([]int32{int32(n - 1)}, n)) // every patch sees all
	acc, q, k, v := s.AttendStart(n, t.cfg.NumHeads, dim), q.Heads(dim), k.Heads(dim), v.Heads(dim)
	t.inParts(s, n, rowsAtOnce, func(from, to int) {
		keys := s.HeadsFirst(k.Slice(from, to), 0, dim, cuda.Tensor{}) // (heads, rows, head dim)
		values := s.HeadsFirst(v.Slice(from, to), 0, dim, cuda.Tensor{})
		s.AttendTile(acc, q, keys, values, limits, from, t.scale)
	})
	return acc
}

// merge maps x (patches, hidden) -> (tokens, decoder's hidden).
func (t *Tower) merge(s *cuda.Step, m *Merger, x cuda.Tensor) cuda.Tensor {
	s.EnterModule(m.FC1.W.Module)
	x = s.Here(x)
	n, group := x.Rows(), t.cfg.group()
	out := s.Empty(n/group, t.cfg.OutHiddenSize)
	t.inParts(s, n, max(rowsAtOnce/group, 1)*group, func(from, to int) {
		rows := x.Slice(from, to)
		if m.joined {
			rows = m.Norm.Forward(s, rows.Group(group))
		} else {
			rows = m.Norm.Forward(s, rows).Group(group)
		}
		s.Copy(out.Slice(from/group, to/group), m.FC2.Forward(s, s.GELU(m.FC1.Forward(s, rows), cuda.GELUErf)))
	})
	return out
}

// inParts calls f for rows 0..n-1, some at a time, and ends the activations of each part.
func (t *Tower) inParts(s *cuda.Step, n, rows int, f func(from, to int)) {
	for from := 0; from < n && s.Err() == nil; from += rows {
		mark := s.Mark()
		f(from, min(from+rows, n))
		s.Rewind(mark)
	}
}

// newTower is the tower of a config, without weights.
func newTower(c VisionConfig) Tower {
	joined := c.group() * c.HiddenSize
	merger := func(norm int, after bool) Merger {
		return Merger{nn.NewLayerNorm(norm, visionEps), nn.NewBiased(joined, joined), nn.NewBiased(c.OutHiddenSize, joined), after}
	}
	t := Tower{
		Patch:     nn.NewBiased(c.HiddenSize, c.patchValues()),
		Positions: nn.NewEmbedding(c.NumPositionEmbeddings, c.HiddenSize),
		Blocks:    make([]Block, c.Depth),
		Merger:    merger(c.HiddenSize, false),
		DeepStack: make([]Merger, len(c.DeepStackVisualIndexes)),
		cfg:       c,
		rope:      visionRope(c),
		act:       gelus[c.HiddenAct],
		scale:     float32(1 / math.Sqrt(float64(c.headDim()))),
	}
	for i := range t.Blocks {
		t.Blocks[i] = Block{
			Norm1: nn.NewLayerNorm(c.HiddenSize, visionEps),
			QKV:   nn.NewBiased(3*c.HiddenSize, c.HiddenSize),
			O:     nn.NewBiased(c.HiddenSize, c.HiddenSize),
			Norm2: nn.NewLayerNorm(c.HiddenSize, visionEps),
			FC1:   nn.NewBiased(c.IntermediateSize, c.HiddenSize),
			FC2:   nn.NewBiased(c.HiddenSize, c.IntermediateSize),
		}
	}
	for i := range t.DeepStack {
		t.DeepStack[i] = merger(joined, true)
	}
	return t
}
