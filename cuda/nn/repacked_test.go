package nn

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/spec"
	"github.com/inference-pio/inference-pio/cuda/weights"
	"github.com/inference-pio/inference-pio/cuda/weights/blocks"
)

// roundedAs quantises normal random weights by halves of the range of each block, as simply as each type allows, and gives what a file of it
// has: the types differ in how many levels a block has, and whether they are spaced evenly, and that is what a second rounding meets.
var roundedAs = []struct {
	name   string
	number uint32
	fill   func(b []byte, x []float32)
}{
	{"Q8_0", 8, func(b []byte, x []float32) {
		d := most(x) / 127
		binary.LittleEndian.PutUint16(b, halfOf(d))
		for i, v := range x {
			b[2+i] = byte(int8(math.Round(float64(v / d))))
		}
	}},
	{"Q4_0", 2, func(b []byte, x []float32) {
		d := most(x) / 7
		binary.LittleEndian.PutUint16(b, halfOf(d))
		for i := range 16 {
			b[2+i] = byte(math.Round(float64(x[i]/d))+8) | byte(math.Round(float64(x[i+16]/d))+8)<<4
		}
	}},
	{"Q4_1", 3, func(b []byte, x []float32) {
		low, high := x[0], x[0]
		for _, v := range x {
			low, high = min(low, v), max(high, v)
		}
		d := (high - low) / 15
		binary.LittleEndian.PutUint16(b, halfOf(d))
		binary.LittleEndian.PutUint16(b[2:], halfOf(low))
		for i := range 16 {
			b[4+i] = byte(math.Round(float64((x[i]-low)/d))) | byte(math.Round(float64((x[i+16]-low)/d)))<<4
		}
	}},
}

func most(x []float32) (m float32) {
	for _, v := range x {
		m = max(m, float32(math.Abs(float64(v))))
	}
	return m
}

// halfOf rounds a normal number down to half precision.
func halfOf(f float32) uint16 {
	b := math.Float32bits(f)
	return uint16(b>>16&0x8000 | (b>>23&255-112)<<10 | b>>13&1023)
}

// inBlocks is one matrix of blocks.
type inBlocks struct {
	format *blocks.Format
	data   []byte
	cols   int
}

func (s inBlocks) Widen(to []float32, row int) { s.format.Widen(to, s.File(row, row+len(to)/s.cols)) }
func (s inBlocks) File(from, to int) []byte {
	n := s.cols / s.format.Values * s.format.Bytes
	return s.data[from*n : to*n]
}

func (s inBlocks) Type() string { return s.format.Name }

func (inBlocks) Names() []string { return []string{} }

func (s inBlocks) Get(_ string, shape []int) (weights.View, bool) {
	return weights.View{Format: s.format.Name, DType: cuda.BF16, Known: true, Shape: shape, Coded: s}, true
}

// TestRepacked measures what a second rounding costs, which decides what files are packed to by themselves: in 8 bits it is small beside
// what the first has cost, in 4 bits it is as large.
func TestRepacked(t *testing.T) {
	const rows, cols = 64, 1024
	r, c := rand.New(rand.NewPCG(1, 2)), cpu.New(2)
	defer c.Close()
	exact := make([]float32, rows*cols)
	for i := range exact {
		exact[i] = float32(r.NormFloat64()) / 32
	}
	for _, kind := range roundedAs {
		f := blocks.Of(kind.number)
		src := inBlocks{f, make([]byte, rows*cols/f.Values*f.Bytes), cols}
		for i := range rows * cols / f.Values {
			kind.fill(src.data[i*f.Bytes:], exact[i*f.Values:(i+1)*f.Values])
		}
		file := make([]float32, rows*cols)
		src.Widen(file, 0)
		first := distance(file, exact)
		for _, form := range []string{cuda.Q8, cuda.Q4} {
			m := &struct {
				Embed Embedding `weight:"embed_tokens"` // which q4 takes as such
			}{NewEmbedding(rows, cols)}
			b, err := Bind(m, src, BindOptions{Coded: func(weights.View) string { return form }})
			if err != nil {
				t.Fatal(err)
			}
			made, err := b.Quantise(Quantiser{Device: c})
			if err != nil {
				t.Fatal(err)
			}
			got := make([]float32, 0, rows*cols)
			for row := range rows {
				for col := range cols {
					got = append(got, spec.Element(m.Embed.W.File(), row*cols+col))
				}
			}
			second := distance(got, file)
			little := form == cuda.Q8 && second < 0.01 || second < first/4
			if chosen := Repack(weights.View{Format: kind.name}) == form; second == 0 || chosen && !little {
				t.Errorf("%s is packed to %s: %.4f off the file's numbers, which are %.4f off what they were made of", kind.name, form, second, first)
			} else if form == cuda.Q4 && little && !chosen {
				t.Errorf("%s could be packed to %s", kind.name, form)
			}
			t.Logf("%s: the file is %.4f off what it was made of; in %s %.4f off the file", kind.name, first, form, second)
			for _, mem := range made {
				c.Free(mem)
			}
		}
	}
}

// distance is the root mean square of what got is off, in parts of want's.
func distance(got, want []float32) float64 {
	var off, all float64
	for i := range want {
		d := float64(got[i]) - float64(want[i])
		off, all = off+d*d, all+float64(want[i])*float64(want[i])
	}
	return math.Sqrt(off / all)
}
