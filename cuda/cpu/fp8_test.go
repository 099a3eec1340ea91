package cpu_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/inference-pio/inference-pio/cuda/cpu"
)

// allTypes are those a matrix can have; matrixTypes those a vector can have too.
var allTypes = []cpu.Type{cpu.F32, cpu.BF16, cpu.F16, cpu.F8E4M3}

// blockShapes are the published one, narrow ones, ones whose borders lie inside a vector, and one larger than the matrix.
var blockShapes = [][2]int{{128, 128}, {1, 128}, {16, 8}, {3, 24}, {5, 3}, {2, 1}, {7, 100}, {4000, 4000}}

// randomScale has factors around 1/448 and a few huge ones, in f32 or bf16, at an address that is not aligned.
func randomScale(rng *rand.Rand, rows, cols int) cpu.Scale {
	shape := blockShapes[rng.IntN(len(blockShapes))]
	s := cpu.Scale{Type: []cpu.Type{cpu.F32, cpu.BF16}[rng.IntN(2)], Rows: shape[0], Cols: shape[1]}
	n := ((rows + s.Rows - 1) / s.Rows) * ((cols + s.Cols - 1) / s.Cols)
	b := make([]byte, n*s.Type.Size()+1)
	for i := range n {
		factor := (0.5 + rng.Float64()) / 448
		if rng.IntN(50) == 0 {
			factor *= 1 << 20 // larger than any that is published
		}
		v := math.Float32bits(float32(factor))
		if at := b[1+i*s.Type.Size():]; s.Type == cpu.F32 {
			binary.LittleEndian.PutUint32(at, v)
		} else {
			binary.LittleEndian.PutUint16(at, uint16(v>>16))
		}
	}
	s.Ptr = unsafe.Pointer(&b[1])
	return s
}

// fp8Table is the definition of the format written out, as the standard has it: sign, 4 bits of exponent, 3 of mantissa.
func fp8Table(b byte) float64 {
	sign := 1 - 2*float64(b>>7)
	switch exponent, mantissa := int(b>>3&15), float64(b&7)/8; {
	case b&0x7f == 0x7f:
		return math.NaN()
	case exponent == 0:
		return sign * mantissa / 64
	default:
		return sign * (1 + mantissa) * math.Pow(2, float64(exponent-7))
	}
}

// TestEveryByteIsWidenedExactly goes through all 256 patterns, by the specification and by every table, with a factor that
// rounds and one that is as large as factors get.
func TestEveryByteIsWidenedExactly(t *testing.T) {
	all := make([]byte, 2*256) // a row of all, and one without those that are no numbers, which takes another way
	for i := range all {
		if all[i] = byte(i); i >= 256 && i&0x7f == 0x7f {
			all[i] = 0
		}
	}
	eachTable(t, func(t *testing.T, p *cpu.Pool) {
		for _, factor := range []float32{1, 0.0123456789, -3, 0x1p100, 0x1p-126} {
			factors := []float32{factor}
			m := cpu.Matrix{Ptr: pointerTo(all), Type: cpu.F8E4M3, Rows: 2, Cols: 256,
				Scale: cpu.Scale{Ptr: unsafe.Pointer(&factors[0]), Rows: 128, Cols: 256}}
			got := make([]float32, len(all))
			must(t, p.Embed(got, []int32{0, 1}, m))
			for i, v := range got {
				want := float32(fp8Table(all[i])) * factor
				if spec := m.Widen(i); !same(v, want) || !same(spec, want) {
					t.Fatalf("%#02x times %g: %g, the specification says %g, the standard %g", all[i], factor, v, spec, want)
				}
			}
		}
	})
}

// same is equality to the bit, but for what is no number.
func same(a, b float32) bool {
	return math.Float32bits(a) == math.Float32bits(b) || a != a && b != b
}

// TestFP8IsTheSameMatrixInF32 multiplies by weights in FP8 and by the same weights dequantized before: equal bits, few rows
// and many, whatever the blocks.
func TestFP8IsTheSameMatrixInF32(t *testing.T) {
	eachTable(t, func(t *testing.T, p *cpu.Pool) {
		rng := rand.New(rand.NewPCG(21, 1))
		for range 40 {
			rows, in, out := []int{1, 2, 3, 5, 16, 17, 98, 100}[rng.IntN(8)], 1+rng.IntN(1100), 1+rng.IntN(70)
			x, w := random(rng, rows*in), randomMatrix(rng, cpu.F8E4M3, out, in)
			wide := make([]float32, out*in)
			for i := range wide {
				wide[i] = w.Widen(i)
			}
			got, want := make([]float32, rows*out), make([]float32, rows*out)
			must(t, p.MatMul(got, x, w))
			must(t, p.MatMul(want, x, cpu.Matrix{Ptr: pointerTo(wide), Rows: out, Cols: in}))
			sameBits(t, shape(rows, in, out, w.Scale.Rows, w.Scale.Cols), got, want)
		}
	})
}

// TestHugeFactorsStayFinite: factors around and far above the largest that the fast way can take, in blocks that it would take, alone
// and beside small ones.
func TestHugeFactorsStayFinite(t *testing.T) {
	eachTable(t, func(t *testing.T, p *cpu.Pool) {
		rng := rand.New(rand.NewPCG(21, 5))
		for _, huge := range []float32{127.5, 128, 2340, 0x1p60} {
			for _, rows := range []int{1, 2, 3, 4, 40} {
				const in, out = 384, 9
				x, w := random(rng, rows*in), randomMatrix(rng, cpu.F8E4M3, out, in)
				factors, wide := make([]float32, out*in/128), make([]float32, out*in)
				for i := range factors {
					factors[i] = []float32{1.0 / 448, -huge, huge}[rng.IntN(3)]
				}
				w.Scale = cpu.Scale{Ptr: unsafe.Pointer(&factors[0]), Type: cpu.F32, Rows: 1, Cols: 128}
				for i := range wide {
					wide[i] = w.Widen(i)
				}
				got, want := make([]float32, rows*out), make([]float32, rows*out)
				must(t, p.MatMul(got, x, w))
				must(t, p.MatMul(want, x, cpu.Matrix{Ptr: pointerTo(wide), Rows: out, Cols: in}))
				sameBits(t, shape(rows, in, out), got, want)
			}
		}
	})
}

// TestFP8RowsAreLookedUp as they are widened, blocks across rows included.
func TestFP8RowsAreLookedUp(t *testing.T) {
	eachTable(t, func(t *testing.T, p *cpu.Pool) {
		rng := rand.New(rand.NewPCG(21, 2))
		for range 20 {
			table, tokens := randomMatrix(rng, cpu.F8E4M3, 140, 1+rng.IntN(300)), []int32{139, 0, 3, 3, 127, 128}
			got, want := make([]float32, len(tokens)*table.Cols), make([]float32, len(tokens)*table.Cols)
			must(t, p.Embed(got, tokens, table))
			cpu.RefEmbed(want, tokens, table)
			sameBits(t, shape(table.Cols, table.Scale.Rows, table.Scale.Cols), got, want)
		}
	})
}

// TestNotANumberStaysSo: a broken weight must not become 480.
func TestNotANumberStaysSo(t *testing.T) {
	eachTable(t, func(t *testing.T, p *cpu.Pool) {
		rng := rand.New(rand.NewPCG(21, 3))
		for _, rows := range []int{1, 4, 40} {
			w := randomMatrix(rng, cpu.F8E4M3, 9, 130)
			*(*byte)(unsafe.Add(w.Ptr, 4*130+77)) = 0xff
			y := make([]float32, rows*9)
			must(t, p.MatMul(y, random(rng, rows*130), w))
			for i, v := range y {
				if math.IsNaN(float64(v)) != (i%9 == 4) {
					t.Errorf("%d rows: out %d is %g", rows, i%9, v)
				}
			}
		}
	})
}

// TestFP8WithoutItsScalesIsRefused, and as a vector.
func TestFP8WithoutItsScalesIsRefused(t *testing.T) {
	p := newPool(t, 1, cpu.Tables()[0])
	good := randomMatrix(rand.New(rand.NewPCG(21, 4)), cpu.F8E4M3, 2, 4)
	for what, spoil := range map[string]func(*cpu.Scale){
		"none":          func(s *cpu.Scale) { *s = cpu.Scale{} },
		"no rows":       func(s *cpu.Scale) { s.Rows = 0 },
		"negative cols": func(s *cpu.Scale) { s.Cols = -1 },
		"f16 factors":   func(s *cpu.Scale) { s.Type = cpu.F16 },
	} {
		w := good
		spoil(&w.Scale)
		if p.MatMul(make([]float32, 2), make([]float32, 4), w) == nil || p.Embed(make([]float32, 4), []int32{1}, w) == nil {
			t.Errorf("%s: accepted", what)
		}
	}
	if p.RMSNorm(make([]float32, 4), make([]float32, 4), cpu.Matrix{Ptr: good.Ptr, Type: cpu.F8E4M3, Rows: 1, Cols: 4, Scale: good.Scale}, 1e-6, 0) == nil {
		t.Error("a norm's vector in fp8 was accepted")
	}
}
