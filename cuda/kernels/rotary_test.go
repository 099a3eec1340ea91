package kernels_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/kernels/kerneltest"
	. "github.com/inference-pio/inference-pio/cuda/optest"
	"github.com/inference-pio/inference-pio/cuda/spec"
)

// TestAnglesMatchTheSpecification: the sine in double is right to far more places than f32 has, also after a million turns.
func TestAnglesMatchTheSpecification(t *testing.T) {
	eachMachine(t, func(t *testing.T, m *kerneltest.Machine) {
		rng := newRand(7)
		for _, c := range []struct{ rows, axes, pairs int }{{1, 1, 1}, {40, 1, 64}, {9, 3, 21}} {
			positions, freqs, of := UpTo(rng, c.rows*c.axes, 10_000_000), filled(c.pairs), make([]uint8, c.pairs)
			for i := range freqs {
				freqs[i] = float32(math.Pow(1e6, -float64(i)/float64(c.pairs)))
			}
			axis := cuda.Tensor{}
			if c.axes > 1 {
				list := UpTo(rng, c.pairs, c.axes)
				for i, a := range list {
					of[i] = uint8(a)
				}
				axis = I32(list)
			}
			index := I32(positions)
			if c.axes > 1 {
				index = I32(positions, c.axes)
			}
			y, want := filled(c.rows*c.pairs*2), filled(c.rows*c.pairs*2)
			m.Run(t, cuda.NewOp(cuda.OpAngles).Gives(F32(y, c.pairs, 2)).Takes(index, F32(freqs), axis).With(1.3))
			spec.Angles(want, positions, spec.Axes{Count: c.axes, Of: of}, freqs, 1.3)
			Within(t, fmt.Sprint(c), y, want, func(i int) float64 { return Relative(want, 2)(i) + 1e-15 })
		}
	})
}

func TestRotateMatchesTheSpecification(t *testing.T) {
	eachMachine(t, func(t *testing.T, m *kerneltest.Machine) {
		rng := newRand(8)
		for _, s := range []spec.Heads{{Rows: 1, Heads: 1, Dim: 2, Pairs: 1}, {Rows: 5, Heads: 3, Dim: 128, Pairs: 64}, {Rows: 4, Heads: 2, Dim: 37, Pairs: 9, First: 5},
			{Rows: 3, Heads: 2, Dim: 64, Pairs: 16, First: 4}, {Rows: 2, Heads: 5, Dim: 256, Pairs: 32}, {Rows: 2, Heads: 1, Dim: 12, Pairs: 3, First: 6}} {
			x, angles := Random(rng, s.Rows*s.Heads*s.Dim), filled(s.Rows*s.Pairs*2)
			spec.Angles(angles, UpTo(rng, s.Rows, 1000), spec.Axes{Count: 1}, Random(rng, s.Pairs), 1)
			for style, interleaved := range map[cuda.RotaryStyle]bool{cuda.Half: false, cuda.Interleaved: true} {
				y, want := filled(len(x)), filled(len(x))
				op := cuda.NewOp(cuda.OpRotate).Gives(F32(y, s.Heads, s.Dim)).Takes(F32(x, s.Heads, s.Dim), F32(angles, s.Pairs, 2)).At(int32(s.First), int32(style))
				m.Run(t, op)
				spec.Rotate(want, x, angles, s, interleaved)
				Within(t, fmt.Sprint(s, style), y, want, func(i int) float64 { return 3 * Eps * 6 }) // two products of numbers below 6
				inHalves(t, m, op, 0)
				for i := range want { // what is not turned is copied
					if at := i%s.Dim - s.First; (at < 0 || at >= 2*s.Pairs) && y[i] != x[i] {
						t.Fatalf("%v: element %d is %g, not %g", s, i, y[i], x[i])
					}
				}
			}
		}
	})
}
