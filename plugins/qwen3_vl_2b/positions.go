// Positions: those of rows of the decoder behind and in a picture, and those of patches in the tower.

package main

import (
	"math"

	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/serve"
)

// Axes writes the rope positions (time, row, column) of a sequence's cache positions to out, three for each. Text counts on in
// all three. The tokens of a picture that begins at b have time b and their row and column in the picture from b on; behind
// it counting goes on at b + the picture's longer side. pictures are in the order of their places.
func (m *Model) Axes(pictures []serve.Placed, positions []int32, out []int32) {
	for i, p := range positions {
		t, r, c := axesAt(pictures, p)
		out[3*i], out[3*i+1], out[3*i+2] = t, r, c
	}
}

func axesAt(pictures []serve.Placed, position int32) (time, row, column int32) {
	moved := int32(0) // how much further than its position a row's rope is; negative behind most pictures
	for _, one := range pictures {
		p, at := one.Picture.(*Picture), position-int32(one.At)
		if at < 0 {
			break
		}
		rows, columns := int32(p.grid.rows/p.merge), int32(p.grid.columns/p.merge)
		if at < rows*columns {
			begin := int32(one.At) + moved
			return begin, begin + at/columns, begin + at%columns
		}
		moved += max(rows, columns) - rows*columns
	}
	position += moved
	return position, position, position
}

// grid is how many rows and columns of patches a picture has.
type grid struct{ rows, columns int }

// place is the row and column of patch i. Patches come group by group, merge x merge of them: groups and the patches in each
// from left to right and top to bottom.
func (g grid) place(i, merge int) (row, column int) {
	group, inside := i/(merge*merge), i%(merge*merge)
	across := g.columns / merge
	return group/across*merge + inside/merge, group%across*merge + inside%merge
}

// places are the rows and columns of all patches: (patches, 2).
func (g grid) places(merge int) []int32 {
	out := make([]int32, 0, 2*g.rows*g.columns)
	for i := range g.rows * g.columns {
		r, c := g.place(i, merge)
		out = append(out, int32(r), int32(c))
	}
	return out
}

// visionRope turns the first half of a head's pairs by the row and the other half by the column, with the same frequencies.
func visionRope(c VisionConfig) nn.Rope {
	n := c.headDim() / 4
	freqs, axis := make([]float32, 2*n), make([]int32, 2*n)
	for i := range n {
		f := 1 / float32(math.Pow(c.RopeTheta, float64(float32(2*i)/float32(2*n))))
		freqs[i], freqs[n+i], axis[n+i] = f, f, 1
	}
	return nn.Frequencies(freqs).ByAxis(axis)
}

// interpolation finds a picture's patches in a square table of positions that is stretched over the picture, corner on corner.
type interpolation struct {
	side          int
	grid          grid
	merge         int
	rows, columns []float32 // where in the table each row and column of patches lies
}

func newInterpolation(side int, g grid, merge int) interpolation {
	return interpolation{side, g, merge, linspace(side-1, g.rows), linspace(side-1, g.columns)}
}

// corner is one of the four entries around each of the patches from..to-1, and its weight. Bit 0 of corner says right, bit 1
// below.
func (p interpolation) corner(corner, from, to int) (index []int32, weight []float32) {
	for i := from; i < to; i++ {
		row, column := p.grid.place(i, p.merge)
		r, wr := p.pick(p.rows[row], corner&2 != 0)
		c, wc := p.pick(p.columns[column], corner&1 != 0)
		index, weight = append(index, int32(r*p.side+c)), append(weight, wr*wc)
	}
	return index, weight
}

// pick is the entry before or behind a place, and how near it is.
func (p interpolation) pick(place float32, behind bool) (entry int, weight float32) {
	entry = int(place)
	weight = place - float32(entry)
	if behind {
		return min(entry+1, p.side-1), weight
	}
	return entry, 1 - weight
}

// linspace is n numbers from 0 to last in equal steps, in float32 and from both ends to the middle, as the reference computes
// them: which side of a whole number one falls on decides its entries.
func linspace(last, n int) []float32 {
	out := make([]float32, n)
	if n == 1 {
		return out
	}
	step := float32(last) / float32(n-1)
	for i := range out {
		if i < n/2 {
			out[i] = float32(i) * step
		} else {
			out[i] = float32(last) - float32(n-1-i)*step
		}
	}
	return out
}
