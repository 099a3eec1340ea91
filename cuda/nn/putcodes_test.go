package nn

import (
	"bytes"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
)

// Rows of codes lie as the plain form has them, sixteen at a time, in whatever numbers they come; nothing is left of what was there.
func TestPutCodesIsThePlainForm(t *testing.T) {
	for form, most := range map[string]int{cuda.Q8: 127, cuda.Q4: 7} {
		for _, shape := range [][2]int{{1, 1}, {16, 128}, {47, 129}, {80, 1000}, {128, 96}} {
			rows, cols := shape[0], shape[1]
			per := cuda.CodeBlocks(cols)
			codes, factors := make([]int8, rows*cols), make([]float32, rows*per)
			for i := range codes {
				codes[i] = int8((i*29+i/cols)%(2*most+1) - most)
				if form == cuda.Q4 && i%5 == 0 {
					codes[i] = -8
				}
			}
			for i := range factors {
				factors[i] = float32(i%91-45) / 777
			}
			matrix := func() cuda.Matrix {
				l := cuda.Quantised(form)
				up := func(n, by int) int { return (n + by - 1) / by }
				var planes [][]byte
				for _, p := range l.Planes {
					planes = append(planes, bytes.Repeat([]byte{0xA5}, up(rows, p.Rows)*up(cols, p.Cols)*p.Bytes))
				}
				m, err := cuda.HostMatrix(l, rows, cols, planes...)
				if err != nil {
					t.Fatal(err)
				}
				return m
			}
			want, got := matrix(), matrix()
			for row := 0; row < rows; row += 16 {
				end := min(rows, row+16)
				want.PutCodes(row, codes[row*cols:end*cols], factors[row*per:end*per])
			}
			for row := 0; row < rows; row += 48 {
				end := min(rows, row+48)
				putCodes(got, row, codes[row*cols:end*cols], factors[row*per:end*per])
			}
			for i := range got.Layout.Planes {
				if !bytes.Equal(got.Plane(i).Raw(), want.Plane(i).Raw()) {
					t.Errorf("%d x %d in %s: plane %d is another", rows, cols, form, i)
				}
			}
		}
	}
}
