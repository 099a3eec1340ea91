// gguf.go maps GGUF files. Their tensors keep the names that they have there; cuda/hfgguf gives them those of checkpoints.

package weights

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/weights/blocks"
	"github.com/inference-pio/inference-pio/internal/gguf"
	"github.com/inference-pio/inference-pio/internal/regular"
)

// OpenGGUF maps a GGUF file, or all files of a model of which path is one, and returns the keys, which the first file has. Plain numbers
// are views of the file; what is kept in blocks is Coded, and to become BF16. A tensor NAME.scale beside NAME.weight is a factor of it, and
// is no tensor by itself.
func OpenGGUF(path string) (*Checkpoint, *gguf.Header, error) {
	first := gguf.FirstPart(path)
	m, head, err := mapGGUF(first)
	if err != nil {
		return nil, nil, err
	}
	c := &Checkpoint{files: []*mapped{m}, tensors: map[string]View{}}
	if err := c.addParts(first, head); err != nil {
		return nil, nil, errors.Join(err, c.Close())
	}
	if err := c.applyScales(); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s: %w", first, err), c.Close())
	}
	c.names = slices.Sorted(maps.Keys(c.tensors))
	return c, head, nil
}

// Adopt makes the files of another checkpoint this one's, which are then closed with it. Its tensors keep being asked for there.
func (c *Checkpoint) Adopt(other *Checkpoint) {
	c.files, other.files = append(c.files, other.files...), nil
}

// addParts adds the tensors of all files, the first of which is mapped.
func (c *Checkpoint) addParts(first string, head *gguf.Header) error {
	parts, err := head.Parts(first)
	if err != nil {
		return fmt.Errorf("%s: %w", first, err)
	}
	for i, path := range parts {
		h := head
		if i > 0 {
			var m *mapped
			if m, h, err = mapGGUF(path); err != nil {
				return err
			}
			c.files = append(c.files, m)
		}
		if err := h.CheckPart(i, len(parts)); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for _, t := range h.Tensors {
			if _, twice := c.tensors[t.Name]; twice {
				return fmt.Errorf("%s: tensor %q is in a file before it as well", path, t.Name)
			}
			c.tensors[t.Name] = c.files[i].ggufView(t)
		}
	}
	return nil
}

func mapGGUF(path string) (*mapped, *gguf.Header, error) {
	f, _, err := regular.OpenGGUF(path)
	if err != nil {
		return nil, nil, err
	}
	var h *gguf.Header
	m, err := mapOpen(f, path, func(size int64) (err error) {
		if h, err = gguf.Read(f, size); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		return nil
	})
	return m, h, err
}

// plainGGUF are the types whose elements are numbers by themselves.
var plainGGUF = map[uint32]cuda.DType{gguf.TypeF32: cuda.F32, gguf.TypeF16: cuda.F16, gguf.TypeBF16: cuda.BF16}

// ggufView views a tensor. The header is read, so that it lies within the file.
func (m *mapped) ggufView(t gguf.Tensor) View {
	v := View{Format: gguf.TypeName(t.Type), Shape: t.Shape}
	n, sized := t.Bytes()
	if !sized {
		return v
	}
	data := m.data[t.Offset : t.Offset+n : t.Offset+n]
	if d, plain := plainGGUF[t.Type]; plain {
		v.DType, v.Known, v.Data = d, true, aligned(data, d.Size())
		return v
	}
	if f := blocks.Of(t.Type); f != nil && len(t.Shape) > 0 {
		v.DType, v.Known, v.Coded = cuda.BF16, true, &blockRows{format: f, data: data, cols: t.Shape[len(t.Shape)-1]}
	}
	return v
}

// blockRows is a tensor of blocks, each row a whole number of them.
type blockRows struct {
	format  *blocks.Format
	data    []byte
	cols    int
	factors []float32 // for each so many rows one; nil: none
	each    int
}

func (b *blockRows) rowBytes() int { return b.cols / b.format.Values * b.format.Bytes }

// Widen implements Coded.
func (b *blockRows) Widen(to []float32, row int) {
	if b.cols == 0 {
		return
	}
	end := row + len(to)/b.cols
	b.format.Widen(to, b.File(row, end))
	if b.factors == nil {
		return
	}
	for ; row < end; row, to = row+1, to[b.cols:] {
		f := b.factors[row/b.each]
		for i := range to[:b.cols] {
			to[i] *= f
		}
	}
}

// Type implements Blocks.
func (b *blockRows) Type() string {
	if b.factors != nil {
		return ""
	}
	return b.format.Name
}

// File implements Coded.
func (b *blockRows) File(from, to int) []byte { return b.data[from*b.rowBytes() : to*b.rowBytes()] }

// applyScales joins tensors with the factors beside them, of which there is one for the whole, or one for each of its first dimension, and
// drops the factors that computing with codes as well would need.
func (c *Checkpoint) applyScales() error {
	for name, scale := range c.tensors {
		base, is := strings.CutSuffix(name, ".scale")
		if !is {
			if strings.HasSuffix(name, ".input_scale") {
				delete(c.tensors, name)
			}
			continue
		}
		v, ok := c.tensors[base+".weight"]
		b, coded := v.Coded.(*blockRows)
		if !ok || !coded {
			return fmt.Errorf("tensor %q: is a factor of %s.weight, which is not there or has plain numbers", name, base)
		}
		rows := 1
		for _, d := range v.Shape[:len(v.Shape)-1] {
			rows *= d
		}
		n := 1
		for _, d := range scale.Shape {
			n *= d
		}
		if scale.DType != cuda.F32 || !scale.Known || n < 1 || n > max(1, v.Shape[0]) || rows%n != 0 || n > 1 && n != v.Shape[0] {
			return fmt.Errorf("tensor %q: %s %v is no factor of %s.weight %v", name, scale.Format, scale.Shape, base, v.Shape)
		}
		b.each, b.factors = rows/n, make([]float32, n)
		for i := range b.factors {
			b.factors[i] = math.Float32frombits(binary.LittleEndian.Uint32(scale.Data[4*i:]))
		}
		delete(c.tensors, name)
	}
	return nil
}
