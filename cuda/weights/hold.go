// hold.go puts copies of mapped pages in their place. What every token reads is read faster from memory in huge pages than from a file's, which
// are small and lie where the system had room when the file came into memory: up to four fifths faster, a tenth as a rule, and no slower.
// Addresses and bits stay as they are, so that nothing else knows of it; and what the file loses later is not lost here.

package weights

import (
	"cmp"
	"io"
	"slices"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	hugePage  = 2 << 20
	holdPiece = 2 * hugePage // copied at a time

	// After a copy it rests for as long as that took, and so many times if something is being computed, which loses a fortieth or so.
	holdRest, holdRestBusy = 1, 20

	holdPadding = 64 // less than that lies between two tensors that follow each other

	// What is not in memory yet, or has no room, is looked at again, ever more rarely.
	holdSoonest, holdLatest = time.Second, time.Minute
)

// holder is the work in the background, and what has come of it.
type holder struct {
	running  sync.WaitGroup
	quit     chan struct{}
	released chan struct{} // somebody needed the memory

	mu    sync.Mutex
	parts []part
}

// part is a stretch of a mapped file that begins and ends at a multiple of a huge page, as addresses go.
type part struct {
	stretch
	copied []byte // a copy elsewhere, which waits to be exchanged
	held   bool   // a copy is where the file was mapped
}

// Hold begins to copy what of the data lies in memory already, once Ahead has ended, and returns. room is asked before so many bytes more of the
// process's own are taken; the file's pages are the system's to take back then. between runs what puts a copy in place, in microseconds, while nobody reads the
// data, for the system has no call that does so while others read; it returns when that was done, or never will be, and says whether somebody waits
// for what is computed. Hold is called once, when nothing that Discard is given is among the data.
func (c *Checkpoint) Hold(data [][]byte, room func(bytes int64) bool, between func(func()) (busy bool)) {
	h := &c.holder
	h.mu.Lock()
	defer h.mu.Unlock()
	h.quit, h.released, h.parts = make(chan struct{}), make(chan struct{}, 1), c.parts(data)
	h.running.Go(func() {
		c.ahead.running.Wait()
		h.run(room, between)
	})
}

// Release gives back the memory of all copies: what they stand for is read from the file again, and after a minute they are made anew if
// there is room. Nobody reads meanwhile.
func (c *Checkpoint) Release() { c.holder.release() }

// stop returns when nothing is being copied any more, and gives up what waits.
func (h *holder) stop() {
	if h.quit == nil {
		return
	}
	close(h.quit)
	h.running.Wait()
	h.quit = nil
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.parts {
		h.parts[i].forget()
	}
}

func (h *holder) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	note(h.released)
	for i := range h.parts {
		h.parts[i].release()
	}
}

// parts cuts data into what can be held: all that follows each other in a file is one, up to its last whole huge pages.
func (c *Checkpoint) parts(data [][]byte) (list []part) {
	var runs []stretch
	for _, d := range data {
		if m, from := c.fileOf(d); m != nil {
			runs = append(runs, stretch{m, from, min(from+len(d), len(m.data))})
		}
	}
	slices.SortFunc(runs, func(x, y stretch) int {
		return cmp.Or(slices.Index(c.files, x.file)-slices.Index(c.files, y.file), x.from-y.from)
	})
	for i := 0; i < len(runs); {
		run := runs[i]
		for i++; i < len(runs) && runs[i].file == run.file && runs[i].from-run.to < holdPadding; i++ {
			run.to = max(run.to, runs[i].to)
		}
		first := uintptr(unsafe.Pointer(unsafe.SliceData(run.file.data)))
		from := int((first+uintptr(run.from)+hugePage-1)&^(hugePage-1) - first)
		to := int((first+uintptr(run.to))&^(hugePage-1)) - int(first)
		for ; from < to; from += holdPiece {
			list = append(list, part{stretch: stretch{run.file, from, min(from+holdPiece, to)}})
		}
	}
	return list
}

// note tells a goroutine something that it may know already.
func note(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (h *holder) run(room func(int64) bool, between func(func()) bool) {
	for wait := holdSoonest; ; wait = min(2*wait, holdLatest) {
		left, err := h.copyMore(room, between)
		if err != nil || len(h.parts) < 2 {
			return // the file is another one by now, the system does not do this, or there is hardly anything in it
		}
		var again <-chan time.Time
		if left > 0 {
			again = time.After(wait)
		}
		select {
		case <-h.quit:
			return
		case <-again:
		case <-h.released:
			select {
			case <-h.quit:
				return
			case <-time.After(holdLatest):
			}
		}
	}
}

// copyMore copies what it can and has it put in place: how many parts are left.
func (h *holder) copyMore(room func(int64) bool, between func(func()) bool) (left int, err error) {
	for i := range h.parts {
		select {
		case <-h.quit:
			return left, nil
		default:
		}
		began := time.Now()
		copied, err := h.copyPart(i, room)
		if err != nil {
			return left, err
		}
		if copied {
			took := time.Since(began)
			h.rest(took, between(func() { h.exchange(i) }))
		}
		if !h.has(i) {
			left++
		}
	}
	return left, nil
}

// copyPart makes a copy that waits to be put in place, if there is none, there is room, and nobody needed the memory a moment ago.
func (h *holder) copyPart(i int, room func(int64) bool) (copied bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := &h.parts[i]
	if p.copied == nil && !p.held && len(h.released) == 0 && p.inMemory() && room(int64(p.to-p.from)) {
		p.copied, err = p.copy()
	}
	return p.copied != nil, err
}

func (h *holder) exchange(i int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.parts[i].exchange()
}

func (h *holder) has(i int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.parts[i].held
}

// rest leaves the processor to others after a copy that took so long.
func (h *holder) rest(took time.Duration, busy bool) {
	times := holdRest
	if busy {
		times = holdRestBusy
	}
	select {
	case <-h.quit:
	case <-time.After(time.Duration(times) * took):
	}
}

// copy makes a copy in memory of the process's own, in huge pages.
func (p *part) copy() ([]byte, error) {
	size := uintptr(p.to - p.from)
	all, err := unix.MmapPtr(-1, 0, nil, size+hugePage, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, err
	}
	skip := -uintptr(all) & (hugePage - 1)
	from := unsafe.Add(all, skip)
	if skip > 0 {
		_ = unix.MunmapPtr(all, skip)
	}
	_ = unix.MunmapPtr(unsafe.Add(from, size), hugePage-skip)
	copied := unsafe.Slice((*byte)(from), size)
	_ = unix.Madvise(copied, unix.MADV_HUGEPAGE) // a kernel without them has small ones
	if err = p.read(copied); err == nil {
		err = unix.Mprotect(copied, unix.PROT_READ)
	}
	if err != nil {
		_ = unix.MunmapPtr(from, size)
		return nil, err
	}
	return copied, nil
}

// read reads what is mapped, from the file: a page that is not there is an error and no signal.
func (p *part) read(to []byte) error {
	if _, err := io.ReadFull(io.NewSectionReader(p.file.file, int64(p.from), int64(len(to))), to); err != nil {
		return err
	}
	return p.file.unchanged()
}

// exchange moves a copy's pages to where the file is mapped. If that fails the file stays.
func (p *part) exchange() {
	if p.copied == nil {
		return
	}
	size := uintptr(len(p.copied))
	_, err := unix.MremapPtr(unsafe.Pointer(unsafe.SliceData(p.copied)), size, p.address(), size, unix.MREMAP_MAYMOVE|unix.MREMAP_FIXED)
	if err != nil {
		p.forget()
		return
	}
	p.copied, p.held = nil, true
}

// forget gives up a copy that waits.
func (p *part) forget() {
	if p.copied != nil {
		_ = unix.MunmapPtr(unsafe.Pointer(unsafe.SliceData(p.copied)), uintptr(len(p.copied)))
		p.copied = nil
	}
}

// release maps the file again.
func (p *part) release() {
	p.forget()
	if p.held {
		_, err := unix.MmapPtr(int(p.file.file.Fd()), int64(p.from), p.address(), uintptr(p.to-p.from), unix.PROT_READ, unix.MAP_SHARED|unix.MAP_FIXED)
		p.held = err != nil
	}
}

func (p *part) address() unsafe.Pointer {
	return unsafe.Pointer(unsafe.SliceData(p.file.data[p.from:]))
}
