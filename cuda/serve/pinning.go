package serve

import (
	"cmp"
	"log/slog"
	"slices"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/clock"
	"github.com/inference-pio/inference-pio/sdk/plan"
)

// pinning.go has GPUs fetch weights from where they lie: their pages are registered with the driver (cuda/gpu, registered.go), in the background. Kept here:
//
//   - Only of modules that are fetched again and again: to register takes longer than one copy through pinned memory does.
//   - Only where all weights are to stay in memory, and were counted when the model was given its share of it. Registered pages are the same bytes, but ones
//     that the system cannot take back: so they go when the budget shrinks, and stay away while the machine has little.
//   - Nobody waits for it. What is not registered, or cannot be, is copied as before.
//   - No page changes its address meanwhile: where there are devices besides the CPU, held.go puts no copies in the place of a file's.

const (
	pinPiece   = 4 << 20 // registered by one call, behind which others of the driver's may have to wait: a millisecond
	pinLook    = 16      // pieces, before which it is looked what memory the machine has
	pinSoonest = time.Second
	pinLatest  = time.Minute
)

// registrar is a device whose driver registers memory.
type registrar interface {
	// Registers says whether it does so with memory that this process only reads.
	Registers() bool
	Register(memory []byte) error
	Unregister(memory []byte) error
	// Has says whether all of some memory is registered.
	Has(memory []byte) bool
}

// registrarOf is the one of the devices that does; nil if there is none.
func registrarOf(devices []cuda.Device) registrar {
	for _, d := range devices {
		if r, ok := d.(registrar); ok && r.Registers() {
			return r
		}
	}
	return nil
}

// lying is where weights lie in the memory of this process.
type lying uint8

const (
	elsewhere  lying = iota // among what others have: nothing is registered there
	mappedFile              // in a mapped file, whose pages the system may take back
	inMemory                // in memory for nothing else
)

// pinning is what is registered of one model. All its methods may be called of none.
type pinning struct {
	with    registrar // nil: no driver does it
	clock   clock.Clock
	modules []*cuda.Module
	where   func(*cuda.Weight, []byte) lying
	there   func([]byte) bool      // whether pages of a file are in memory
	room    func(bytes int64) bool // whether the machine has so many bytes to spare

	mu      sync.Mutex
	wanted  []*cuda.Module
	fetched int64 // bytes of those
	anew    bool  // something of what is to be is otherwise than the work has seen it
	away    bool  // nothing is to be registered until there has been memory for a while
	closed  bool
	running bool
	work    sync.WaitGroup
	again   *time.Timer
	told    bool // that it cannot be done

	// Of the work, which only one goroutine does at a time, and changes under mu what others look at:
	pieces    []pinned // by address; nil: nobody has wanted any yet
	order     []int    // of those that are wanted
	bytes     int64    // that are registered
	evictable int64    // those of them that are a file's
	refused   bool     // by the driver, for good
	until     time.Duration
	wait      time.Duration
}

// pinned is whole pages, no more than pinPiece.
type pinned struct {
	memory        []byte
	lies          lying
	wanted, there bool
	since         time.Duration // it has been there
}

// pinning is nil where nothing is to be registered. GPUs that are only played by this machine have it as any.
func (i *instance) pinning() *pinning {
	gpus := slices.ContainsFunc(i.devices, func(d cuda.Device) bool { _, ok := d.(registrar); return ok })
	if !i.pins || !gpus {
		return nil
	}
	p := &pinning{with: registrarOf(i.devices), clock: i.imagined.clock(), modules: i.bound.Modules, there: i.held.inMemory, room: spare}
	if i.imagined != nil { // whose memory is not this machine's
		p.room = func(int64) bool { return true }
	}
	p.where = func(w *cuda.Weight, data []byte) lying {
		switch {
		case i.held.maps(data):
			return mappedFile
		case i.checkpoint == nil || w.Made():
			return inMemory
		}
		return elsewhere
	}
	return p
}

// fetched are the modules that a plan has fetched again and again: what is streamed, and experts of which a device has not room for all. What comes to stay
// is not among them, nor what leaves for another model: pages of an idle one are the system's to take.
func (r *residency) fetched(p plan.Plan) (list []*cuda.Module) {
	for _, pl := range p.Placements {
		at := r.place(pl.Module)
		dev, err := r.device(pl.Device)
		if at == nil || err != nil || at.expert {
			continue
		}
		if pl.Streamed {
			list = append(list, at.m)
		}
		if c := p.Caches[dev]; dev > 0 && at.m.Layer >= 0 && c.Experts > 0 && c.Experts < c.Of {
			for _, e := range r.experts[at.m.Layer] {
				list = append(list, e.m)
			}
		}
	}
	return list
}

// direct says whether all of a module is copied from where it lies.
func (p *pinning) direct(m *cuda.Module) bool {
	if p == nil || p.with == nil {
		return false
	}
	for _, w := range m.Weights {
		file := w.File()
		for i := range file.Layout.Planes {
			if !p.with.Has(file.Plane(i).Raw()) {
				return false
			}
		}
	}
	return true
}

// share is how many bytes are fetched again and again, and how many of them are copied from where they lie now.
func (p *pinning) share() (fetched, registered int64) {
	if p == nil {
		return 0, 0
	}
	now := p.clock.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, i := range p.order {
		if one := &p.pieces[i]; one.there && one.since <= now { // a time that is counted knows beforehand what will be
			registered += int64(len(one.memory))
		}
	}
	return p.fetched, min(p.fetched, registered) // in whole pages it is a little more
}

// staged is the part of what is fetched again and again that goes through pinned memory still. Where no driver registers all does, and nothing else is counted with.
func (p *pinning) staged() float64 {
	if p == nil || p.with == nil {
		return 0
	}
	fetched, registered := p.share()
	return 1 - float64(registered)/float64(max(1, fetched))
}

// want has the pages of these modules be registered, in this order, and no others.
func (p *pinning) want(list []*cuda.Module) {
	if p == nil {
		return
	}
	p.mu.Lock()
	same := slices.Equal(p.wanted, list)
	p.wanted, p.anew = list, p.anew || !same
	if !same {
		p.fetched = 0
		for _, m := range list {
			for _, data := range dataOf(m) {
				p.fetched += int64(len(data))
			}
		}
	}
	p.mu.Unlock()
	switch {
	case same:
	case p.with == nil:
		p.cannot(nil)
	default:
		p.begin()
	}
}

// giveBack lets the system have all pages, for a minute at least, and until there is room.
func (p *pinning) giveBack() {
	if p == nil {
		return
	}
	p.mu.Lock()
	p.away, p.anew = true, true
	p.mu.Unlock()
	p.begin()
}

// close returns when nothing is registered any more. Nothing is copied, and nothing will be.
func (p *pinning) close() {
	if p == nil {
		return
	}
	p.mu.Lock()
	p.closed, p.anew = true, true
	if p.again != nil {
		p.again.Stop()
	}
	p.mu.Unlock()
	p.work.Wait()
	for i := range p.pieces {
		p.leave(&p.pieces[i])
	}
}

// begin has the work begin, unless it is under way or there is none to be.
func (p *pinning) begin() {
	p.mu.Lock()
	begins := p.with != nil && !p.running && !p.closed
	if begins {
		p.running = true
		p.work.Add(1)
	}
	p.mu.Unlock()
	if begins {
		p.clock.Beside(func() error {
			defer p.work.Done()
			p.run()
			return nil
		})
	}
}

// run works until all is as it is to be.
func (p *pinning) run() {
	if now := p.clock.Now(); now < p.until { // in a time that is counted the work before has its time already
		p.clock.Rest(p.until - now)
	}
	for {
		wanted, away, ok := p.look()
		if !ok {
			return
		}
		p.mark(wanted)
		for i := range p.pieces {
			if one := &p.pieces[i]; away || !one.wanted {
				p.leave(one)
			}
		}
		left := 0
		if !away {
			left = p.comeAll()
		}
		p.later(left > 0, away)
	}
}

// look is what is to be; not ok: it is so.
func (p *pinning) look() (wanted []*cuda.Module, away, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || !p.anew {
		p.running, p.until = false, p.clock.Now()
		return nil, false, false
	}
	p.anew = false
	return p.wanted, p.away, true
}

// changed says that there is something to be looked at.
func (p *pinning) changed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.anew
}

// comeAll registers what is wanted, and says of how many pieces that cannot be done now. Between two it rests as long as one took, for who has a step
// to give to the driver.
func (p *pinning) comeAll() (left int) {
	began, before := p.clock.Now(), p.bytes
	for n, i := range p.order {
		one := &p.pieces[i]
		switch {
		case p.refused || p.changed():
			return 0
		case one.there:
			continue
		case n%pinLook == 0 && !p.room(p.evictable+pinLook*pinPiece):
			return len(p.order) - n
		case one.lies == mappedFile && !p.there(one.memory):
			left++
			continue
		}
		at := p.clock.Now()
		if err := p.with.Register(one.memory); err != nil {
			p.refused = true
			p.cannot(err)
			return 0
		}
		p.count(one, true)
		p.clock.Rest(p.clock.Now() - at)
	}
	if p.bytes > before {
		slog.Info("weights are copied to GPUs from where they lie: their pages are registered with the driver", "registered", plan.Size(p.bytes),
			"took", p.clock.Now()-began, "later", left)
	}
	return left
}

func (p *pinning) leave(one *pinned) {
	if one.there {
		_ = p.with.Unregister(one.memory) // what a lost device has goes with the process
		p.count(one, false)
	}
}

func (p *pinning) count(one *pinned, there bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	bytes := int64(len(one.memory))
	if one.there, one.since = there, p.clock.Now(); !there {
		bytes = -bytes
	}
	p.bytes += bytes
	if one.lies == mappedFile {
		p.evictable += bytes
	}
}

// cannot tells once that weights go through pinned memory, and what can be done about it.
func (p *pinning) cannot(err error) {
	p.mu.Lock()
	told := p.told
	p.told = true
	p.mu.Unlock()
	const text = "weights are copied to GPUs through pinned memory, which takes three times as much of the cpu's: "
	switch {
	case told:
	case err == nil:
		slog.Warn(text + "no driver here registers memory that is only read. A newer one may, and Linux by itself where this is a virtual machine or WSL")
	default:
		slog.Warn(text+"the driver refused to register more. Where a container or a virtual machine limits what may be locked, it could be given more",
			"registered", plan.Size(p.bytes), "error", err)
	}
}

// later has what is left be tried again, ever more rarely; and what was given back, in a minute.
func (p *pinning) later(left, away bool) {
	if !left && !away || !clock.IsReal(p.clock) {
		p.wait = 0
		return
	}
	p.wait = min(max(pinSoonest, 2*p.wait), pinLatest)
	if away {
		p.wait = pinLatest
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	if p.again != nil {
		p.again.Stop()
	}
	p.again = time.AfterFunc(p.wait, func() {
		p.mu.Lock()
		p.away, p.anew = false, true
		p.mu.Unlock()
		p.begin()
	})
}

// mark notes which pieces modules lie in.
func (p *pinning) mark(wanted []*cuda.Module) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pieces == nil && len(wanted) > 0 {
		p.cut()
	}
	for i := range p.pieces {
		p.pieces[i].wanted = false
	}
	p.order = p.order[:0]
	for _, m := range wanted {
		for _, data := range dataOf(m) {
			from, to := ends(data)
			i, _ := slices.BinarySearchFunc(p.pieces, from, func(one pinned, at uintptr) int {
				if _, end := ends(one.memory); end <= at {
					return -1
				}
				return 1
			})
			for ; i < len(p.pieces); i++ {
				if begin, _ := ends(p.pieces[i].memory); begin >= to {
					break
				}
				if !p.pieces[i].wanted {
					p.pieces[i].wanted, p.order = true, append(p.order, i)
				}
			}
		}
	}
}

func ends(b []byte) (from, to uintptr) {
	from = uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	return from, from + uintptr(len(b))
}

// cut makes pieces of all pages that weights lie in, each of which is there once: where one tensor ends in a page another may begin.
func (p *pinning) cut() {
	type run struct {
		at   unsafe.Pointer
		n    uintptr
		lies lying
	}
	var runs []run
	page := uintptr(unix.Getpagesize())
	for _, m := range p.modules {
		for _, w := range m.Weights {
			file := w.File()
			for i := range file.Layout.Planes {
				data := file.Plane(i).Raw()
				lies := p.where(w, data)
				if lies == elsewhere || len(data) == 0 {
					continue
				}
				from, to := ends(data)
				before := from & (page - 1)
				runs = append(runs, run{unsafe.Add(unsafe.Pointer(unsafe.SliceData(data)), -int(before)), (to+page-1)&^(page-1) - (from - before), lies})
			}
		}
	}
	slices.SortFunc(runs, func(a, b run) int { return cmp.Compare(uintptr(a.at), uintptr(b.at)) })
	for i := 0; i < len(runs); {
		all := runs[i]
		for i++; i < len(runs) && runs[i].lies == all.lies && uintptr(runs[i].at) <= uintptr(all.at)+all.n; i++ {
			all.n = max(all.n, uintptr(runs[i].at)+runs[i].n-uintptr(all.at))
		}
		for at := uintptr(0); at < all.n; at += pinPiece {
			p.pieces = append(p.pieces, pinned{memory: unsafe.Slice((*byte)(unsafe.Add(all.at, at)), min(pinPiece, all.n-at)), lies: all.lies})
		}
	}
}
