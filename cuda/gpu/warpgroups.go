//go:build cuda && cgo

package gpu

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"unsafe"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/gpu/driver"
	"github.com/inference-pio/inference-pio/cuda/kernels"
)

// warpgroups.go decides whether a GPU uses Hopper's own instructions (cuda/kernels/warpgroups.cuh): if EnvWarpgroups asks for it, if the GPU is a
// Hopper, and if their products have the bits of those that everything else is computed with, which is tried before: a row must not depend on how
// many rows are beside it.

// oldestMaps is the first driver that describes matrices to the copy engine: CUDA 12.0.
const oldestMaps = 12000

// warpgroups turns them on. The error is of a GPU that has them and for which that must not be.
func (d *Device) warpgroups() error {
	switch {
	case os.Getenv(EnvWarpgroups) == "" || !kernels.Hopper(d.info.Major, d.info.Minor):
		return nil
	case d.info.Driver < oldestMaps:
		return fmt.Errorf("%s needs a driver of CUDA 12.0 or later, this one is of %d.%d: install a newer one, or leave the variable out", EnvWarpgroups, d.info.Driver/1000, d.info.Driver%1000/10)
	}
	d.plan.Warpgroups = true
	return refused(d.compareProducts())
}

// refused is the error of a comparison that did not go well.
func refused(differ, of int, err error) error {
	switch {
	case err != nil:
		return fmt.Errorf("%s: products by wgmma could not be tried: %w", EnvWarpgroups, err)
	case differ > 0:
		return fmt.Errorf("%s: %d of %d products by wgmma have other bits than by mma, so rows would depend on their company: leave the variable out", EnvWarpgroups, differ, of)
	}
	return nil
}

// What is compared: more outs than a tile's, rows enough for it, columns of two slices.
const triedRows, triedCols, triedOuts = 70, 512, 136

// compareProducts multiplies rows with weights by both instructions, and says how many sums differ.
func (d *Device) compareProducts() (differ, of int, err error) {
	const rows, weights, sums = triedRows * triedCols * 4, triedOuts * triedCols * 2, triedRows * triedOuts * 4
	mem, err := d.Alloc(rows+weights+sums, cuda.ForScratch)
	if err != nil {
		return 0, 0, err
	}
	defer d.Free(mem)
	x, errX := cuda.DeviceTensor(d, mem, weights, cuda.F32, triedRows, triedCols)
	w, errW := cuda.DeviceTensor(d, mem, 0, cuda.BF16, triedOuts, triedCols)
	y, errY := cuda.DeviceTensor(d, mem, weights+rows, cuda.F32, triedRows, triedOuts)
	matrix, errM := cuda.MatrixOf(w)
	hostX, hostW, errH := tried()
	if err := errors.Join(errX, errW, errY, errM, errH); err != nil {
		return 0, 0, err
	}
	var results [2][]byte
	for i := range results {
		q := d.NewQueue().(*Queue)
		q.plan.Warpgroups = i == 0
		out, err := cuda.HostTensor(make([]byte, sums), cuda.F32, triedRows, triedOuts)
		if err == nil {
			q.CopyIn(x, hostX)
			q.CopyIn(w, hostW)
			q.Run(cuda.NewOp(cuda.OpMatMul).Gives(y).Takes(x).By(matrix))
			q.CopyOut(out, y)
			err = q.Sync()
		}
		q.Close()
		if err != nil {
			return 0, 0, err
		}
		results[i] = out.Raw()
	}
	for i := 0; i < sums; i += 4 {
		if !bytes.Equal(results[0][i:i+4], results[1][i:i+4]) {
			differ++
		}
	}
	return differ, sums / 4, nil
}

// tried are numbers in bf16 whose products are far apart in size, nearly cancel, or are too small to be normal: what machines that add up
// differently have different sums of.
func tried() (x, w cuda.Tensor, err error) {
	r := rand.New(rand.NewPCG(90, 1))
	number := func(column int) uint32 { // a bf16, as the upper half of an f32
		exponent := 127 + r.IntN(9) - 4
		switch column / 64 % 4 {
		case 1:
			exponent = 127 + r.IntN(49) - 24
		case 2:
			exponent = 64 + r.IntN(4) // a product of two is about the smallest normal number
		case 3:
			exponent = 127
		}
		return r.Uint32()&0x807f0000 | uint32(exponent)<<23
	}
	rows, weights := make([]uint32, triedRows*triedCols), make([]uint16, triedOuts*triedCols)
	for i := range rows {
		rows[i] = number(i % triedCols)
		if i%triedCols/64%4 == 3 && i%2 == 1 { // the last one again: with the weights' it is taken away
			rows[i] = rows[i-1]
		}
	}
	for i := range weights {
		weights[i] = uint16(number(i%triedCols) >> 16)
		if i%triedCols/64%4 == 3 && i%2 == 1 {
			weights[i] = weights[i-1] ^ 0x8000 ^ uint16(r.IntN(2))
		}
	}
	x, errX := cuda.HostTensor(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(rows))), 4*len(rows)), cuda.F32, triedRows, triedCols)
	w, errW := cuda.HostTensor(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(weights))), 2*len(weights)), cuda.BF16, triedOuts, triedCols)
	return x, w, errors.Join(errX, errW)
}

// describe writes the maps that a launch's kernel is given.
func (q *Queue) describe(l *kernels.Launch) error {
	q.mapped.Op = q.op
	for i := range l.Maps {
		m := &l.Maps[i]
		var err error
		q.mapped.Map[i], err = driver.Map(driver.Matrix{At: m.At(&q.op), Rows: m.Rows, Cols: m.Cols, TileRows: m.TileRows, TileCols: m.TileCols, Swizzled: m.Swizzled})
		if err != nil {
			return err
		}
	}
	return nil
}
