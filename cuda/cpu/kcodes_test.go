package cpu_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/spec"
)

// kFactors is where in a block of 16 rows by 256 columns the factors of its rows begin.
var kFactors = map[string]int{cuda.Q4K: 192, cuda.Q6K: 256}

// kBlock is the block of an element.
func kBlock(w cuda.Matrix, row, col int) []byte {
	n := w.Layout.Planes[0].Bytes
	return w.Plane(0).Raw()[(row/16*((w.Cols+255)/256)+col/256)*n:][:n]
}

// randomK is blocks of any bytes, whose factors, and in q4k those of minima, are of any sign and make numbers of about one of them; in some blocks
// all codes and what they are multiplied by are the greatest there are, or the least.
func randomK(rng *rand.Rand, layout string, rows, cols int) cuda.Matrix {
	l := cuda.Quantised(layout)
	data := make([]byte, (rows+15)/16*((cols+255)/256)*l.Planes[0].Bytes)
	for i := range data {
		data[i] = byte(rng.UintN(256))
	}
	for at := 0; at < len(data); at += l.Planes[0].Bytes {
		block := data[at:][:l.Planes[0].Bytes]
		if extreme := rng.UintN(6); extreme < 2 {
			for i := range block {
				block[i] = byte(extreme * 255)
			}
			for i := range 256 { // of which -128 and 127 are the extremes of q6k
				if layout == cuda.Q6K {
					block[i] = []byte{0x80, 0x7f}[extreme]
				}
			}
		}
		for r := range 16 {
			if layout == cuda.Q4K {
				putHalf(block[192+2*r:], rng.NormFloat64()/300)
				putHalf(block[224+2*r:], rng.NormFloat64()/60)
			} else {
				putHalf(block[256+2*r:], rng.NormFloat64()/1200)
			}
		}
	}
	return hostMatrix(l, rows, cols, data)
}

// putHalf writes a number in half precision, rounded down.
func putHalf(to []byte, x float64) {
	sign := uint16(math.Float64bits(x) >> 48 & 0x8000)
	x = math.Abs(x)
	if x < 0x1p-14 {
		binary.LittleEndian.PutUint16(to, sign|uint16(x*0x1p24))
		return
	}
	fraction, exponent := math.Frexp(x)
	binary.LittleEndian.PutUint16(to, sign|uint16(exponent+14)<<10|uint16(fraction*2048)&1023)
}

// TestKAddsUpTheLargestSums: activations that are all as large as codes can be, with the signs of the weights' codes, come to sums that a narrower
// place would not hold.
func TestKAddsUpTheLargestSums(t *testing.T) {
	eachFast(t, func(t *testing.T, d *device) {
		for _, layout := range []string{cuda.Q4K, cuda.Q6K} {
			for _, fill := range []byte{0, 0x7f, 0x80, 0xff} {
				for c := range 4 { // few rows and many, of either sign
					rows, sign := []int{7, 37}[c/2], []float32{1, -1}[c%2]
					const in, out = 512, 16
					w := randomMatrix(rand.New(rand.NewPCG(73, 1)), layout, out, in)
					data := w.Plane(0).Raw()
					for i := range data {
						data[i] = fill
					}
					for at := 0; at < len(data); at += len(data) / 2 {
						for i := 0; i < kFactors[layout] && layout == cuda.Q6K && fill == 0; i++ {
							data[at+i] = 0x80 // with codes of -32
						}
						for i := kFactors[layout]; i < kFactors[layout]+64; i += 2 {
							putHalf(data[at+i:], 0.5)
						}
					}
					x := make([]float32, rows*in)
					for i := range x {
						x[i] = sign
					}
					got, want := make([]float32, rows*out), make([]float32, rows*out)
					d.run(t, matmul(got, x, w))
					spec.MatMulCoded(want, x, w)
					sameBits(t, layout+shape(int(fill), int(sign)), got, want)
				}
			}
		}
	})
}
