package weights

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
)

// TestInventedRows are those that the whole tensor has, wherever they are cut.
func TestInventedRows(t *testing.T) {
	for _, dtype := range []cuda.DType{cuda.F32, cuda.BF16, cuda.F16} {
		for _, s := range [][]int{{1, 1}, {7, 3}, {5, 8}, {3, 7}, {130, 1024}, {9, 4098}} {
			src := Dummy(3, dtype)
			v, ok := src.(Piecewise).Rows("w", s)
			if !ok || v.DType != dtype || !v.Known {
				t.Fatalf("%v: there are no rows", dtype)
			}
			whole, _ := src.Get("w", s)
			want := decode(whole)
			for from := 0; from < s[0]; {
				n := min(1+from%5, s[0]-from)
				got := make([]float32, n*s[1])
				v.Coded.Widen(got, from)
				for i, x := range got {
					if float64(x) != want[from*s[1]+i] {
						t.Fatalf("%v %v: element %d of rows %d to %d is %v, not %v", dtype, s, i, from, from+n-1, x, want[from*s[1]+i])
					}
				}
				from += n
			}
		}
	}
	if _, ok := Dummy(3, cuda.F8E4M3).(Piecewise).Rows("w", []int{128, 128}); ok {
		t.Error("weights that have scales are made without them")
	}
}

// BenchmarkDummy invents a matrix of 64 million bytes.
func BenchmarkDummy(b *testing.B) {
	for _, dtype := range []cuda.DType{cuda.F32, cuda.BF16, cuda.F8E4M3} {
		b.Run(dtype.String(), func(b *testing.B) {
			v := Invent(1, dtype)
			defer v.Close()
			b.SetBytes(64 << 20)
			for b.Loop() {
				if _, ok := v.Get("w", []int{8192, 8192 / dtype.Size()}); !ok {
					b.Fatal("there is no memory")
				}
			}
		})
	}
	b.Run("rows", func(b *testing.B) {
		v, _ := Dummy(1, cuda.BF16).(Piecewise).Rows("w", []int{8192, 4096})
		to := make([]float32, 8192*4096/8)
		b.SetBytes(64 << 20)
		for b.Loop() {
			for row := 0; row < 8192; row += 1024 {
				v.Coded.Widen(to, row)
			}
		}
	})
}
