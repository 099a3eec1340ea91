package weights

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"
	"unsafe"

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
	case cuda.F8E4M3:
		for _, b := range v.Data {
			out = append(out, fp8(b))
		}
	}
	return out
}

// fp8 is a byte of F8_E4M3 by its definition.
func fp8(b byte) float64 {
	exponent, mantissa := int(b>>3&15), float64(b&7)/8
	x := math.Ldexp(1+mantissa, exponent-7)
	if exponent == 0 {
		x = math.Ldexp(mantissa, -6)
	}
	if b&0x7F == 0x7F {
		x = math.NaN()
	}
	return math.Copysign(x, float64(int8(b)))
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

// With FP8 it is element times factor that keeps the scale.
func TestDummyFP8HasItsScales(t *testing.T) {
	src := Dummy(1, cuda.F8E4M3)
	for _, cols := range []int{1, 40, 9728} {
		w, ok := src.Get("w", []int{64, cols})
		scale, has := src.Get("w_scale_inv", []int{1, (cols + 127) / 128})
		if !ok || !has || w.DType != cuda.F8E4M3 || w.Format != "F8_E4M3" || scale.DType != cuda.F32 {
			t.Fatalf("%+v %v, %+v %v", w.Format, ok, scale.Format, has)
		}
		factors, squares := decode(scale), 0.0
		for i, x := range decode(w) {
			squares += x * x * factors[i%cols/128] * factors[i%cols/128]
		}
		// A factor is uniform in 1 ± 0.25 of its mean and there are few of them.
		if variance := squares / 64; !(variance > 0.5 && variance < 1.6) {
			t.Errorf("%d columns: columns x variance is %v, want about 1", cols, variance)
		}
	}
	if norm, ok := src.Get("norm", []int{3}); !ok || norm.DType != cuda.BF16 {
		t.Errorf("a vector is %s, %v", norm.Format, ok)
	}
}

// Every number of the format encodes to itself, and what lies between two of them to the nearer, or in the middle to the even one.
func TestFloat8RoundsToTheNearest(t *testing.T) {
	for b := range byte(0x7E) {
		at, next := float32(fp8(b)), float32(fp8(b+1))
		middle := (at + next) / 2
		for x, want := range map[float32]byte{at: b, middle: b + b&1, math.Nextafter32(middle, 0): b, math.Nextafter32(middle, 500): b + 1} {
			if got := float8(x); got != want {
				t.Errorf("%v is %#02x, not %#02x", x, got, want)
			}
			if got := float8(-x); x != 0 && got != want|0x80 {
				t.Errorf("%v is %#02x, not %#02x", -x, got, want|0x80)
			}
		}
	}
	if float8(448) != 0x7E || float8(463) != 0x7E {
		t.Error("the largest number is not what large numbers become")
	}
}

// TestInventedWeightsAreDummysOutsideTheHeap: the same elements, each tensor its own, aligned for any element, until they are closed.
func TestInventedWeightsAreDummysOutsideTheHeap(t *testing.T) {
	for _, dtype := range []cuda.DType{cuda.F32, cuda.BF16, cuda.F16, cuda.F8E4M3} {
		v, views := Invent(1, dtype), map[string]View{}
		shapes := map[string][]int{"norm": {31}, "a": {3, 7}, "large": {atOnce/64 + 5, 67}, "b": {3, 7}, "none": {0, 4}}
		if dtype == cuda.F32 {
			shapes["large"] = []int{5, 3}
		}
		for name, shape := range shapes {
			views[name], _ = v.Get(name, shape)
		}
		for name, shape := range shapes {
			want, _ := Dummy(1, dtype).Get(name, shape)
			got := views[name]
			if !bytes.Equal(got.Data, want.Data) || got.Format != want.Format || got.DType != dtype && name != "norm" {
				t.Errorf("%v: %s is %d bytes of %s, not the %d of %s", dtype, name, len(got.Data), got.Format, len(want.Data), want.Format)
			}
			if at := uintptr(unsafe.Pointer(unsafe.SliceData(got.Data))); len(got.Data) > 0 && at%64 != 0 {
				t.Errorf("%v: %s lies at %#x", dtype, name, at)
			}
		}
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}
}
