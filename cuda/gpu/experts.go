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
	at   unsafe.Pointer
	err  error
	like cuda.Expert // one that it has had, by whose layouts launches are planned
	form uint64      // counts how often launches have to be planned anew
}

// alike says whether an expert changes nothing of how launches are planned: that there are such in the table has been looked at.
func (t *table) alike(e *cuda.Expert) bool {
	same := func(a, b *cuda.Matrix) bool { return !b.IsZero() && a.Layout.Name == b.Layout.Name }
	return e.Gate.IsZero() || same(&e.Gate, &t.like.Gate) && same(&e.Up, &t.like.Up) && same(&e.Down, &t.like.Down)
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

// expertBytes is what a table has of an expert.
const expertBytes = 3 * int64(unsafe.Sizeof(kernels.Matrix{}))

// appendExpert encodes one for kernels.
func appendExpert(list []kernels.Matrix, e *cuda.Expert) ([]kernels.Matrix, error) {
	for _, m := range [...]*cuda.Matrix{&e.Gate, &e.Up, &e.Down} {
		encoded, err := kernels.EncodeMatrix(m)
		if err != nil {
			return list, err
		}
		list = append(list, encoded)
	}
	return list, nil
}

func encodedBytes(list []kernels.Matrix) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(list))), uintptr(len(list))*unsafe.Sizeof(kernels.Matrix{}))
}

// tableOf brings a table to the device, or what has changed of it since: it keeps its place, so that launches that are told again find it. It is
// freed when nobody has the original any more: a queue keeps that until its launches have run.
func (q *Queue) tableOf(of *cuda.ExpertTable, native any, moved []int) any {
	t, ok := native.(*table)
	if ok && t.err == nil {
		t.err = q.patch(t, of, moved)
	} else {
		before := t
		t = &table{}
		if t.at, t.err = q.wholeTable(of); before != nil {
			t.form = before.form + 1
		}
	}
	for _, i := range moved {
		if e := &of.Experts[i]; !t.alike(e) {
			t.like, t.form = *e, t.form+1
		}
	}
	return t
}

func (q *Queue) wholeTable(of *cuda.ExpertTable) (unsafe.Pointer, error) {
	list, err := make([]kernels.Matrix, 0, 3*len(of.Experts)), error(nil)
	for i := range of.Experts {
		if list, err = appendExpert(list, &of.Experts[i]); err != nil {
			return nil, err
		}
	}
	mem, err := q.dev.alloc(expertBytes*int64(len(of.Experts)), cuda.ForScratch, q.settle)
	if err != nil {
		return nil, err
	}
	q.dev.tables.add(mem)
	runtime.AddCleanup(of, q.dev.dropTable, mem)
	return mem.Pointer(), q.dev.write(mem.Pointer(), encodedBytes(list))
}

// patch writes the experts of a table that have moved, ahead of what is in the list: nothing there reads them.
func (q *Queue) patch(t *table, of *cuda.ExpertTable, moved []int) error {
	q.patching.Reset()
	for _, i := range moved {
		var err error
		if q.encoded, err = appendExpert(q.encoded[:0], &of.Experts[i]); err != nil {
			return err
		}
		pinned, err := q.patches.take(int(expertBytes))
		if pinned == nil && err == nil { // all of it is under way
			err = q.sendPatches()
			q.finish()
			pinned, _ = q.patches.take(int(expertBytes))
		}
		if err != nil {
			return err
		}
		copy(pinned, encodedBytes(q.encoded))
		q.patching.CopyIn(unsafe.Add(t.at, int64(i)*expertBytes), unsafe.Pointer(unsafe.SliceData(pinned)), expertBytes)
	}
	return q.sendPatches()
}

func (q *Queue) sendPatches() error {
	defer q.patching.Reset()
	q.added++
	return q.stream.Run(&q.patching)
}

// tableFor is an op's table where the device can read it.
func (q *Queue) tableFor(op *cuda.Op) *table {
	return op.Experts.Native(q.tableOf).(*table)
}
