package serve

import (
	"cmp"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/clock"
	"github.com/inference-pio/inference-pio/sdk"
)

// reads.go measures how fast the CPU reads weights: by products of one row, as those of a token are, in the forms that the model has and with its numerics.
// Memory can be read faster: exact products of bf16 read two thirds of what a thread can, and those of 4 bits a fifth. What copies take of it is in beside.go.

const (
	readsBytes   = 256 << 20 // of 128 MiB a cache of 32 keeps so much that products seem a tenth quicker
	readsProduct = 8 << 20   // and as many rows as have so many bytes
	readsPart    = 0.125     // of what a token reads: a form that has less of it is not measured
)

// form is how some of what a token reads lies.
type form struct {
	layout *cuda.Layout
	bytes  float64         // of it that a token reads
	cols   map[int]float64 // by how many columns matrices have
}

// forms are those in which a token reads much, the one with the most first.
func (o *opened) forms(t *sdk.LayerTable, here cuda.Device) (list []form) {
	all := 0.0
	for i, m := range o.bound.Modules {
		row := t.Modules[i]
		part := float64(row.ActiveBytesToken) / float64(max(1, row.WeightBytes))
		for _, w := range m.Weights {
			f := w.File()
			if f.Rows == 1 {
				continue
			}
			layout := here.Layout(f)
			n := slices.IndexFunc(list, func(other form) bool { return other.layout.Equal(layout) })
			if n < 0 {
				n, list = len(list), append(list, form{layout: layout, cols: map[int]float64{}})
			}
			bytes := part * float64(layout.DeviceBytes(f.Rows, f.Cols))
			all += bytes
			list[n].bytes += bytes
			list[n].cols[f.Cols] += bytes
		}
	}
	list = slices.DeleteFunc(list, func(f form) bool { return f.bytes <= readsPart*all })
	slices.SortStableFunc(list, func(a, b form) int { return cmp.Compare(b.bytes, a.bytes) })
	return list
}

// mostCols is how many columns the most of it have.
func (f *form) mostCols() (most int) {
	for cols, bytes := range f.cols {
		if has := f.cols[most]; bytes > has || bytes == has && cols < most {
			most = cols
		}
	}
	return most
}

// tellReads puts into a table how fast the CPU reads, unless that is known, and what copies to GPUs take of it. op is what each op of the CPU takes before
// it reads, pins that copies will be from where weights lie as soon as a driver has registered those. Where there is no memory to measure with the table stays as it is.
func (o *opened) tellReads(t *sdk.LayerTable, devices []cuda.Device, c clock.Clock, op float64, known, pins bool) {
	forms := o.forms(t, devices[0])
	if len(forms) == 0 {
		return
	}
	r, err := newTrial(c, devices[0], op)
	if err != nil {
		return
	}
	defer r.close()
	if read := r.reads(forms); read > 0 && !known {
		t.Devices[0].ReadRate = read
	}
	for i, d := range devices {
		if d.Kind() != cuda.KindGPU || played(d, c) || r.alone == 0 {
			continue
		}
		to := &t.Devices[i]
		to.BesideRate, to.BesideTakes = r.beside(d, nil)
		if with := registrarOf(devices[i : i+1]); with != nil && pins {
			to.StagedRate, to.StagedTakes = to.BesideRate, to.BesideTakes
			to.BesideRate, to.BesideTakes = r.beside(d, with)
		}
	}
}

// trial is the CPU with something to read: one product after the other, over more memory than most caches have much of.
type trial struct {
	clock    clock.Clock
	here     cuda.Device
	queue    cuda.Queue
	data     []byte
	products []cuda.Matrix
	x, y     cuda.Tensor
	next     int     // of the products
	op       float64 // seconds of a product in which nothing is read
	alone    float64 // bytes a second that products of the first form read when nothing else does
}

func newTrial(c clock.Clock, here cuda.Device, op float64) (*trial, error) {
	data, err := unix.Mmap(-1, 0, readsBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, err
	}
	_ = unix.Madvise(data, unix.MADV_HUGEPAGE) // as weights are, but for those of a mapped file, of which some hundredths less are read; small ones take a tenth of a second
	for i := 0; i < len(data); i += 4096 {
		data[i] = 1 // untouched pages would all be one page of zeros
	}
	return &trial{clock: c, here: here, queue: here.NewQueue(), data: data, op: op}, nil
}

func (t *trial) close() {
	t.queue.Close()
	_ = unix.Munmap(t.data)
}

// matrices are all those of a shape that lie in its memory, whatever they hold.
func (t *trial) matrices(l *cuda.Layout, rows, cols int) (list []cuda.Matrix, err error) {
	all, each := int64(len(t.data)), l.DeviceBytes(rows, cols)
	mem := cuda.NewMemory(unsafe.Pointer(unsafe.SliceData(t.data)), all, cuda.ForWeights)
	for at := int64(0); at+each <= all; at += each {
		m, err := l.Lay(t.here, mem, at, rows, cols)
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, nil
}

// multiplies has products be of a form.
func (t *trial) multiplies(f form) (err error) {
	cols, step := f.mostCols(), f.layout.RowStep()
	rows := step * max(1, int(readsProduct/f.layout.DeviceBytes(step, cols)))
	if t.products, err = t.matrices(f.layout, rows, cols); err != nil {
		return err
	}
	if t.x, err = cuda.HostTensor(make([]byte, 4*cols), cuda.F32, 1, cols); err != nil {
		return err
	}
	t.y, err = cuda.HostTensor(make([]byte, 4*rows), cuda.F32, 1, rows)
	return err
}

// reads is how many bytes a second the CPU reads of all forms together; 0 if that cannot be measured. Products are of the first form behind it.
func (t *trial) reads(forms []form) float64 {
	bytes, seconds := 0.0, 0.0
	for _, f := range slices.Backward(forms) {
		if t.multiplies(f) != nil || len(t.products) == 0 {
			return 0
		}
		t.alone = t.reading()
		bytes, seconds = bytes+f.bytes, seconds+f.bytes/t.alone
	}
	if t.queue.Sync() != nil {
		t.alone = 0
		return 0
	}
	return bytes / seconds
}

// reading is the bytes a second of the products as they are: of the middle one, for some may be held up.
func (t *trial) reading() float64 {
	var rates []float64
	t.next = 0
	for range t.products {
		began := t.clock.Now()
		t.compute()
		rates = append(rates, t.read(1, began))
	}
	slices.Sort(rates)
	return rates[len(rates)/2]
}

// compute is one product.
func (t *trial) compute() {
	t.queue.Run(cuda.NewOp(cuda.OpMatMul).Gives(t.y).Takes(t.x).By(t.products[t.next]))
	t.next = (t.next + 1) % len(t.products)
}

// read is the bytes a second of so many products since a moment.
func (t *trial) read(products int, since time.Duration) float64 {
	n, took := float64(products), (t.clock.Now() - since).Seconds()
	return n * float64(t.products[0].Bytes()) / max(took/2, took-n*t.op)
}
