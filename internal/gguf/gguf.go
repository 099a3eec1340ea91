// Package gguf reads what a GGUF file says of itself: keys with values, and a table of tensors. It knows no model and no element: what the
// keys mean is for who asks, and tensors are ranges of bytes.
//
// The format is that of ggml's docs/gguf.md, versions 2 and 3, little-endian. Sizes, counts and depths are bounded, every sum is checked,
// and a file whose tensors overlap or lie beyond its end is refused. Long lists, such as a vocabulary, stay as bytes until they are
// asked for.
//
// It imports nothing of this module and everything here may import it.
package gguf

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"slices"
)

// What no published file comes near.
const (
	maxHeader  = 512 << 20 // bytes of keys and tensor table together
	maxKeys    = 1 << 16
	maxTensors = 1 << 18
	maxName    = 1 << 16 // bytes of a key, or of a tensor's name
	maxDims    = 4
	maxDepth   = 4 // of lists in lists
	maxAlign   = 1 << 20
)

// defaultAlign is where tensors begin if no key says otherwise: at multiples of so many bytes.
const defaultAlign = 32

// Header is what a file says of itself.
type Header struct {
	Version int
	Keys    map[string]Value
	Order   []string // of the keys, as they are in the file
	Tensors []Tensor // in the file's order
	Data    int64    // where the first tensor may begin
}

// Tensor is a range of bytes.
type Tensor struct {
	Name   string
	Type   uint32 // as ggml numbers element types
	Shape  []int  // the dimension whose elements lie together comes last
	Offset int64  // from the beginning of the file
}

// Read reads the header of a file of so many bytes. Its errors do not name the file.
func Read(r io.ReaderAt, size int64) (*Header, error) {
	in := &reader{r: bufio.NewReaderSize(io.NewSectionReader(r, 0, size), 1<<16), left: min(size, maxHeader), size: size}
	h, err := in.header()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = in.short()
	}
	if err != nil {
		return nil, err
	}
	return h, nil
}

// reader reads little-endian numbers and keeps count of what is left.
type reader struct {
	r    *bufio.Reader
	left int64 // that may still be read
	read int64
	size int64
	word [8]byte
}

func (in *reader) short() error {
	if in.size > maxHeader && in.read+in.left >= maxHeader {
		return fmt.Errorf("its header has more than %d bytes", maxHeader)
	}
	return errors.New("its header goes on behind the end of the file; is the download complete?")
}

// take accounts for n bytes that are to be read, and refuses more than there are.
func (in *reader) take(n uint64) error {
	if n > uint64(in.left) {
		return io.ErrUnexpectedEOF
	}
	in.left, in.read = in.left-int64(n), in.read+int64(n)
	return nil
}

func (in *reader) number(bytes int) (uint64, error) {
	if err := in.take(uint64(bytes)); err != nil {
		return 0, err
	}
	in.word = [8]byte{}
	_, err := io.ReadFull(in.r, in.word[:bytes])
	return binary.LittleEndian.Uint64(in.word[:]), err
}

func (in *reader) u32() (uint32, error) {
	n, err := in.number(4)
	return uint32(n), err
}

func (in *reader) u64() (uint64, error) { return in.number(8) }

// bytes reads n bytes in pieces, so that a length that lies costs no memory.
func (in *reader) bytes(n uint64) ([]byte, error) {
	if err := in.take(n); err != nil {
		return nil, err
	}
	var out []byte
	for uint64(len(out)) < n {
		at := len(out)
		out = slices.Grow(out, int(min(n-uint64(at), 1<<20)))[:at+int(min(n-uint64(at), 1<<20))]
		if _, err := io.ReadFull(in.r, out[at:]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// name reads a string that must be short.
func (in *reader) name(what string) (string, error) {
	n, err := in.u64()
	if err != nil {
		return "", err
	}
	if n > maxName {
		return "", fmt.Errorf("%s has a name of %d bytes; at most %d are read", what, n, maxName)
	}
	text, err := in.bytes(n)
	return string(text), err
}

func (in *reader) header() (*Header, error) {
	magic, err := in.u32()
	if err != nil {
		return nil, err
	}
	if magic != 0x46554747 { // "GGUF"
		return nil, errors.New("it does not begin with GGUF")
	}
	version, err := in.u32()
	switch {
	case err != nil:
		return nil, err
	case bits.ReverseBytes32(version) == 2 || bits.ReverseBytes32(version) == 3:
		return nil, errors.New("it is a big-endian GGUF file; convert the model for this machine")
	case version < 2 || version > 3:
		return nil, fmt.Errorf("it is GGUF version %d; 2 and 3 are read: convert the model anew", version)
	}
	tensors, err := in.u64()
	if err != nil {
		return nil, err
	}
	keys, err := in.u64()
	if err != nil {
		return nil, err
	}
	if tensors > maxTensors || keys > maxKeys {
		return nil, fmt.Errorf("it says that it has %d tensors and %d keys; at most %d and %d are read", tensors, keys, maxTensors, maxKeys)
	}
	h := &Header{Version: int(version), Keys: map[string]Value{}}
	for range keys {
		if err := in.key(h); err != nil {
			return nil, err
		}
	}
	align := uint64(defaultAlign)
	if v, ok := h.Keys["general.alignment"]; ok {
		n, whole := v.Int()
		if !whole || n < 1 || n > maxAlign || n&(n-1) != 0 {
			return nil, fmt.Errorf("general.alignment is %s; a power of two up to %d is needed", v, maxAlign)
		}
		align = uint64(n)
	}
	for range tensors {
		t, err := in.tensor()
		if err != nil {
			return nil, err
		}
		h.Tensors = append(h.Tensors, t)
	}
	h.Data = int64((uint64(in.read) + align - 1) &^ (align - 1))
	return h, h.place(int64(align), in.size)
}

func (in *reader) key(h *Header) error {
	name, err := in.name("a key")
	if err != nil {
		return err
	}
	if _, twice := h.Keys[name]; twice {
		return fmt.Errorf("it has the key %q twice", name)
	}
	v, err := in.value()
	if err != nil {
		return fmt.Errorf("key %q: %w", name, err)
	}
	h.Keys[name], h.Order = v, append(h.Order, name)
	return nil
}

func (in *reader) tensor() (t Tensor, err error) {
	if t.Name, err = in.name("a tensor"); err != nil {
		return t, err
	}
	dims, err := in.u32()
	if err != nil {
		return t, err
	}
	if dims > maxDims {
		return t, fmt.Errorf("tensor %q: has %d dimensions; at most %d are read", t.Name, dims, maxDims)
	}
	t.Shape = make([]int, dims)
	elements := uint64(1)
	for i := range t.Shape {
		n, err := in.u64()
		if err != nil {
			return t, err
		}
		hi, lo := bits.Mul64(elements, n)
		if n > math.MaxInt32 || hi != 0 || lo > math.MaxInt64/8 {
			return t, fmt.Errorf("tensor %q: a dimension of %d, beside the others, is more than any file holds", t.Name, n)
		}
		elements, t.Shape[len(t.Shape)-1-i] = lo, int(n)
	}
	if t.Type, err = in.u32(); err != nil {
		return t, err
	}
	offset, err := in.u64()
	if err != nil {
		return t, err
	}
	if offset > math.MaxInt64/2 {
		return t, fmt.Errorf("tensor %q: begins at byte %d of the data, where no file goes", t.Name, offset)
	}
	t.Offset = int64(offset)
	return t, nil
}

// place makes offsets count from the beginning of the file, and refuses tensors that have one name, or begin where none may.
func (h *Header) place(align, size int64) error {
	names := make(map[string]bool, len(h.Tensors))
	for i := range h.Tensors {
		t := &h.Tensors[i]
		if names[t.Name] {
			return fmt.Errorf("it has the tensor %q twice", t.Name)
		}
		names[t.Name] = true
		if t.Offset%align != 0 {
			return fmt.Errorf("tensor %q: begins at byte %d of the data, not at a multiple of %d", t.Name, t.Offset, align)
		}
		if t.Offset += h.Data; t.Offset > size {
			return fmt.Errorf("tensor %q: begins at byte %d but the file has %d; is the download complete?", t.Name, t.Offset, size)
		}
	}
	return h.within(size)
}
