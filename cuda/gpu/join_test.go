//go:build cuda && cgo

package gpu

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/kernels/sim"
	"github.com/inference-pio/inference-pio/cuda/optest"
)

// shaped is a tensor of a type and a shape that goes with the test.
func (b *board) shaped(typ cuda.DType, dims ...int) cuda.Tensor {
	b.t.Helper()
	bytes := typ.Size()
	for _, n := range dims {
		bytes *= n
	}
	mem, err := b.d.Alloc(int64(bytes), cuda.ForScratch)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { b.d.Free(mem) })
	x, err := cuda.DeviceTensor(b.d, mem, 0, typ, dims...)
	if err != nil {
		b.t.Fatal(err)
	}
	return x
}

// A feed-forward layer, from its norm to the sum, is two launches where nothing comes between its ops, with the same results.
func TestALayerIsTwoLaunches(t *testing.T) {
	atEveryPace(t, func(t *testing.T, s *sim.Driver) {
		d, r := open(t, Options{}), rand.New(rand.NewPCG(5, 6))
		b := newBoard(t, d)
		const hidden, inner = 64, 40
		weights := func(rows, cols int) cuda.Matrix {
			m, halves := b.shaped(cuda.BF16, rows, cols), make([]uint16, rows*cols)
			for j := range halves {
				halves[j] = 0x3f00 | uint16(r.UintN(2))<<15 | uint16(r.UintN(128)) // 0.5 to 1 and below 0
			}
			view, err := cuda.HostTensor(optest.BytesOf(halves), cuda.BF16, rows, cols)
			if err != nil {
				t.Fatal(err)
			}
			b.q.CopyIn(m, view)
			w, err := cuda.MatrixOf(m)
			if err != nil {
				t.Fatal(err)
			}
			return w
		}
		row := func(n int) cuda.Tensor { return b.shaped(cuda.F32, 1, n) }
		x, normed, gate, up, gated, down, y := row(hidden), row(hidden), row(inner), row(inner), row(inner), row(hidden), row(hidden)
		b.q.CopyIn(x, host(t, random(r, hidden)))
		ops := []*cuda.Op{
			cuda.NewOp(cuda.OpRMSNorm).Gives(normed).Takes(x).By(weights(1, hidden)).With(1e-6, 0),
			cuda.NewOp(cuda.OpMatMul).Gives(gate).Takes(normed).By(weights(inner, hidden)),
			cuda.NewOp(cuda.OpMatMul).Gives(up).Takes(normed).By(weights(inner, hidden)),
			cuda.NewOp(cuda.OpSwiGLU).Gives(gated).Takes(gate, up),
			cuda.NewOp(cuda.OpMatMul).Gives(down).Takes(gated).By(weights(hidden, inner)),
			cuda.NewOp(cuda.OpAdd).Gives(y).Takes(x, down),
		}
		run := func(between func()) (results [][]float32, kernels uint64) {
			b.sync()
			before := s.Counts().Kernels
			for _, op := range ops {
				b.q.Run(op)
				between()
			}
			for _, op := range ops {
				got := make([]float32, op.Out[0].Len())
				b.q.CopyOut(host(t, got), op.Out[0])
				results = append(results, got)
			}
			b.sync()
			return results, s.Counts().Kernels - before
		}
		want, six := run(b.sync)
		got, two := run(func() {})
		other := b.tensor(8)
		_, twelve := run(func() { b.q.Run(add(other, other, other)) })
		for i := range want {
			if !slices.Equal(got[i], want[i]) || want[i][0] == 0 {
				t.Errorf("result %d is %v, by itself %v", i, got[i], want[i])
			}
		}
		if six != 6 || two != 2 || twelve != 12 {
			t.Errorf("%d launches with waits for each, %d without, %d with other ops between, not 6, 2 and 12", six, two, twelve)
		}
	})
}
