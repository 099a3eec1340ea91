package nn

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// counting is a tensor as codes whose elements go up and down between ±0.1.
type counting struct{ cols int }

func (c counting) Widen(to []float32, row int) {
	for i := range to {
		to[i] = float32((row*c.cols+i)%97-48) / 480
	}
}

func (counting) File(int, int) []byte { return make([]byte, 5) }

// inCodes has every tensor as codes, to be kept in a type.
type inCodes struct{ dtype cuda.DType }

func (inCodes) Names() []string { return []string{} }

func (s inCodes) Get(_ string, shape []int) (weights.View, bool) {
	return weights.View{Format: "codes", DType: s.dtype, Known: true, Shape: shape, Coded: counting{shape[len(shape)-1]}}, true
}

// What a file has as codes is made in the type that its source says, or packed where a form is asked for and the weight has one.
func TestCodesAreWidened(t *testing.T) {
	for _, dtype := range []cuda.DType{cuda.F32, cuda.BF16} {
		for _, form := range []string{"", cuda.Q8} {
			c, m := cpu.New(2), newWide()
			b, err := Bind(m, inCodes{dtype}, BindOptions{Coded: func(weights.View) string { return form }})
			if err != nil {
				t.Fatal(err)
			}
			want, read := b.QuantisedBytes(), 0
			made, err := b.Quantise(Quantiser{Device: c, Read: func(file []byte) { read += len(file) }})
			if err != nil {
				t.Fatal(err)
			}
			if used := c.Usage().For[cuda.ForWeights]; used != want || read == 0 {
				t.Errorf("%v, %q: %d bytes are taken, %d were told; %d read", dtype, form, used, want, read)
			}
			packed := 0
			for _, u := range b.later {
				if l := u.weight.File().Layout; l.Equal(cuda.Quantised(form)) {
					packed++
					near(t, fmt.Sprint(dtype, form), c, u.weight, unquantised{leaf: u.leaf, file: widened(t, u)})
				} else if !l.Equal(cuda.Plain(dtype)) {
					t.Errorf("%v, %q: %s is in %s", dtype, form, u.name, l.Name)
				} else if got, want := numbersOf(u.weight.File()), rounded(dtype, u.weight.Len()); !slices.Equal(got, want) {
					t.Errorf("%v, %q: %s has other numbers", dtype, form, u.name)
				}
			}
			if (packed > 0) != (form != "") {
				t.Errorf("%v, %q: %d weights are packed", dtype, form, packed)
			}
			for _, mem := range made {
				c.Free(mem)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// widened is all of a tensor in f32.
func widened(t *testing.T, u unquantised) cuda.Matrix {
	t.Helper()
	rows, cols := u.weight.File().Rows, u.weight.File().Cols
	wide := make([]float32, rows*cols)
	u.coded.Widen(wide, 0)
	data := make([]byte, 0, 4*len(wide))
	for _, x := range wide {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(x))
	}
	m, err := cuda.HostMatrix(cuda.Plain(cuda.F32), rows, cols, data)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func numbersOf(m cuda.Matrix) (list []float32) {
	raw := m.Plane(0).Raw()
	for i := range m.Rows * m.Cols {
		if m.Layout.Equal(cuda.Plain(cuda.F32)) {
			list = append(list, math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:])))
		} else {
			list = append(list, math.Float32frombits(uint32(binary.LittleEndian.Uint16(raw[2*i:]))<<16))
		}
	}
	return list
}

// rounded is what counting gives, in a type.
func rounded(dtype cuda.DType, n int) []float32 {
	list := make([]float32, n)
	counting{}.Widen(list, 0)
	for i, x := range list {
		if dtype == cuda.BF16 { // to nearest, ties to even, by way of the two neighbours
			low := math.Float32frombits(math.Float32bits(x) &^ 0xFFFF)
			high := math.Float32frombits(math.Float32bits(low) + 0x10000)
			switch d, e := float64(x)-float64(low), float64(high)-float64(x); {
			case math.Abs(d) > math.Abs(e), math.Abs(d) == math.Abs(e) && math.Float32bits(low)>>16&1 == 1:
				list[i] = high
			default:
				list[i] = low
			}
		}
	}
	return list
}
