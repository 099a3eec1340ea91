package serve

// sightings_test.go brings what was seen of pictures to the rows that stand for them.

import (
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/sdk/engine"
)

// Axes says of a position whether it is a picture's, and which of how many.
func (stare) Axes(pictures []Placed, positions []int32, out []int32) {
	for i, p := range positions {
		out[3*i] = p
		for n, one := range pictures {
			if at := int(p) - one.At; at >= 0 && at < one.Picture.Tokens() {
				out[3*i+1], out[3*i+2] = int32(n+1), int32(len(pictures))
			}
		}
	}
}

// seen is a picture whose features have two numbers for each of its tokens: the token's from first on, and a hundred more.
func seen(at, tokens int, first float32) engine.Media {
	s := &sight{Picture: bytePicture(make([]byte, tokens)), done: true, features: make([][]float32, 2)}
	for i := range 2 * tokens {
		s.features[0] = append(s.features[0], first+float32(i))
		s.features[1] = append(s.features[1], first+float32(i)+100)
	}
	return engine.Media{At: at, Len: tokens, Content: s}
}

// The rows that stand for a picture get what was seen of it, row by row and whatever part of it is in the batch; others get nothing. The
// rope is asked about each sequence by itself.
func TestRowsGetWhatTheyStandFor(t *testing.T) {
	rows := func(seq int32, from, to int32) (list []engine.Row) {
		for p := from; p < to; p++ {
			list = append(list, engine.Row{Seq: seq, Pos: p})
		}
		return list
	}
	pictures := []engine.Media{seen(1, 2, 0), seen(4, 3, 20)} // positions 1, 2 and 4, 5, 6
	for name, c := range map[string]struct {
		rows  []engine.Row
		media [][]engine.Media
		saw   []int32
		first []float32 // the first features
		axes  []int32
	}{
		"a whole prompt": {rows(0, 0, 8), [][]engine.Media{pictures}, []int32{1, 2, 4, 5, 6}, []float32{0, 1, 2, 3, 20, 21, 22, 23, 24, 25},
			[]int32{0, 0, 0, 1, 1, 2, 2, 1, 2, 3, 0, 0, 4, 2, 2, 5, 2, 2, 6, 2, 2, 7, 0, 0}},
		"from within a picture": {rows(0, 5, 8), [][]engine.Media{pictures}, []int32{0, 1}, []float32{22, 23, 24, 25},
			[]int32{5, 2, 2, 6, 2, 2, 7, 0, 0}},
		"up to within a picture": {rows(0, 3, 5), [][]engine.Media{pictures}, []int32{1}, []float32{20, 21}, []int32{3, 0, 0, 4, 2, 2}},
		"behind all":             {rows(0, 7, 8), [][]engine.Media{pictures}, nil, nil, []int32{7, 0, 0}},
		"two sequences": {append(rows(1, 1, 3), rows(0, 4, 6)...), [][]engine.Media{pictures, nil}, []int32{2, 3}, []float32{20, 21, 22, 23},
			[]int32{1, 0, 0, 2, 0, 0, 4, 2, 2, 5, 2, 2}},
		"none with a picture": {rows(0, 0, 3), [][]engine.Media{nil}, nil, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var v sightings
			v.fill(stare{}, &engine.Batch{Rows: rows(0, 0, 8), Media: [][]engine.Media{pictures}}) // the batch before
			v.fill(stare{}, &engine.Batch{Rows: c.rows, Media: c.media})
			if !slices.Equal(v.rows, c.saw) || !slices.Equal(v.axes, c.axes) || v.any != (c.axes != nil) {
				t.Errorf("rows %v see, at %v (any: %v); want %v, at %v", v.rows, v.axes, v.any, c.saw, c.axes)
			}
			for i, f := range v.features {
				want := slices.Clone(c.first)
				for j := range want {
					want[j] += 100 * float32(i)
				}
				if !slices.Equal(f, want) {
					t.Errorf("features %d are %v, want %v", i, f, want)
				}
			}
		})
	}
}
