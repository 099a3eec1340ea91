package spec

import (
	"math"

	"github.com/inference-pio/inference-pio/cuda"
)

// pack.go is how weights become codes, told to the bit: each step is rounded to f32 as written. Files keep what packing gives, so that another
// result is another version of theirs (nn.PackedVersion).

// Packed makes codes of a matrix in a plain type or in 8-bit floats: the planes of the same one in q8 or q4.
//
// In q8 the factor of 128 columns of a row is their largest magnitude / 127, rounded to bf16, and codes are the nearest to number / factor. In
// q4 the factor is one of two, the largest magnitude / 105 and a tenth less, with the sign that makes that number negative; of 32 columns the
// whole number is the one of four, from what their own largest magnitude needs on downwards, by which least is lost; and the factor is the one
// by which least is lost in all.
func Packed(w cuda.Matrix, form string) (codes, factors []byte) {
	l := cuda.Quantised(form)
	blocks := (w.Cols + codeCols - 1) / codeCols
	groups := (w.Rows + codeRows - 1) / codeRows
	codes, factors = make([]byte, groups*blocks*l.Planes[0].Bytes), make([]byte, groups*blocks*l.Planes[1].Bytes)
	for row := range groups * codeRows {
		for b := range blocks {
			var x [codeCols]float32 // zeros where the matrix has ended
			for c := b * codeCols; row < w.Rows && c < min(w.Cols, (b+1)*codeCols); c++ {
				x[c%codeCols] = Element(w, row*w.Cols+c)
			}
			at := row/codeRows*blocks + b
			put := putQ8
			if form == cuda.Q4 {
				put = putQ4
			}
			put(codes[at*l.Planes[0].Bytes:], factors[at*l.Planes[1].Bytes:], row%codeRows, &x)
		}
	}
	return codes, factors
}

func putQ8(codes, factors []byte, row int, x *[codeCols]float32) {
	factor := nearestBF16(largest(x[:]) * float32(1.0/127))
	for i, v := range x {
		codes[(i/4*codeRows+row)*4+i%4] = byte(int8(codeOf(v, factor, -127, 127)))
	}
	putFactor(factors, row, factor)
}

func putQ4(codes, factors []byte, row int, x *[codeCols]float32) {
	most := largest(x[:])
	whole := most * float32(1.0/(7*15))
	for _, v := range x {
		if v == most {
			whole = -whole
			break
		}
	}
	factor, wholes, least := nearestBF16(whole), [4]int{1, 1, 1, 1}, float32(math.Inf(1))
	for i := range 2 {
		f, lost := nearestBF16(whole*(1-float32(0.1)*float32(i))), float32(0)
		var w [4]int
		for s := range w {
			var l float32
			w[s], l = wholeOf(x[32*s:32*s+32], f)
			lost += l
		}
		if lost < least {
			factor, wholes, least = f, w, lost
		}
	}
	for i, v := range x {
		s, in := i/32, i%32
		code := byte(codeOf(v, factor*float32(wholes[s]), -8, 7) + 8)
		codes[s*codeRows*16+(in%16/4*codeRows+row)*4+in%4] |= code << (in / 16 * 4)
	}
	putFactor(factors, row, factor)
	for s, w := range wholes {
		factors[32+s/2*codeRows+row] |= byte(w) << (s % 2 * 4)
	}
}

// wholeOf finds the whole number for 32 numbers, and what is lost by it.
func wholeOf(x []float32, factor float32) (best int, least float32) {
	first := 15
	if exact := float32(largest(x)/7*float32(math.Abs(float64(over(factor))))) + 1.5; exact < 15 {
		first = int(exact)
	}
	best, least = 1, float32(math.Inf(1))
	for m := first; m >= 1 && m > first-4; m-- {
		if lost := lostBy(x, factor*float32(m)); lost < least {
			best, least = m, lost
		}
	}
	return best, least
}

// lostBy adds up the squares of what is lost by a step, in eight sums.
func lostBy(x []float32, step float32) float32 {
	var sums [8]float32
	for i, v := range x {
		d := v - float32(float32(codeOf(v, step, -8, 7))*step)
		sums[i%8] += float32(d * d)
	}
	return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]))
}

// codeOf is number / step to the nearest whole, of two the even one, within least and most; least of what is no number.
func codeOf(v, step float32, least, most int) int {
	v *= over(step)
	if !(v >= float32(least)) {
		return least
	}
	return int(math.RoundToEven(float64(min(v, float32(most)))))
}

// over is 1 / f, or 0 where that says nothing.
func over(f float32) float32 {
	if m := float32(math.Abs(float64(f))); m > 1e-37 && m < 1e37 {
		return 1 / f
	}
	return 0
}

// largest is the greatest magnitude; what is no number is greatest.
func largest(x []float32) float32 {
	most := uint32(0)
	for _, v := range x {
		most = max(most, math.Float32bits(v)&0x7fffffff)
	}
	return math.Float32frombits(most)
}

func nearestBF16(f float32) float32 { return math.Float32frombits(uint32(cuda.NearestBF16(f)) << 16) }

func putFactor(factors []byte, row int, factor float32) {
	half := math.Float32bits(factor) >> 16
	factors[2*row], factors[2*row+1] = byte(half), byte(half>>8)
}
