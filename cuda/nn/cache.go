// What a layer keeps of a sequence between steps: pages of values for each position (keys and values, latents) and state of
// a fixed size (a recurrent state, the inputs a convolution looks back on). Which blocks and which slot a sequence has is
// decided elsewhere and arrives with the batch; here are the bytes behind the numbers.

package nn

import (
	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/internal/block"
)

// BlockSize is the number of positions in one block of the cache.
const BlockSize = block.Size

// CacheSpec is what one layer keeps: pages in Type, which is F32, BF16 or Q8Row, and states of a fixed size in f32. The zero CacheSpec is a
// layer that keeps nothing.
type CacheSpec struct {
	Paged []Paged
	Fixed []Fixed
	Type  cuda.DType
}

// Paged is kept for each position: (blocks, Heads, BlockSize, Dim), or what Dim numbers take of the type.
type Paged struct {
	Name  string // of the state: "k"
	Heads int
	Dim   int // numbers of a head
}

// Fixed is kept for each sequence on board: (slots, Shape...), of at most three dimensions.
type Fixed struct {
	Name  string
	Shape []int
}

// KeysValues is the cache of attention with grouped heads.
func KeysValues(heads, keyDim, valueDim int) CacheSpec {
	return CacheSpec{Paged: []Paged{{"k", heads, keyDim}, {"v", heads, valueDim}}}
}

// PositionBytes is what one position takes.
func (c CacheSpec) PositionBytes() (n int64) {
	for _, p := range c.Paged {
		n += int64(c.Type.Size()) * int64(p.Heads) * int64(c.Type.RowLen(p.Dim))
	}
	return n
}

// SequenceBytes is what one sequence takes, whatever its length.
func (c CacheSpec) SequenceBytes() (n int64) {
	for _, f := range c.Fixed {
		n += shaped{"", cuda.F32, f.Shape}.bytes()
	}
	return n
}

// Size is how much of everything there is: blocks of positions, and slots for sequences on board.
type Size struct{ Blocks, Slots int }

// Bytes is the memory a cache of a size takes: each of its states begins at a multiple of 64 bytes.
func (c CacheSpec) Bytes(z Size) (n int64) {
	for _, s := range c.shapes(z) {
		n += aligned(s.bytes())
	}
	return n
}

// shaped is one state of a cache, laid out for a size.
type shaped struct {
	name  string
	dtype cuda.DType
	dims  []int
}

func (s shaped) bytes() int64 {
	n := int64(s.dtype.Size())
	for _, d := range s.dims {
		n *= int64(d)
	}
	return n
}

func (c CacheSpec) shapes(z Size) []shaped {
	list := make([]shaped, 0, len(c.Paged)+len(c.Fixed))
	for _, p := range c.Paged {
		list = append(list, shaped{p.Name, c.Type, []int{z.Blocks, p.Heads, BlockSize, c.Type.RowLen(p.Dim)}})
	}
	for _, f := range c.Fixed {
		list = append(list, shaped{f.Name, cuda.F32, append([]int{z.Slots}, f.Shape...)})
	}
	return list
}

func aligned(bytes int64) int64 { return (bytes + 63) &^ 63 }

// Lay views memory, from an offset on, as the states of a cache of a size: those that the size has any of, paged ones first. They lie one
// after the other in Bytes(z).
func (c CacheSpec) Lay(dev cuda.Device, mem cuda.Memory, offset int64, z Size) (list []cuda.Tensor, err error) {
	for _, s := range c.shapes(z) {
		if s.dims[0] == 0 {
			continue
		}
		t, err := cuda.DeviceTensor(dev, mem, offset, s.dtype, s.dims...)
		if err != nil {
			return nil, err
		}
		list, offset = append(list, t), offset+aligned(s.bytes())
	}
	return list, nil
}

// Cache is what a layer keeps. It moves with the layer's module.
type Cache struct {
	Paged []*cuda.State // in the order of the spec
	Fixed []*cuda.State
}

// NewCache is a cache of a size in memory that the caller took from dev, at least Bytes(z), and frees.
func NewCache(m *cuda.Module, spec CacheSpec, dev cuda.Device, mem cuda.Memory, z Size) (*Cache, error) {
	c, offset := &Cache{}, int64(0)
	for i, s := range spec.shapes(z) {
		t, err := cuda.DeviceTensor(dev, mem, offset, s.dtype, s.dims...)
		if err != nil {
			return nil, err
		}
		offset += aligned(s.bytes())
		state := cuda.NewState(m.ID+"."+s.name, m, t)
		if i < len(spec.Paged) {
			c.Paged = append(c.Paged, state)
		} else {
			c.Fixed = append(c.Fixed, state)
		}
	}
	return c, nil
}

// CopyBlock makes block to of the layer's pages what block from is, within a step.
func (c *Cache) CopyBlock(s *cuda.Step, from, to int) { copyRows(s, c.Paged, from, to) }

// CopySlot makes slot to of the layer's fixed states what slot from is.
func (c *Cache) CopySlot(s *cuda.Step, from, to int) { copyRows(s, c.Fixed, from, to) }

func copyRows(s *cuda.Step, states []*cuda.State, from, to int) {
	for _, one := range states {
		s.CopyRow(one, from, to)
	}
}

// DiscardBlock gives back the memory of a block that holds nothing, where the device can.
func (c *Cache) DiscardBlock(block int) error {
	for _, s := range c.Paged {
		if err := s.DiscardRow(block); err != nil {
			return err
		}
	}
	return nil
}
