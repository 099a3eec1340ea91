package nntest

import (
	"encoding/binary"
	"fmt"
	"math"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/weights"
	"github.com/inference-pio/inference-pio/internal/gguf/gguftest"
)

// kblocks.go makes files in Q4_K_M of a checkpoint that was trained, as simply as the types allow: Q4_K, and Q6_K where llama.cpp has it. Their blocks
// of 256 numbers do not fit the tiny models, which are therefore made wider by zeros that nothing comes of.

// MoreBits says whether a layer's attn_v and ffn_down are among those that a file in Q4_K_M has in Q6_K.
func MoreBits(layer, layers int) bool {
	return layer < layers/8 || layer >= 7*layers/8 || (layer-layers/8)%3 == 2
}

// Wider is a matrix with zeros to the right and below.
func Wider(t testing.TB, src weights.Source, name string, rows, cols int) []float32 {
	t.Helper()
	v, ok := src.Get(name, nil)
	if !ok || v.DType != cuda.BF16 || len(v.Shape) != 2 {
		t.Fatalf("tensor %q is %s %v", name, v.Format, v.Shape)
	}
	wide := make([]float32, rows*cols)
	for i := range v.Shape[0] * v.Shape[1] {
		wide[i/v.Shape[1]*cols+i%v.Shape[1]] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(v.Data[2*i:])) << 16)
	}
	return wide
}

// WiderNorm is the factors of an RMS norm over twice as many numbers of which half are zeros; its epsilon is half as large then.
func WiderNorm(t testing.TB, src weights.Source, name string, by float64) []float32 {
	t.Helper()
	v, ok := src.Get(name, nil)
	if !ok || v.DType != cuda.BF16 || len(v.Shape) != 1 {
		t.Fatalf("tensor %q is %s %v", name, v.Format, v.Shape)
	}
	wide := make([]float32, int(by)*v.Shape[0])
	for i := range v.Shape[0] {
		wide[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(v.Data[2*i:]))<<16) / float32(math.Sqrt(by))
	}
	return wide
}

// InK is a tensor in Q4_K (12) or Q6_K (14).
func InK(name string, kind uint32, shape []int, x []float32) gguftest.Tensor {
	tensor := gguftest.Tensor{Name: name, Type: kind, Shape: shape}
	for ; len(x) > 0; x = x[256:] {
		if kind == 12 {
			tensor.Data = append(tensor.Data, q4k(x[:256])...)
		} else {
			tensor.Data = append(tensor.Data, q6k(x[:256])...)
		}
	}
	return tensor
}

func clamp(x float32, least, most int) int {
	return min(max(int(math.RoundToEven(float64(x))), least), most)
}

// over is x / by, or 0.
func over(x, by float32) float32 {
	if by == 0 {
		return 0
	}
	return x / by
}

// q4k gives each 32 numbers the range from their least, or 0, to their greatest.
func q4k(x []float32) []byte {
	b := make([]byte, 144)
	var factors, least [8]float32
	var d, dmin float32
	for part := range 8 {
		low, high := float32(0), float32(0)
		for _, v := range x[32*part : 32*part+32] {
			low, high = min(low, v), max(high, v)
		}
		factors[part], least[part] = (high-low)/15, -low
		d, dmin = max(d, factors[part]/63), max(dmin, least[part]/63)
	}
	binary.LittleEndian.PutUint16(b, half(d))
	binary.LittleEndian.PutUint16(b[2:], half(dmin))
	for part := range 8 {
		factor, minimum := clamp(over(factors[part], d), 0, 63), clamp(over(least[part], dmin), 0, 63)
		if s := b[4:16]; part < 4 {
			s[part] |= byte(factor)
			s[part+4] |= byte(minimum)
		} else {
			s[part+4] = byte(factor&15 | minimum&15<<4)
			s[part-4] |= byte(factor >> 4 << 6)
			s[part] |= byte(minimum >> 4 << 6)
		}
		for i, v := range x[32*part : 32*part+32] {
			code := clamp(over(v+dmin*float32(minimum), d*float32(factor)), 0, 15)
			b[16+part/2*32+i] |= byte(code << (part % 2 * 4))
		}
	}
	return b
}

// q6k gives each 16 numbers their largest magnitude.
func q6k(x []float32) []byte {
	b := make([]byte, 210)
	var factors [16]float32
	var d float32
	for part := range factors {
		for _, v := range x[16*part : 16*part+16] {
			factors[part] = max(factors[part], float32(math.Abs(float64(v)))/31)
		}
		d = max(d, factors[part]/127)
	}
	binary.LittleEndian.PutUint16(b[208:], half(d))
	for i, v := range x {
		factor := clamp(over(factors[i/16], d), 0, 127)
		b[192+i/16] = byte(factor)
		code := clamp(over(v, d*float32(factor)), -32, 31) + 32
		n, quarter, l := i/128, i%128/32, i%32
		b[64*n+quarter%2*32+l] |= byte(code & 15 << (quarter / 2 * 4))
		b[128+32*n+l] |= byte(code >> 4 << (2 * quarter))
	}
	return b
}

// RepackedFile measures what it costs that a file's codes are packed when it is loaded: the perplexity by itself, exactly and fast, in parts of that
// of the file's own numbers, which are computed exactly, as CPUs have them and as devices of any kind do. of is the checkpoint that it was made of,
// whose documents are read.
func (s Suite) RepackedFile(t *testing.T, file, of string, bound float64) {
	want, err := ReadPerplexity(of)
	if err != nil {
		t.Fatal(err)
	}
	want.Documents, want.Tokens = want.Documents[:(len(want.Documents)+3)/4], 0 // enough to tell
	for _, d := range want.Documents {
		want.Tokens += len(d) - 1
	}
	m, exact := OpenGGUF(t, s.GGUF, file)
	limits := Limits{Rows: 1024, Sequences: 2, Positions: 1024}
	r, _ := s.Load(t, m.Config, exact, limits)
	own := opened{Runner: r}.measured(t, want)
	for _, way := range []struct {
		repack func(weights.View) string
		forms  []string // that there must be
		exact  float64  // as near as exact numerics must be
	}{{nn.Repack, []string{cuda.Q4K, cuda.Q6K}, 1e-5}, {nn.RepackForAll, []string{cuda.Q8}, bound}} {
		s.Coded = way.repack
		for _, s.Numerics = range []string{cpu.Exact, cpu.Fast} {
			limits.Cache = s.cache()
			r, b := s.Load(t, m.Config, m.Source, limits)
			forms, most := formsOf(b), bound
			if s.Numerics == cpu.Exact {
				most = way.exact
			}
			ratio := opened{Runner: r}.measured(t, want) / own
			how := fmt.Sprintf("packed to %v, %s: the perplexity is %.6f times that of the file's own numbers", forms, s.Numerics, ratio)
			if math.Abs(ratio-1) > most {
				t.Errorf("%s, which is more than %v away", how, most)
			}
			for _, form := range way.forms {
				if forms[form] == 0 {
					t.Errorf("%s, and nothing to %s", how, form)
				}
			}
			t.Log(how)
		}
	}
}

// formsOf counts the weights in each form.
func formsOf(b *nn.Bound) map[string]int {
	forms := map[string]int{}
	for _, module := range b.Modules {
		for _, w := range module.Weights {
			forms[w.File().Layout.Name]++
		}
	}
	return forms
}
