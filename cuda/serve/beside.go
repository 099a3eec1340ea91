package serve

import "github.com/inference-pio/inference-pio/cuda"

// beside.go measures what a copy costs the CPU: whatever comes to a device is read from the host's memory, most of it twice and written once, and the
// CPU that computes meanwhile has what is left.

// What is tried: products of one row, one after the other (reads.go), beside copies from all over the memory that those read, of which the first ones
// still pin memory. Two are asked for at any time, so that the link is not idle until a product ends.
const (
	besideRows   = 256 // of a fill in bf16: 4 MiB
	besideCols   = 8192
	besidePinned = 32 << 20 // that copies come from, where they are made from where it lies: to register more takes longer than all the rest
	besideFirst  = 4        // fills
	besideFills  = 24       // and those that count
	besideMost   = 1024     // products, however slow the link is
)

// beside is the bytes a second that are copied to a device while the CPU reads as fast as it can, and how many bytes it reads less meanwhile for each
// that is copied; 0 where the device's budget has no room to measure. With a registrar copies are from where weights lie (pinning.go).
func (t *trial) beside(d cuda.Device, with registrar) (rate, takes float64) {
	fills, err := t.matrices(cuda.Plain(cuda.BF16), besideRows, besideCols)
	if err != nil {
		return 0, 0
	}
	if with != nil && with.Register(t.data[:besidePinned]) == nil {
		defer with.Unregister(t.data[:besidePinned])
		fills = fills[:besidePinned/int(fills[0].Bytes())]
	}
	mem, err := d.Alloc(fills[0].Bytes(), cuda.ForScratch)
	if err != nil {
		return 0, 0
	}
	defer d.Free(mem)
	to, err := fills[0].Layout.Lay(d, mem, 0, besideRows, besideCols)
	if err != nil {
		return 0, 0
	}
	copied, read, err := t.with(fills, func(from cuda.Matrix) error {
		q := d.NewQueue()
		defer q.Close()
		q.Fill(to, from)
		return q.Sync()
	})
	if err != nil || copied == 0 {
		return 0, 0
	}
	return copied, max(0, t.alone-read) / copied
}

// with is what fills copy and the CPU reads at once.
func (t *trial) with(fills []cuda.Matrix, fill func(from cuda.Matrix) error) (copied, read float64, err error) {
	next := 0
	start := func() cuda.Event {
		from := fills[next]
		next = (next + 1) % len(fills)
		return t.clock.Beside(func() error { return fill(from) })
	}
	under := [2]cuda.Event{start(), start()}
	began, done, products := t.clock.Now(), 0, 0
	for done < besideFirst+besideFills && products < besideMost && err == nil {
		t.compute()
		products++
		for under[0].Happened() && done < besideFirst+besideFills && err == nil {
			err = under[0].Wait()
			under = [2]cuda.Event{under[1], start()}
			if done++; done == besideFirst {
				began, products = t.clock.Now(), 0
			}
		}
	}
	copied, read = float64(done-besideFirst)*float64(fills[0].Bytes())/(t.clock.Now()-began).Seconds(), t.read(products, began)
	for _, e := range under {
		if waited := e.Wait(); err == nil {
			err = waited
		}
	}
	return max(0, copied), read, err
}
