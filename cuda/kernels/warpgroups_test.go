package kernels_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/kernels"
	"github.com/inference-pio/inference-pio/cuda/kernels/kerneltest"
	. "github.com/inference-pio/inference-pio/cuda/optest"
	"github.com/inference-pio/inference-pio/cuda/spec"
)

// warpgroups_test.go holds products by Hopper's own instructions to those that everything else is computed with, in every cut of rows; weights_test.go
// holds them to the specification.

// Each cut gives each row the bits that it has otherwise, by blocks that have one tile or many, all slices or some.
func TestWideTilesGiveTheSameBits(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range []struct {
		fast                              bool
		multiprocessors, rows, cols, outs int // 0 outs: a tile for each multiprocessor, of which a machine of hardware has its own number
		order                             uint64
	}{
		{false, 132, 70, 520, 140, 0}, {false, 1, 130, 264, 140, 5}, {true, 132, 17, 1032, 260, 0}, {true, 4, 200, 520, 140, 0}, {true, 1, 100, 264, 140, 3}, {true, 1, 380, 136, 264, 7},
		{true, 1, 60, 136, 0, 0}, {true, 1, 128, 136, 0, 0}, {true, 1, 190, 136, 0, 0},
	} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			m := kerneltest.New(t, c.fast, c.multiprocessors)
			m.Order, m.Eager, m.Warpgroups = c.order, c.order%2 == 1, false
			if c.outs == 0 {
				c.outs = 128 * m.Multiprocessors
			}
			rng := newRand(16)
			x, w := Random(rng, c.rows*c.cols), Plain(rng, cuda.BF16, c.outs, c.cols)
			y, wide, want := filled(c.rows*c.outs), filled(c.rows*c.outs), filled(c.rows*c.outs)
			m.Run(t, cuda.NewOp(cuda.OpMatMul).Gives(F32(y, c.outs)).Takes(F32(x, c.cols)).By(w))
			m.Warpgroups = true
			op := cuda.NewOp(cuda.OpMatMul).Gives(F32(wide, c.outs)).Takes(F32(x, c.cols)).By(w)
			m.Run(t, op)
			SameBits(t, "by warpgroups", wide, y)
			x = rounded(m, w, x)
			spec.MatMul(want, x, w)
			Within(t, "by warpgroups", wide, want, productBound(x, w))

			plan := kernels.Plan{Properties: m.Properties}
			if err := plan.Op(op); err != nil {
				t.Fatal(err)
			}
			for _, l := range plan.Launches {
				if strings.Contains(l.Kernel, "_wide_") && l.Mapped() {
					seen[l.Kernel] = true
				}
			}
		})
	}
	for _, name := range kernels.Names() {
		if strings.Contains(name, "_wide_") && !seen[name] && !t.Failed() {
			t.Errorf("no case has %s", name)
		}
	}
}

// Where shared memory has no room for stages, where rows are few or weights are of another layout, products are as everywhere.
func TestWideTilesAreForManyRowsAndMuchSharedMemory(t *testing.T) {
	rng := newRand(17)
	for name, c := range map[string]struct {
		rows, shared int
		weights      cuda.Matrix
	}{
		"few rows":      {16, 227 << 10, Plain(rng, cuda.BF16, 128, 256)},
		"little memory": {64, 99 << 10, Plain(rng, cuda.BF16, 128, 256)},
		"f16":           {64, 227 << 10, Plain(rng, cuda.F16, 128, 256)},
	} {
		plan := kernels.Plan{Properties: kernels.Properties{Fast: true, Warpgroups: true, Multiprocessors: 132, Shared: c.shared}}
		if err := plan.Op(cuda.NewOp(cuda.OpMatMul).Gives(F32(filled(c.rows*128), 128)).Takes(F32(filled(c.rows*256), 256)).By(c.weights)); err != nil {
			t.Fatal(err)
		}
		for _, l := range plan.Launches {
			if strings.Contains(l.Kernel, "_wide_") || l.Mapped() {
				t.Errorf("%s: %s", name, l.Kernel)
			}
		}
	}
}
