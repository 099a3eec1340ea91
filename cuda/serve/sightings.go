package serve

import (
	"slices"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/sdk/engine"
)

// sightings.go brings what was seen to the rows that stand for it, and tells the rope where rows are.

// sightings is what a batch's rows have to see.
type sightings struct {
	rows     []int32
	features [][]float32 // of those rows
	axes     []int32
	any      bool // some sequence of the batch has pictures
	placed   []Placed
	at       []int32
}

// fill collects the rows that stand for pictures, and where all rows are for the rope.
func (v *sightings) fill(m Seer, b *engine.Batch) {
	v.rows, v.axes, v.any = v.rows[:0], v.axes[:0], false
	for i := range v.features {
		v.features[i] = v.features[i][:0]
	}
	for len(v.features) < m.Features() {
		v.features = append(v.features, nil)
	}
	v.any = slices.ContainsFunc(b.Rows, func(r engine.Row) bool { return len(b.Media[r.Seq]) > 0 })
	if !v.any {
		return
	}
	for from := 0; from < len(b.Rows); {
		seq, to := b.Rows[from].Seq, from
		v.placed, v.at = v.placed[:0], v.at[:0]
		for _, one := range b.Media[seq] {
			v.placed = append(v.placed, Placed{At: one.At, Picture: one.Content.(*sight).Picture})
		}
		for ; to < len(b.Rows) && b.Rows[to].Seq == seq; to++ {
			v.at = append(v.at, b.Rows[to].Pos)
			v.see(int32(to), int(b.Rows[to].Pos), b.Media[seq])
		}
		v.axes = append(v.axes, make([]int32, 3*len(v.at))...)
		m.Axes(v.placed, v.at, v.axes[3*from:])
		from = to
	}
}

// see adds a row if it stands for a piece of a picture.
func (v *sightings) see(row int32, position int, media []engine.Media) {
	for _, one := range media {
		if at := position - one.At; at >= 0 && at < one.Len {
			v.rows = append(v.rows, row)
			for i, f := range one.Content.(*sight).features {
				width := len(f) / one.Len
				v.features[i] = append(v.features[i], f[at*width:(at+1)*width]...)
			}
			return
		}
	}
}

// fullest is a batch all of whose rows stand for pictures, for measuring.
func (v *sightings) fullest(m Seer, rows int) {
	v.rows, v.axes, v.any = make([]int32, rows), make([]int32, 3*rows), true
	v.features = make([][]float32, m.Features())
	for i := range v.features {
		v.features[i] = make([]float32, rows*m.Shape().Hidden)
	}
}

// input brings it into the step.
func (v *sightings) input(s *cuda.Step, b *nn.Batch, rows int) {
	b.Axes, b.Visual = cuda.Tensor{}, nn.Visual{}
	if !v.any {
		return
	}
	b.Axes = s.Input(v.axes, rows, 3)
	if n := len(v.rows); n > 0 {
		b.Visual.Rows = s.Input(v.rows)
		for _, f := range v.features {
			b.Visual.Features = append(b.Visual.Features, s.InputF32(f, n, len(f)/n))
		}
	}
}
