package serve

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/clock"
)

// beside.go measures what a copy costs the CPU: whatever comes to a device is read from the host's memory, most of it twice and written once, and the
// CPU that computes meanwhile has what is left.

// What is tried: products of one row, one after the other over more memory than most caches hold, beside copies from all over it, of which the first ones
// still pin memory. Two are asked for at any time, so that the link is not idle until a product ends.
const (
	besideProduct = 512  // rows of 16 KiB: 8 MiB
	besideFill    = 256  // 4 MiB
	besideCols    = 8192 // in bf16
	besideBytes   = 128 << 20
	besidePinned  = 32 << 20 // that copies come from, where they are made from where it lies: to register more takes longer than all the rest
	besideFirst   = 4        // fills
	besideFills   = 24       // and those that count
	besideMost    = 1024     // products, however slow the link is
)

// besides are the bytes a second that are copied to a device while the CPU reads as fast as it can, and how many bytes it reads less meanwhile for each
// that is copied; 0 where the device's budget has no room to measure. op is what each op of the CPU takes before it reads, pins that copies will be from
// where weights lie, if the driver registers memory (pinning.go).
func besides(c clock.Clock, here, d cuda.Device, op float64, pins bool) (rate, takes float64) {
	t, err := newTrial(c, here)
	if err != nil {
		return 0, 0
	}
	t.op = op
	defer t.close()
	if r, ok := d.(registrar); ok && pins && r.Registers() && r.Register(t.data[:besidePinned]) == nil {
		defer r.Unregister(t.data[:besidePinned])
		t.fills = t.fills[:besidePinned/int(t.fills[0].Bytes())]
	}
	mem, err := d.Alloc(t.fills[0].Bytes(), cuda.ForScratch)
	if err != nil {
		return 0, 0
	}
	defer d.Free(mem)
	to, err := t.fills[0].Layout.Lay(d, mem, 0, besideFill, besideCols)
	if err != nil {
		return 0, 0
	}
	alone := t.alone()
	copied, read, err := t.with(func(from cuda.Matrix) error {
		q := d.NewQueue()
		defer q.Close()
		q.Fill(to, from)
		return q.Sync()
	})
	if err != nil || copied == 0 {
		return 0, 0
	}
	return copied, max(0, alone-read) / copied
}

// trial is the CPU with something to read, and what is copied meanwhile.
type trial struct {
	clock           clock.Clock
	queue           cuda.Queue
	data            []byte
	products, fills []cuda.Matrix // over the same memory
	x, y            cuda.Tensor
	product, fill   int     // the next ones
	op              float64 // seconds of a product in which nothing is read
}

func newTrial(c clock.Clock, here cuda.Device) (t *trial, err error) {
	t = &trial{clock: c, queue: here.NewQueue()}
	defer func() {
		if err != nil {
			t.close()
		}
	}()
	if t.data, err = unix.Mmap(-1, 0, besideBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON); err != nil {
		return nil, err
	}
	for i := 0; i < len(t.data); i += 4096 {
		t.data[i] = 1 // untouched pages would all be one page of zeros
	}
	if t.products, err = matricesOf(t.data, besideProduct); err != nil {
		return nil, err
	}
	if t.fills, err = matricesOf(t.data, besideFill); err != nil {
		return nil, err
	}
	if t.x, err = cuda.HostTensor(make([]byte, 4*besideCols), cuda.F32, 1, besideCols); err != nil {
		return nil, err
	}
	t.y, err = cuda.HostTensor(make([]byte, 4*besideProduct), cuda.F32, 1, besideProduct)
	return t, err
}

// matricesOf are all those of so many rows that lie in memory.
func matricesOf(data []byte, rows int) (list []cuda.Matrix, err error) {
	for bytes := 2 * rows * besideCols; len(data) > 0; data = data[bytes:] {
		m, err := cuda.HostMatrix(cuda.Plain(cuda.BF16), rows, besideCols, data[:bytes])
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, nil
}

func (t *trial) close() {
	t.queue.Close()
	if t.data != nil {
		_ = unix.Munmap(t.data)
	}
}

// compute is one product.
func (t *trial) compute() {
	t.queue.Run(cuda.NewOp(cuda.OpMatMul).Gives(t.y).Takes(t.x).By(t.products[t.product]))
	t.product = (t.product + 1) % len(t.products)
}

// read is the bytes a second of so many products since a moment.
func (t *trial) read(products int, since time.Duration) float64 {
	n, took := float64(products), (t.clock.Now() - since).Seconds()
	return n * float64(t.products[0].Bytes()) / max(took/2, took-n*t.op)
}

// alone is what the CPU reads when nothing else does: the best of two rounds.
func (t *trial) alone() (best float64) {
	for range 2 {
		began := t.clock.Now()
		for range t.products {
			t.compute()
		}
		best = max(best, t.read(len(t.products), began))
	}
	return best
}

// with is what fills copy and the CPU reads at once.
func (t *trial) with(fill func(from cuda.Matrix) error) (copied, read float64, err error) {
	start := func() cuda.Event {
		from := t.fills[t.fill]
		t.fill = (t.fill + 1) % len(t.fills)
		return t.clock.Beside(func() error { return fill(from) })
	}
	under := [2]cuda.Event{start(), start()}
	began, fills, products := t.clock.Now(), 0, 0
	for fills < besideFirst+besideFills && products < besideMost && err == nil {
		t.compute()
		products++
		for under[0].Happened() && fills < besideFirst+besideFills && err == nil {
			err = under[0].Wait()
			under = [2]cuda.Event{under[1], start()}
			if fills++; fills == besideFirst {
				began, products = t.clock.Now(), 0
			}
		}
	}
	copied, read = float64(fills-besideFirst)*float64(t.fills[0].Bytes())/(t.clock.Now()-began).Seconds(), t.read(products, began)
	for _, e := range under {
		if waited := e.Wait(); err == nil {
			err = waited
		}
	}
	return max(0, copied), read, err
}
