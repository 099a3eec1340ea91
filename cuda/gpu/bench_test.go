//go:build cuda && cgo

package gpu

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
)

// BenchmarkRun is what an op costs the host until it is handed to the driver: planned and encoded when it is new; when it comes again in a list
// that comes again, as those of a model that decodes, told to be the same.
func BenchmarkRun(b *testing.B) {
	software(b)
	d, err := Open(Options{Fast: true})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	q := d.NewQueue().(*Queue)
	defer q.Close()
	mem, err := d.Alloc(1<<20, cuda.ForScratch)
	if err != nil {
		b.Fatal(err)
	}
	defer d.Free(mem)
	tensor := func(at int64, shape ...int) cuda.Tensor {
		t, err := cuda.DeviceTensor(d, mem, at, cuda.F32, shape...)
		if err != nil {
			b.Fatal(err)
		}
		return t
	}
	x, y := tensor(0, 1, 256), tensor(4096, 1, 512)
	w, err := cuda.Plain(cuda.BF16).Lay(d, mem, 8192, 512, 256)
	if err != nil {
		b.Fatal(err)
	}
	const length = 512 // of a list
	for name, op := range map[string]*cuda.Op{"add": add(y, y, y), "matmul": cuda.NewOp(cuda.OpMatMul).Gives(y).Takes(x).By(w)} {
		forget := func() {
			q.list.Reset()
			q.again.forget()
			q.again.mode = toldNothing
		}
		b.Run(name+"/new", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if q.Run(op); q.list.Len() >= length {
					forget()
				}
			}
		})
		forget()
		for range length {
			q.Run(op)
		}
		q.list.Reset()
		q.again.mode, q.added = toldNothing, 0
		b.Run(name+"/again", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if q.Run(op); q.again.at == length {
					q.again.mode, q.added = toldNothing, 0
				}
			}
			if q.list.Len() > 0 {
				b.Error("ops were planned again")
			}
		})
		q.again.mode, q.added = toldNothing, 0
		forget()
	}
}
