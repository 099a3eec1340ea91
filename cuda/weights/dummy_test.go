package weights

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
)

// decode turns a View's data into float32 by the definition of its format.
func decode(v View) []float64 {
	var out []float64
	switch v.DType {
	case cuda.F32:
		for b := v.Data; len(b) > 0; b = b[4:] {
			out = append(out, float64(math.Float32frombits(binary.LittleEndian.Uint32(b))))
		}
	case cuda.BF16:
		for b := v.Data; len(b) > 0; b = b[2:] {
			out = append(out, float64(math.Float32frombits(uint32(binary.LittleEndian.Uint16(b))<<16)))
		}
	case cuda.F16:
		for b := v.Data; len(b) > 0; b = b[2:] {
			h := binary.LittleEndian.Uint16(b)
			x := math.Ldexp(1+float64(h&0x3FF)/1024, int(h>>10&31)-15)
			if h&0x7FFF == 0 {
				x = 0
			}
			out = append(out, math.Copysign(x, float64(int16(h))))
		}
	}
	return out
}

func TestDummyWeightsKeepTheScaleOfWhatPassesThrough(t *testing.T) {
	for _, dtype := range []cuda.DType{cuda.F32, cuda.BF16, cuda.F16} {
		v, ok := Dummy(1, dtype).Get("w", []int{64, 300})
		if !ok || v.DType != dtype || !v.Known {
			t.Fatalf("%v: %+v, %v", dtype, v.Format, ok)
		}
		xs := decode(v)
		if len(xs) != 64*300 {
			t.Fatalf("%v: %d values", dtype, len(xs))
		}
		sum, squares := 0.0, 0.0
		for _, x := range xs {
			sum, squares = sum+x, squares+x*x
		}
		n := float64(len(xs))
		if variance := squares / n * 300; math.Abs(variance-1) > 0.05 { // standard error of the mean square: 0.6 %
			t.Errorf("%v: columns x variance is %v, want 1", dtype, variance)
		}
		if mean := sum / n; math.Abs(mean) > 0.002 { // five standard errors
			t.Errorf("%v: mean %v", dtype, mean)
		}
	}
}

func TestDummyDependsOnSeedAndNameOnly(t *testing.T) {
	get := func(seed uint64, name string) []byte {
		v, _ := Dummy(seed, cuda.BF16).Get(name, []int{7, 9})
		return v.Data
	}
	if !bytes.Equal(get(1, "a"), get(1, "a")) {
		t.Error("the same tensor differs")
	}
	if bytes.Equal(get(1, "a"), get(2, "a")) || bytes.Equal(get(1, "a"), get(1, "b")) {
		t.Error("another seed or name gives the same tensor")
	}
	if _, ok := Dummy(1, cuda.I32).Get("a", []int{2}); ok {
		t.Error("integers were invented")
	}
}

func TestNormsAreAroundOne(t *testing.T) {
	v, _ := Dummy(3, cuda.BF16).Get("norm", []int{1000})
	for i, x := range decode(v) {
		if x < 0.74 || x > 1.26 {
			t.Fatalf("entry %d is %v", i, x)
		}
	}
}
