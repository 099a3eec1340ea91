// ahead.go maps pages before they are touched. A file that lies in memory costs a fault for every few dozen pages of it when it is first
// read, which takes as long as reading it; in one call for many pages it is half of that, and beside other work of a load it is nothing.

package weights

import (
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	aheadStretch = 4 << 20   // mapped in one call: whoever else maps memory waits for it
	aheadStep    = 256 << 10 // so far apart is looked whether a stretch is in memory
	aheadMisses  = 4         // stretches that are not, after which nothing more is looked for: looking has the system read them
	aheadThreads = 4
)

// ahead is the work in the background.
type ahead struct {
	running sync.WaitGroup
	ended   atomic.Bool // there is nothing more to do
	misses  atomic.Int32
}

// Ahead begins to map what of the data, in this order, lies in memory already, and returns. What lies on the disk alone is left
// there until it is touched, and so is data that is not in a mapped file. It is called once.
func (c *Checkpoint) Ahead(data [][]byte) {
	var stretches []stretch
	for _, d := range data {
		stretches = append(stretches, c.stretches(d)...)
	}
	var next atomic.Int64
	for range min(aheadThreads, runtime.GOMAXPROCS(0)) {
		c.ahead.running.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(stretches)) && !c.ahead.ended.Load(); i = next.Add(1) - 1 {
				c.ahead.touch(stretches[i])
			}
		})
	}
}

// stop returns when no page is being mapped any more.
func (a *ahead) stop() {
	a.ended.Store(true)
	a.running.Wait()
}

// stretch is a part of a mapped file, from a page's beginning.
type stretch struct {
	file     *mapped
	from, to int
}

// fileOf is the mapped file that data begins in, and where; nil if it is in none.
func (c *Checkpoint) fileOf(data []byte) (*mapped, int) {
	for _, m := range c.files {
		from := int(uintptr(unsafe.Pointer(unsafe.SliceData(data))) - uintptr(unsafe.Pointer(unsafe.SliceData(m.data))))
		if len(data) > 0 && from >= 0 && from < len(m.data) {
			return m, from
		}
	}
	return nil, 0
}

// stretches cuts data, which lies in one of the files or in none.
func (c *Checkpoint) stretches(data []byte) (list []stretch) {
	m, from := c.fileOf(data)
	if m == nil {
		return nil
	}
	to := min(from+len(data), len(m.data))
	for from -= from % unix.Getpagesize(); from < to; from += aheadStretch {
		list = append(list, stretch{m, from, min(from+aheadStretch, to)})
	}
	return list
}

// InMemory says of data in one of the files, and true of others, that it is read without the disk.
func (c *Checkpoint) InMemory(data []byte) bool {
	m, from := c.fileOf(data)
	return m == nil || stretch{m, from, min(from+len(data), len(m.data))}.inMemory()
}

// Maps says whether data lies in one of the files.
func (c *Checkpoint) Maps(data []byte) bool {
	m, _ := c.fileOf(data)
	return m != nil
}

// touch maps a stretch that is in memory. A system that cannot is left alone: pages are mapped when they are touched, as ever.
func (a *ahead) touch(p stretch) {
	switch {
	case !p.inMemory():
		if a.misses.Add(1) >= aheadMisses {
			a.ended.Store(true)
		}
	case unix.Madvise(p.file.data[p.from:p.to], unix.MADV_POPULATE_READ) != nil:
		a.ended.Store(true)
	}
}

// inMemory reads a byte here and there, if that needs no disk.
func (p stretch) inMemory() bool {
	var b [1]byte
	for at := p.from; at < p.to; at += aheadStep {
		if n, err := unix.Preadv2(int(p.file.file.Fd()), [][]byte{b[:]}, int64(at), unix.RWF_NOWAIT); n != 1 || err != nil {
			return false
		}
	}
	return true
}
