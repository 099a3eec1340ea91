// Weights that their file has as codes: they are widened to f32 a piece at a time, and go from there into the form that they are to have.

package nn

import (
	"encoding/binary"
	"math"
	"runtime"
	"sync"
	"unsafe"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// Repack is the form that codes are packed to where nobody has said another and CPUs compute: the numbers of the file where there is a form for
// them (kblocks.go), else what RepackForAll says.
func Repack(v weights.View) string {
	if form := keeps(v.Coded); form != "" {
		return form
	}
	return RepackForAll(v)
}

// RepackForAll is Repack for devices of any kind. A second rounding must cost little beside what the first has cost: in
// 8 bits it always does, in 4 bits only where the levels of a block are whole numbers from -8 to 7 times a factor, as those of q4 are
// (TestRepacked measures it). Where such a factor is that of 128 columns, nothing is rounded but the factor (recode.go).
func RepackForAll(v weights.View) string {
	if v.Format == "Q4_0" || fits(v.Coded, cuda.Q4) {
		return cuda.Q4
	}
	return cuda.Q8
}

// widen makes some rows of a weight.
func (z *Quantiser) widen(q cuda.Queue, dst cuda.Matrix, coded weights.Coded, from, to int) error {
	n := (to - from) * dst.Cols
	if cap(z.wide) < n {
		z.wide = make([]float32, n)
	}
	wide := z.wide[:n]
	inParallel(to-from, func(a, b int) { coded.Widen(wide[a*dst.Cols:b*dst.Cols], from+a) })
	dst, err := dst.Slice(from, to)
	if err != nil {
		return err
	}
	switch dst.Layout {
	case cuda.Plain(cuda.F32):
		store(dst.Plane(0).Raw(), wide, 4, func(b []byte, x float32) { binary.LittleEndian.PutUint32(b, math.Float32bits(x)) })
	case cuda.Plain(cuda.BF16):
		store(dst.Plane(0).Raw(), wide, 2, func(b []byte, x float32) { binary.LittleEndian.PutUint16(b, cuda.NearestBF16(x)) })
	default:
		if err := pack(q, dst, wide); err != nil {
			return err
		}
	}
	if z.Read != nil {
		z.Read(coded.File(from, to))
	}
	return nil
}

// pack brings numbers into a packed form.
func pack(q cuda.Queue, dst cuda.Matrix, wide []float32) error {
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(wide))), 4*len(wide))
	src, err := cuda.HostMatrix(cuda.Plain(cuda.F32), dst.Rows, dst.Cols, bytes)
	if err != nil {
		return err
	}
	q.Fill(dst, src)
	return q.Sync()
}

// store writes numbers in a plain type.
func store(to []byte, wide []float32, size int, put func(b []byte, x float32)) {
	inParallel(len(wide), func(a, b int) {
		for i := a; i < b; i++ {
			put(to[i*size:], wide[i])
		}
	})
}

// inParallel cuts n pieces of work into as many runs as there are processors.
func inParallel(n int, run func(from, to int)) {
	var all sync.WaitGroup
	workers := max(1, min(n, runtime.GOMAXPROCS(0)))
	for i := range workers {
		all.Go(func() { run(n*i/workers, n*(i+1)/workers) })
	}
	all.Wait()
}
