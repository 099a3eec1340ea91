package blocks

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// same says that two numbers are equal to the bit, or both none.
func same(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) || a != a && b != b }

// Blocks of any bytes become the numbers of the formulas, to the bit, by the loops of any machine and by those of this one.
func TestLoopsAreTheFormulas(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for _, f := range formats {
		for _, n := range []int{1, 3, 64} {
			data, want := make([]byte, n*f.Bytes), make([]float32, n*f.Values)
			for range 20 {
				for i := range data {
					data[i] = byte(r.UintN(256))
				}
				f.Plain(want, data)
				for _, fast := range []bool{false, true} {
					got := make([]float32, n*f.Values)
					widenBlocks(fast, f.number, got, data, n)
					for i := range got {
						if !same(got[i], want[i]) {
							t.Fatalf("%s, fast %v: element %d of block %d is %v, not %v", f.Name, fast, i%f.Values, i/f.Values, got[i], want[i])
						}
					}
				}
			}
		}
	}
}

// Every number of eight bits and every half of them, with and without zeros, in groups that end where they like, in order and by index.
func TestRowsAreTheFormula(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	number := map[Kind]func(byte) float32{Unsigned: func(b byte) float32 { return float32(b) }, Signed: func(b byte) float32 { return float32(int8(b)) }, Float8: E4M3, Float4: E2M1}
	for kind, of := range number {
		for _, cols := range []int{1, 15, 64, 67, 256, 1000} {
			for _, each := range []int{1, 16, 60, 128, cols} {
				groups := (cols + each - 1) / each
				x := Row{Codes: make([]byte, cols), Kind: kind, Each: each, Factors: make([]float32, groups)}
				for i := range x.Codes {
					x.Codes[i] = byte(i + int(r.UintN(3)))
					if kind == Float4 {
						x.Codes[i] &= 15
					}
				}
				for g := range x.Factors {
					x.Factors[g] = float32(r.NormFloat64())
				}
				if kind == Unsigned && r.UintN(3) > 0 {
					x.Zeros, x.Added = make([]float32, groups), r.UintN(2) > 0
					for g := range x.Zeros {
						x.Zeros[g] = float32(r.IntN(512)) / 2
					}
				}
				if r.UintN(3) == 0 {
					for range cols {
						x.Index = binary.LittleEndian.AppendUint32(x.Index, uint32(r.IntN(groups)))
					}
				}
				rowIs(t, x, of)
			}
		}
	}
}

func rowIs(t *testing.T, x Row, of func(byte) float32) {
	t.Helper()
	for _, fast := range []bool{false, true} {
		got := make([]float32, len(x.Codes))
		x.widen(fast, got)
		for i, c := range x.Codes {
			g, zero := i/x.Each, float32(0)
			if x.Index != nil {
				g = int(binary.LittleEndian.Uint32(x.Index[4*i:]))
			}
			if x.Zeros != nil {
				zero = x.Zeros[g]
			}
			want := (of(c) - zero) * x.Factors[g]
			if x.Added {
				want = float32(of(c)*x.Factors[g]) + zero
			}
			if !same(got[i], want) {
				t.Fatalf("kind %d, fast %v, %d columns in groups of %d, added %v, by index %v: column %d is %v, not %v", x.Kind, fast, len(x.Codes), x.Each, x.Added,
					x.Index != nil, i, got[i], want)
			}
		}
	}
}

// A group that there is not, which a file can name that is written to after it was checked, is read as another.
func TestAnIndexBeyondTheGroups(t *testing.T) {
	got := make([]float32, 1)
	Row{Codes: []byte{3}, Each: 1, Factors: []float32{2, 5}, Index: []byte{255, 255, 255, 255}}.Widen(got)
	if got[0] != 6 {
		t.Error(got)
	}
}

// Codes that lie by input are found in their words, of any rows; AWQ's order is that of its packages.
func TestCodesByColumn(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	for _, c := range []Columns{{In: 256, Out: 40, Bits: 4}, {In: 136, Out: 72, Bits: 4}, {In: 64, Out: 8, Bits: 8}, {In: 148, Out: 70, Bits: 8}, {In: 160, Out: 33, Bits: 2},
		{In: 130, Out: 136, Bits: 4, AWQ: true}, {In: 3, Out: 8, Bits: 4, AWQ: true}} {
		c.Words = make([]byte, c.In*c.Out*c.Bits/8)
		for i := range c.Words {
			c.Words[i] = byte(r.UintN(256))
		}
		for _, row := range []int{0, 3, c.Out - 1} {
			got := make([]byte, (c.Out-row)*c.In)
			c.Codes(got, row)
			for i, code := range got {
				if want := c.at(i%c.In, row+i/c.In); code != want {
					t.Fatalf("%d x %d codes of %d bits, AWQ %v, from row %d: input %d of output %d is %d, not %d", c.In, c.Out, c.Bits, c.AWQ, row, i%c.In, row+i/c.In, code, want)
				}
			}
		}
	}
}

// at is one code.
func (c Columns) at(in, out int) byte {
	each := 32 / c.Bits
	if c.AWQ {
		word := binary.LittleEndian.Uint32(c.Words[4*(in*(c.Out/8)+out/8):])
		return byte(word >> (4 * []int{0, 4, 1, 5, 2, 6, 3, 7}[out%8]) & 15)
	}
	return byte(binary.LittleEndian.Uint32(c.Words[4*(in/each*c.Out+out):]) >> (in % each * c.Bits) & (1<<c.Bits - 1))
}

func TestNibblesAndZeros(t *testing.T) {
	for _, n := range []int{0, 1, 2, 33, 256} {
		from, to := make([]byte, (n+1)/2), make([]byte, n)
		for i := range from {
			from[i] = byte(i*37 + 5)
		}
		Nibbles(to, from)
		zeros, less := []byte{9, 200, 0}, make([]int8, n)
		Less(less, to, zeros, 100)
		for i, c := range to {
			if c != from[i/2]>>(i%2*4)&15 || less[i] != int8(c-zeros[i/100]) {
				t.Errorf("%d of %d is %d, less its zero %d", i, n, c, less[i])
			}
		}
	}
}

// BenchmarkWiden tells gigabytes of file a second, on one core.
func BenchmarkWiden(b *testing.B) {
	for name, g := range goldens(b) {
		f := Of(g.Number)
		b.Run(fmt.Sprint(name), func(b *testing.B) {
			const n = 64
			blocks, to := make([]byte, n*f.Bytes), make([]float32, n*f.Values)
			for i := range blocks {
				blocks[i] = g.Blocks[i%len(g.Blocks)]
			}
			b.SetBytes(int64(len(blocks)))
			for b.Loop() {
				f.Widen(to, blocks)
			}
		})
	}
}
