package cpu_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/spec"
)

// TestFillGivesTheBytesOfTheSpecification, from every form that files have and whatever the numbers are: packed weights are kept in files, so
// that no table may give others.
func TestFillGivesTheBytesOfTheSpecification(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(73, 1))
		for _, form := range []string{cuda.Q8, cuda.Q4} {
			for _, from := range []string{"f32", "bf16", "f16", "f8e4m3"} {
				for _, s := range [][2]int{{1, 1}, {17, 128}, {31, 130}, {5, 515}} {
					packsAsSpecified(t, d, form, from, randomMatrix(rng, from, s[0], s[1]))
				}
			}
			for what, x := range oddNumbers(rng) {
				packsAsSpecified(t, d, form, what, matrixOf(x, cuda.F32, len(x)/160, 160))
			}
		}
	})
}

func packsAsSpecified(t *testing.T, d *device, form, what string, w cuda.Matrix) {
	t.Helper()
	got := fill(t, d, cuda.Quantised(form), w)
	codes, factors := spec.Packed(w, form)
	for plane, want := range [][]byte{codes, factors} {
		if b := got.Plane(plane).Raw(); !bytes.Equal(b, want) {
			at := 0
			for b[at] == want[at] {
				at++
			}
			t.Fatalf("%s of %d x %d in %s: byte %d of plane %d is %#x, not %#x", form, w.Rows, w.Cols, what, at, plane, b[at], want[at])
		}
	}
}

// oddNumbers are 20 rows of 160 numbers each, as matrices seldom have them.
func oddNumbers(rng *rand.Rand) map[string][]float32 {
	all := map[string][]float32{}
	add := func(name string, value func() float32) {
		x := make([]float32, 20*160)
		for i := range x {
			x[i] = value()
		}
		all[name] = x
	}
	normal := func() float32 { return float32(rng.NormFloat64()) }
	add("zeros", func() float32 { return 0 })
	add("zeros with a sign", func() float32 { return float32(math.Copysign(0, -1)) })
	add("negative ones", func() float32 { return -1 - rng.Float32() })
	add("ties", func() float32 { return float32(rng.IntN(31)-15) / 2 })
	add("few", func() float32 { return normal() * float32(rng.IntN(40)/39) })
	add("heavy tails", func() float32 { return normal() / (rng.Float32() + 1e-4) })
	add("any bits", func() float32 { return math.Float32frombits(rng.Uint32()) })
	for _, size := range []float64{1e-45, 1e-40, 1e-37, 1e-35, 1e30, 1e36, 1e38} {
		add(fmt.Sprintf("near %g", size), func() float32 { return float32(rng.NormFloat64() * size) })
	}
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		add(fmt.Sprintf("some %g", bad), func() float32 {
			if rng.IntN(300) == 0 {
				return float32(bad)
			}
			return normal()
		})
	}
	return all
}
