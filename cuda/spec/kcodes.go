package spec

import "github.com/inference-pio/inference-pio/cuda"

// kcodes.go has the numbers and products of q4k and q6k. A block is 16 rows by 256 columns; in it each four columns of 16 rows lie together.

const kCols = 256 // of a block

// kBlock is the block of an element, its row and its column there.
func kBlock(m cuda.Matrix, row, col int) (b []byte, r, c int) {
	n := m.Layout.Planes[0].Bytes
	at := (row/codeRows*((m.Cols+kCols-1)/kCols) + col/kCols) * n
	return plane(m, 0)[at : at+n], row % codeRows, col % kCols
}

// inK is d * factor * code - dmin * minimum, or d * factor * (code - 32), each product rounded to f32 by itself.
func inK(m cuda.Matrix, row, col int) float32 {
	b, r, c := kBlock(m, row, col)
	if m.Layout.Name == cuda.Q6K {
		return float32(f16At(b[256:], r)*float32(factorQ6K(b, r, c))) * float32(codeQ6K(b, r, c))
	}
	factor, minimum := sixesQ4K(b, r, c/32)
	return float32(float32(f16At(b[192:], r)*float32(factor))*float32(codeQ4K(b, r, c))) - float32(f16At(b[224:], r)*float32(minimum))
}

// addK goes on with a sum through 128 columns of a row, from column at on, of which x has codes and a factor.
func addK(sum float32, m cuda.Matrix, row, at int, x []int, factor float32) float32 {
	b, r, c := kBlock(m, row, at)
	whole, minima := 0, 0
	for i, v := range x {
		if m.Layout.Name == cuda.Q6K {
			whole += v * factorQ6K(b, r, c+i) * codeQ6K(b, r, c+i)
			continue
		}
		f, minimum := sixesQ4K(b, r, (c+i)/32)
		whole += v * f * codeQ4K(b, r, c+i)
		minima += v * minimum
	}
	if m.Layout.Name == cuda.Q6K {
		return sum + float32(float32(whole)*float32(f16At(b[256:], r)*factor))
	}
	sum += float32(float32(whole) * float32(f16At(b[192:], r)*factor))
	return sum - float32(float32(minima)*float32(f16At(b[224:], r)*factor))
}

// codeQ4K is a code, 0 to 15: of 32 columns the first 16 are the lower halves of bytes.
func codeQ4K(b []byte, row, col int) int {
	in := col % 32
	return int(b[256+col/32*256+in%16/4*64+row*4+in%4] >> (in / 16 * 4) & 15)
}

// sixesQ4K is the factor and the minimum for 32 columns. A row has three words of 32 bits. Either half of a word has two numbers of 6 bits and
// 4 bits of a third, whose upper two are in the last word's halves. The lower halves are for even ones of eight, the upper halves for odd ones: in
// order the factors 0 and 1, 2 and 3, the minima 0 and 1, 2 and 3, then factors and minima 4 to 7.
func sixesQ4K(b []byte, row, sub int) (factor, minimum int) {
	word := func(i int) int {
		at := i*64 + row*4 + sub%2*2
		return int(b[at]) | int(b[at+1])<<8
	}
	six := func(i int) int {
		if i < 6 {
			return word(i/2) >> (i % 2 * 6) & 63
		}
		return word(i-6)>>12 | word(2)>>(2*i)&3<<4
	}
	first := sub/4*4 + sub%4/2
	return six(first), six(first + 2)
}

// codeQ6K is a code, -32 to 31. Of 16 columns the lower four bits of the first 8 and of the others are halves of bytes, the upper two are quarters.
func codeQ6K(b []byte, row, col int) int {
	sub, quad, at := b[320+col/16*192:], col%16/4, row*4+col%4
	return int(sub[quad/2*64+at]>>(quad%2*4)&15|sub[128+at]>>(quad*2)&3<<4) - 32
}

// factorQ6K is the factor for 16 columns: of each four the second and the third have changed places.
func factorQ6K(b []byte, row, col int) int {
	return int(int8(b[col/64*64+row*4+[]int{0, 2, 1, 3}[col%64/16]]))
}
