package nntest

import (
	"slices"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/nn"
)

// sight.go gives the rows of a model that sees what was seen, and their positions in a picture.

// see adds a chunk, whose first token is at a position and which is about to join the batch.
func (r *Runner) see(c Chunk, start int) {
	if r.limits.Features == 0 {
		return
	}
	r.axes = append(r.axes, c.Axes...)
	for i := len(c.Axes) / 3; i < len(c.Tokens); i++ {
		r.axes = append(r.axes, slices.Repeat([]int32{int32(start + i)}, 3)...)
	}
	first := int32(0)
	if n := len(r.batch.Segments); n > 0 {
		first = int32(r.batch.Segments[n-1].To)
	}
	for _, i := range c.Visible {
		r.visible = append(r.visible, first+i)
	}
	for i := range min(len(c.Features), len(r.features)) {
		r.features[i] = append(r.features[i], c.Features[i]...)
	}
}

// everythingVisible is the largest chunk there can be.
func (r *Runner) everythingVisible() Chunk {
	c := Chunk{Tokens: make([]int32, r.limits.Rows), Features: make([][]float32, r.limits.Features)}
	for i := range r.limits.Rows {
		c.Visible = append(c.Visible, int32(i))
	}
	for i := range c.Features {
		c.Features[i] = make([]float32, r.limits.Rows*r.limits.Hidden)
	}
	return c
}

// show brings it into the step.
func (r *Runner) show(s *cuda.Step) {
	b := &r.batch
	b.Axes, b.Visual = cuda.Tensor{}, nn.Visual{}
	if r.limits.Features == 0 {
		return
	}
	b.Axes = s.Input(r.axes, len(r.tokens), 3)
	if len(r.visible) == 0 {
		return
	}
	b.Visual.Rows = s.Input(r.visible)
	for _, f := range r.features {
		b.Visual.Features = append(b.Visual.Features, s.InputF32(f, len(r.visible), r.limits.Hidden))
	}
}
