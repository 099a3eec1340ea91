// The paged kv cache of a layer. Which blocks a sequence has is decided elsewhere and arrives as the batch's tables; here are
// the bytes behind the block numbers.

package nn

import "github.com/inference-pio/inference-pio/cuda"

// BlockSize is the number of positions in one block of the cache.
const BlockSize = 64

// CacheSpec is what one layer keeps for each position: keys and values of this many heads, in f32.
type CacheSpec struct {
	KVHeads int
	Dim     int // elements of a head
}

// PositionBytes is the size of one position.
func (c CacheSpec) PositionBytes() int64 { return 2 * int64(c.KVHeads) * int64(c.Dim) * 4 }

// Bytes is the size of so many blocks.
func (c CacheSpec) Bytes(blocks int) int64 { return c.PositionBytes() * BlockSize * int64(blocks) }

// Tensors lays keys and values out in memory of at least Bytes(blocks): each (blocks, kv heads, BlockSize, dim).
func (c CacheSpec) Tensors(dev cuda.Device, mem cuda.Memory, blocks int) (k, v cuda.Tensor, err error) {
	if k, err = cuda.DeviceTensor(dev, mem, 0, cuda.F32, blocks, c.KVHeads, BlockSize, c.Dim); err != nil {
		return k, v, err
	}
	v, err = cuda.DeviceTensor(dev, mem, k.Bytes(), cuda.F32, blocks, c.KVHeads, BlockSize, c.Dim)
	return k, v, err
}

// KV is the cache of one layer. It moves with the layer's module.
type KV struct {
	Spec CacheSpec
	K, V *cuda.State
}

// NewKV is a cache of so many blocks in memory that the caller took from dev, frees, and may exchange (see Move).
func NewKV(m *cuda.Module, spec CacheSpec, dev cuda.Device, mem cuda.Memory, blocks int) (*KV, error) {
	k, v, err := spec.Tensors(dev, mem, blocks)
	if err != nil {
		return nil, err
	}
	return &KV{Spec: spec, K: cuda.NewState(m.ID+".k", m, k), V: cuda.NewState(m.ID+".v", m, v)}, nil
}
