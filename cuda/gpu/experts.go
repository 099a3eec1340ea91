//go:build cuda && cgo

package gpu

import (
	"runtime"
	"unsafe"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/kernels"
)

// experts.go brings tables of experts to where kernels can read them.

// table is one on the device.
type table struct {
	at  unsafe.Pointer
	err error
}

// tableOf copies a table to the device. It is freed when nobody has the original any more: a queue keeps that until its launches have run.
func (q *Queue) tableOf(of *cuda.ExpertTable, list []cuda.Expert) *table {
	encoded := make([]kernels.Matrix, 0, 3*len(list))
	for i := range list {
		for _, m := range [...]*cuda.Matrix{&list[i].Gate, &list[i].Up, &list[i].Down} {
			e, err := kernels.EncodeMatrix(m)
			if err != nil {
				return &table{err: err}
			}
			encoded = append(encoded, e)
		}
	}
	size := int64(len(encoded)) * int64(unsafe.Sizeof(kernels.Matrix{}))
	mem, err := q.dev.alloc(size, cuda.ForScratch, q.settle)
	if err != nil {
		return &table{err: err}
	}
	runtime.AddCleanup(of, q.dev.Free, mem)
	return &table{at: mem.Pointer(), err: q.dev.write(mem.Pointer(), unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(encoded))), size))}
}
