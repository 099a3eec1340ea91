// whole.go has codes that are whole numbers with a factor for 128 columns, and which group a column is of.

package hfquant

import (
	"encoding/binary"
	"fmt"

	"github.com/inference-pio/inference-pio/cuda/weights"
	"github.com/inference-pio/inference-pio/cuda/weights/blocks"
)

// blockCols is how many columns must share a factor: see weights.Whole.
const blockCols = 128

// whole is the same as whole numbers, if that is what it is. least and most are those of a code less its zero.
func (g *grouped) whole(least, most int) weights.Coded {
	if g.group != nil || g.added || g.each%blockCols != 0 && g.each < g.cols {
		return g
	}
	return wholeRows{g, least, most}
}

type wholeRows struct {
	*grouped
	least, most int
}

// Range implements weights.Whole.
func (w wholeRows) Range() (least, most int) { return w.least, w.most }

// Codes implements weights.Whole.
func (w wholeRows) Codes(to []int8, factors []float32, row int) {
	if w.cols == 0 {
		return
	}
	room, own, numbers, zeros := make([]byte, w.cols), make([]float32, w.groups()), make([]float32, w.groups()), make([]byte, w.groups())
	per := (w.cols + blockCols - 1) / blockCols
	for ; len(to) >= w.cols; row, to, factors = row+1, to[w.cols:], factors[per:] {
		if w.zeros != nil {
			w.zeros(numbers, row)
			for i, z := range numbers {
				zeros[i] = byte(z)
			}
		}
		blocks.Less(to, w.codes(room, row), zeros, w.each)
		w.factors.Widen(own, row)
		for b := range per {
			factors[b] = own[b*blockCols/w.each]
		}
	}
}

// groupIndex is which group each column is of; nil: one after the other.
type groupIndex []byte

func (g groupIndex) at(column int) int { return int(binary.LittleEndian.Uint32(g[4*column:])) }

// groupOf reads which group each column is of, where groups of so many columns do not follow each other.
func (r *reader) groupOf(name string, cols, each, groups int) (groupIndex, error) {
	v, ok := r.get(name)
	if !ok {
		return nil, nil
	}
	if v.Format != "I32" || len(v.Shape) != 1 || v.Shape[0] != cols {
		return nil, fmt.Errorf("tensor %q: is %s %v; one I32 for each of %d columns is needed", name, v.Format, v.Shape, cols)
	}
	group, ordered := groupIndex(v.Data), true
	for i := range cols {
		g := group.at(i)
		if g >= groups {
			return nil, fmt.Errorf("tensor %q: column %d is of group %d; there are %d", name, i, int32(g), groups)
		}
		ordered = ordered && g == i/each
	}
	if ordered {
		return nil, nil
	}
	return group, nil
}
