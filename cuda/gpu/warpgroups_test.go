//go:build cuda && cgo

package gpu

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/optest"
	"github.com/inference-pio/inference-pio/cuda/spec"
)

// A Hopper that is asked to use its own instructions does, after it has shown that they give the same bits.
func TestWarpgroupsAreAskedFor(t *testing.T) {
	if !hardware() {
		software(t)
	}
	t.Setenv(EnvWarpgroups, "")
	if d := open(t, Options{Fast: true}); d.Properties().Warpgroups {
		t.Error("they are on, and nobody has asked")
	}
	t.Setenv(EnvWarpgroups, "1")
	for _, fast := range []bool{false, true} {
		d := open(t, Options{Fast: fast})
		if hopper := d.info.Major == 9; d.Properties().Warpgroups != hopper {
			t.Errorf("capability %d.%d: warpgroups are %v", d.info.Major, d.info.Minor, d.Properties().Warpgroups)
		}
		if !d.Properties().Warpgroups {
			t.Skip("capability: a Hopper")
		}
		differ, of, err := d.compareProducts()
		if err != nil || differ != 0 || of != triedRows*triedOuts {
			t.Errorf("%d of %d differ, %v", differ, of, err)
		}
	}
}

// What is tried tells apart machines that add up in another order: sums of the same products from the other end are others.
func TestWhatIsTriedTellsOrdersApart(t *testing.T) {
	x, w, err := tried()
	if err != nil {
		t.Fatal(err)
	}
	matrix, err := cuda.MatrixOf(w)
	if err != nil {
		t.Fatal(err)
	}
	rows, differ := x.F32(), 0
	weights := make([]float32, triedCols)
	for o := range triedOuts {
		for k := range weights {
			weights[k] = spec.Element(matrix, o*triedCols+k)
		}
		for r := range triedRows {
			var up, down float32
			for k := range weights {
				up += rows[r*triedCols+k] * weights[k]
				down += rows[r*triedCols+triedCols-1-k] * weights[triedCols-1-k]
			}
			if up != down {
				differ++
			}
		}
	}
	if differ < triedRows*triedOuts/2 {
		t.Errorf("of %d sums %d depend on the order", triedRows*triedOuts, differ)
	}
}

// The driver's refusals are told, and the device is not used.
func TestWarpgroupsNeedANewerDriver(t *testing.T) {
	software(t)
	t.Setenv(EnvWarpgroups, "1")
	dev := open(t, Options{})
	dev.info.Driver = 11080
	if err := dev.warpgroups(); err == nil || !strings.Contains(err.Error(), "CUDA 12.0") || !strings.Contains(err.Error(), EnvWarpgroups) {
		t.Error(err)
	}
	if err := refused(1, 9520, nil); err == nil || !strings.Contains(err.Error(), "1 of 9520 products by wgmma have other bits") {
		t.Error(err)
	}
	if err := refused(0, 0, errors.New("no room")); err == nil || !strings.Contains(err.Error(), "no room") {
		t.Error(err)
	}
}

// BenchmarkManyRows times products of prompts with the matrices of 0.6B and 4B by both instructions, rows being brought into parts among it.
func BenchmarkManyRows(b *testing.B) {
	if !hardware() {
		b.Skip("capability: a GPU: nothing of the software driver's is timed")
	}
	b.Setenv(EnvWarpgroups, "1")
	d, err := Open(Options{Fast: true})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	if !d.Properties().Warpgroups {
		b.Skip("capability: a Hopper")
	}
	sizes := [][3]int{{2048, 1024, 3072}, {2048, 2560, 9728}, {2048, 9728, 2560}, {2048, 2560, 2560}, {512, 2560, 9728}, {4096, 4096, 4096}}
	if d.Software() {
		sizes = [][3]int{{40, 136, 136}}
	}
	for _, s := range sizes {
		for _, warpgroups := range []bool{false, true} {
			b.Run(fmt.Sprintf("%dx%dx%d/warpgroups=%v", s[0], s[1], s[2], warpgroups), func(b *testing.B) { manyRows(b, d, s[0], s[1], s[2], warpgroups) })
		}
	}
}

// manyRows times a product of random rows and weights, so many at a time that the host's wait is little of it.
func manyRows(b *testing.B, d *Device, rows, cols, outs int, warpgroups bool) {
	const each = 20
	mem, err := d.Alloc(int64(4*rows*cols+2*outs*cols+4*rows*outs), cuda.ForScratch)
	if err != nil {
		b.Fatal(err)
	}
	defer d.Free(mem)
	tensor := func(at int, typ cuda.DType, rows, cols int) cuda.Tensor {
		t, err := cuda.DeviceTensor(d, mem, int64(at), typ, rows, cols)
		if err != nil {
			b.Fatal(err)
		}
		return t
	}
	x, w, y := tensor(2*outs*cols, cuda.F32, rows, cols), tensor(0, cuda.BF16, outs, cols), tensor(2*outs*cols+4*rows*cols, cuda.F32, rows, outs)
	matrix, err := cuda.MatrixOf(w)
	if err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(91, 1))
	q := d.NewQueue().(*Queue)
	defer q.Close()
	q.plan.Warpgroups = warpgroups
	q.CopyIn(x, optest.F32(optest.Random(rng, rows*cols), cols))
	q.CopyIn(w, optest.BF16(spec.Round(optest.Random(rng, outs*cols)), cols))
	op := cuda.NewOp(cuda.OpMatMul).Gives(y).Takes(x).By(matrix)
	for b.Loop() {
		for range each {
			q.Run(op)
		}
		if err := q.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(each*2*float64(rows)*float64(cols)*float64(outs)*float64(b.N)/b.Elapsed().Seconds()/1e12, "TFLOP/s")
}
