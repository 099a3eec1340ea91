//go:build cuda && cgo

package gpu

import (
	"runtime"
	"sync"
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

// tables are those of a device that are not freed yet. The device frees them at its end, whoever has the originals still.
type tables struct {
	mu   sync.Mutex
	list map[cuda.Memory]bool
}

func (t *tables) add(mem cuda.Memory) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.list == nil {
		t.list = map[cuda.Memory]bool{}
	}
	t.list[mem] = true
}

// take is whether a table was there still.
func (t *tables) take(mem cuda.Memory) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	was := t.list[mem]
	delete(t.list, mem)
	return was
}

// rest takes all.
func (t *tables) rest() map[cuda.Memory]bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := t.list
	t.list = nil
	return list
}

func (d *Device) dropTable(mem cuda.Memory) {
	if d.tables.take(mem) {
		d.Free(mem)
	}
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
	q.dev.tables.add(mem)
	runtime.AddCleanup(of, q.dev.dropTable, mem)
	return &table{at: mem.Pointer(), err: q.dev.write(mem.Pointer(), unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(encoded))), size))}
}
