// How serve has a picture looked at: decoded where its request is read, then piece by piece between the steps of others.

package main

import (
	"fmt"
	"slices"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/serve"
)

// pieceRows says how much a piece of the tower is: about the work of so many rows of a prompt. Where one block is more, as it is
// from some 6,700 patches on, a piece is one block.
const pieceRows = 128

var _ serve.Seer = (*Model)(nil)

// PadToken stands for a piece of a picture in the prompt.
func (m *Model) PadToken() int32 { return int32(m.cfg.ImageTokenID) }

// Features is how many tensors a picture gives: in place of the embedding, and one more for each DeepStack merger.
func (m *Model) Features() int { return 1 + len(m.Tower.DeepStack) }

// CheckPrompt says what in a prompt is not built.
func (m *Model) CheckPrompt(ids []int32) error {
	if at := slices.Index(ids, int32(m.cfg.VideoTokenID)); at >= 0 {
		return fmt.Errorf("the prompt has a video (token %d at position %d); pictures can be seen, videos cannot yet", m.cfg.VideoTokenID, at)
	}
	return nil
}

// See runs one piece of the tower. x is the zero Tensor for piece 0 and then what the piece before returned as next, (patches,
// hidden). seen are what the DeepStack mergers of this piece's blocks give, in the order of the blocks, and in the last piece what
// the final merger gives: (tokens, decoder's hidden) each.
func (m *Model) See(s *cuda.Step, picture serve.Picture, x cuda.Tensor, piece int) (next cuda.Tensor, seen []cuda.Tensor, done bool) {
	p, t := picture.(*Picture), &m.Tower // serve hands back what Look returned
	if piece == 0 {
		x = t.embed(s, p)
	}
	each := m.blocksOfPiece(p.patches())
	from := piece * each
	to := min(from+each, len(t.Blocks))
	positions := s.Input(p.grid.places(t.cfg.SpatialMergeSize), p.patches(), 2)
	for i := from; i < to; i++ {
		x = t.block(s, &t.Blocks[i], x, positions)
		if k := slices.Index(t.cfg.DeepStackVisualIndexes, i); k >= 0 {
			seen = append(seen, t.merge(s, &t.DeepStack[k], x))
		}
	}
	if to < len(t.Blocks) {
		return x, seen, false
	}
	seen = append(seen, t.merge(s, &t.Merger, x))
	if s.Err() == nil && !s.Measuring() {
		p.image.Pix = nil // serve remembers pictures for long
	}
	return cuda.Tensor{}, seen, true
}

// blocksOfPiece is how many blocks are a piece for a picture of n patches: as many as take no more multiplications than so many
// rows of a prompt, but at least one.
func (m *Model) blocksOfPiece(n int) int {
	blocks := float64(m.pieceRows) * float64(textParameters(m.cfg.Text)) / float64(m.workOfBlock(n))
	return int(min(max(blocks, 1), float64(m.cfg.Vision.Depth)))
}

// workOfBlock is the multiplications of a block for n patches.
func (m *Model) workOfBlock(n int) int {
	c := m.cfg.Vision
	return n * (4*c.HiddenSize*c.HiddenSize + 2*c.HiddenSize*c.IntermediateSize + 2*n*c.HiddenSize)
}

// textParameters is the size of the decoder's matrices, without embedding and head.
func textParameters(c TextConfig) int {
	attention := 2 * c.HiddenSize * c.HeadDim * (c.NumAttentionHeads + c.NumKeyValueHeads)
	return c.NumHiddenLayers * (attention + 3*c.HiddenSize*c.IntermediateSize)
}
