package serve

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/clock"
	"github.com/inference-pio/inference-pio/cuda/far"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/plan"
)

// pinning_test.go holds which pages are registered, and for how long, with a driver that refuses what a real one does.

// clerk is such a driver.
type clerk struct {
	t    *testing.T
	gate chan struct{} // nil, or each call takes one
	most int           // calls that it takes; the next ones it refuses. 0: all

	mu     sync.Mutex
	pieces map[uintptr]int // bytes, by address
	calls  int
	peak   int
}

var errRefused = errors.New("it takes no more")

func (c *clerk) Registers() bool { return true }

func (c *clerk) Register(memory []byte) error {
	if c.gate != nil {
		<-c.gate
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	from, to := ends(memory)
	if page := uintptr(unix.Getpagesize()); from%page != 0 || to%page != 0 || from == to {
		c.t.Errorf("%d bytes at %#x are no whole pages", len(memory), from)
	}
	for at, n := range c.pieces {
		if at < to && from < at+uintptr(n) {
			c.t.Errorf("%d bytes at %#x are registered, and %d at %#x were", len(memory), from, n, at)
		}
	}
	if c.calls++; c.most > 0 && c.calls > c.most {
		return errRefused
	}
	c.pieces[from] = len(memory)
	c.peak = max(c.peak, len(c.pieces))
	return nil
}

func (c *clerk) Unregister(memory []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	from, _ := ends(memory)
	if c.pieces[from] != len(memory) {
		c.t.Errorf("%d bytes at %#x are unregistered, and were not registered", len(memory), from)
	}
	delete(c.pieces, from)
	return nil
}

func (c *clerk) Has(memory []byte) bool {
	of, _ := c.has(memory)
	return of == len(memory)
}

// has says how much of memory is registered, and how much is in all.
func (c *clerk) has(memory []byte) (of, all int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	from, to := ends(memory)
	for at, n := range c.pieces {
		all += n
		of += int(max(min(to, at+uintptr(n)), from) - max(min(at, to), from))
	}
	return of, all
}

// library is memory in which modules lie, in order, and the pinning of them.
type library struct {
	*pinning
	*clerk
	memory  []byte
	modules []*cuda.Module
}

// newLibrary has modules of these bytes lie one behind the other, with so much of nothing between.
func newLibrary(t *testing.T, between int, sizes ...int) *library {
	t.Helper()
	all := 64
	for _, n := range sizes {
		all += n + between
	}
	l := &library{clerk: &clerk{t: t, pieces: map[uintptr]int{}}}
	var err error
	if l.memory, err = unix.Mmap(-1, 0, all, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON); err != nil {
		t.Fatal(err)
	}
	at := 64 // tensors begin anywhere in a page
	for i, n := range sizes {
		m := &cuda.Module{ID: fmt.Sprintf("layers.%d", i), Layer: i}
		for _, part := range [][2]int{{0, n / 3 &^ 63}, {n / 3 &^ 63, n}} { // each of two tensors
			file, err := cuda.HostMatrix(cuda.Plain(cuda.F32), 1, (part[1]-part[0])/4, l.memory[at+part[0]:at+part[1]])
			if err != nil {
				t.Fatal(err)
			}
			cuda.NewWeight((part[1]-part[0])/4).Bind(m.ID, m, file)
		}
		at += n + between
		l.modules = append(l.modules, m)
	}
	l.pinning = &pinning{with: l.clerk, clock: clock.Real(), modules: l.modules, room: func(int64) bool { return true },
		there: func([]byte) bool { return true }, where: func(*cuda.Weight, []byte) lying { return mappedFile }}
	t.Cleanup(func() {
		l.close()
		if _, all := l.has(l.memory); all != 0 {
			t.Errorf("in the end %d bytes are registered", all)
		}
		unix.Munmap(l.memory)
	})
	return l
}

// of is what of a module is registered, of all of it.
func (l *library) of(i int) float64 {
	is, all := 0, 0
	for _, data := range dataOf(l.modules[i]) {
		n, _ := l.has(data)
		is, all = is+n, all+len(data)
	}
	return float64(is) / float64(all)
}

// are says which modules are registered, whole.
func (l *library) are(want ...bool) {
	l.clerk.t.Helper()
	for i, w := range want {
		if is := l.of(i); is != map[bool]float64{true: 1}[w] {
			l.clerk.t.Errorf("%.2f of module %d is registered; want %v", is, i, w)
		}
	}
}

// settled waits until there is nothing to do now.
func (l *library) settled() { l.work.Wait() }

// Pages in which one tensor ends and another begins are registered once, for as long as one of them is wanted.
func TestTensorsSharePages(t *testing.T) {
	l := newLibrary(t, 0, 3*pinPiece+192, 1024, 2*pinPiece+64, 640)
	l.want(l.modules)
	l.settled()
	l.are(true, true, true, true)
	if _, all := l.has(l.memory); all > (len(l.memory)+4095)&^4095 {
		t.Errorf("%d bytes are registered, of %d", all, len(l.memory))
	}
	l.want(l.modules[1:2])
	l.settled()
	if _, all := l.has(l.memory); all > pinPiece {
		t.Errorf("for a module of 1024 bytes %d are registered", all)
	}
	if l.of(1) != 1 {
		t.Error("it is not all there")
	}
	if !l.direct(l.modules[1]) {
		t.Error("what is registered is copied through pinned memory")
	}
	l.want(nil)
	l.settled()
	l.are(false, false, false, false)
	if l.direct(l.modules[1]) {
		t.Error("what is not registered is copied from where it lies")
	}
}

// How much of what is fetched again and again is registered is told while the work goes on, and only of what is wanted now.
func TestHowMuchIsRegisteredIsTold(t *testing.T) {
	l := newLibrary(t, 0, 2*pinPiece, 2*pinPiece)
	told := func(what string, modules, pieces int) {
		t.Helper()
		fetched, registered := l.share()
		if off := registered - int64(pieces*pinPiece); fetched != int64(modules*2*pinPiece) || off > 0 || off < -pinPiece {
			t.Errorf("%s: %d of %d bytes are registered", what, registered, fetched)
		}
		if staged := 1 - float64(registered)/float64(max(1, fetched)); l.staged() != staged {
			t.Errorf("%s: %g go through pinned memory, not %g", what, l.staged(), staged)
		}
	}
	told("nothing is wanted", 0, 0)
	l.gate = make(chan struct{})
	l.want(l.modules)
	told("nothing is registered yet", 2, 0)
	l.gate <- struct{}{}
	l.gate <- struct{}{}
	l.gate <- struct{}{} // the second piece is there when it is asked for the third
	told("two pieces and something", 2, 3)
	close(l.gate)
	l.settled()
	told("all", 2, 4)
	l.want(l.modules[:1])
	l.settled()
	told("of what is wanted no more nothing is counted", 1, 2)
	l.with = nil
	if l.staged() != 0 {
		t.Error("where no driver registers there is one way, and another is counted with")
	}
	l.with = l.clerk
}

// Nothing is registered where others may have something, nor twice what is wanted twice.
func TestOnlyWeightsOfTheirOwnAreRegistered(t *testing.T) {
	l := newLibrary(t, 8192, 9000*4, 5000*4)
	l.where = func(w *cuda.Weight, _ []byte) lying {
		if w.Module == l.modules[0] {
			return elsewhere
		}
		return inMemory
	}
	l.want([]*cuda.Module{l.modules[1], l.modules[0], l.modules[1]})
	l.settled()
	l.are(false, true)
}

// What has been given back stays away for a minute, and until the machine has room.
func TestGivenBackForAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, room := newLibrary(t, 0, 3*pinPiece), true
		var mu sync.Mutex
		l.room = func(int64) bool { mu.Lock(); defer mu.Unlock(); return room }
		have := func(now bool) { mu.Lock(); defer mu.Unlock(); room = now }
		l.want(l.modules)
		synctest.Wait()
		l.are(true)
		l.giveBack()
		synctest.Wait()
		l.are(false)
		time.Sleep(pinLatest - time.Second)
		l.are(false)
		have(false)
		time.Sleep(2 * time.Second)
		l.are(false)
		have(true)
		time.Sleep(pinLatest)
		l.are(true)
		l.close()
	})
}

// A piece that is on the disk alone is left there until it has been read.
func TestWhatIsOnTheDiskComesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLibrary(t, 0, pinPiece, pinPiece, pinPiece)
		var mu sync.Mutex
		read := false
		l.there = func(b []byte) bool {
			mu.Lock()
			defer mu.Unlock()
			from, _ := ends(b)
			begin, _ := ends(l.memory)
			return read || from != begin+pinPiece
		}
		l.want(l.modules)
		synctest.Wait()
		if _, all := l.has(l.memory); all >= 3*pinPiece {
			t.Errorf("%d bytes are registered, and %d are not in memory", all, pinPiece)
		}
		mu.Lock()
		read = true
		mu.Unlock()
		time.Sleep(2 * pinSoonest)
		l.are(true, true, true)
		l.close()
	})
}

// logged is what is logged until the test ends.
func logged(t *testing.T) *bytes.Buffer {
	var b bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&b, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	return &b
}

// A driver that takes no more keeps what it has taken, is not asked again, and is told of once.
func TestARefusalIsToldOnce(t *testing.T) {
	log := logged(t)
	l := newLibrary(t, 0, 9*pinPiece, pinPiece)
	l.most = 3
	l.want(l.modules)
	l.settled()
	l.want(l.modules[:1])
	l.settled()
	if _, all := l.has(l.memory); all != 3*pinPiece || l.calls != 4 {
		t.Errorf("%d bytes are registered by %d calls", all, l.calls)
	}
	if n := strings.Count(log.String(), "could be given more"); n != 1 || !strings.Contains(log.String(), errRefused.Error()) {
		t.Errorf("it is told %d times: %s", n, log)
	}
}

// Where no driver registers memory that is told once, as soon as somebody would have had it.
func TestNoDriverRegisters(t *testing.T) {
	log := logged(t)
	l := newLibrary(t, 0, pinPiece)
	l.with = nil
	l.want(nil)
	l.giveBack()
	if log.Len() > 0 {
		t.Errorf("nobody wants it: %s", log)
	}
	for n := range 3 {
		l.want(l.modules[:n%2])
		l.settled()
	}
	if n := strings.Count(log.String(), "no driver here registers"); n != 1 {
		t.Errorf("it is told %d times: %s", n, log)
	}
}

// A model that is closed while its pages are registered waits for one call, and has none left.
func TestClosedWhileRegistering(t *testing.T) {
	l := newLibrary(t, 0, 20*pinPiece)
	l.gate = make(chan struct{})
	l.want(l.modules)
	l.gate <- struct{}{}
	l.gate <- struct{}{}
	closed := make(chan struct{})
	go func() { defer close(closed); l.close() }()
	for told := false; !told; time.Sleep(time.Millisecond) {
		l.pinning.mu.Lock()
		told = l.closed
		l.pinning.mu.Unlock()
	}
	for done := false; !done; {
		select {
		case <-closed:
			done = true
		case l.gate <- struct{}{}:
		}
	}
	if _, all := l.has(l.memory); all != 0 || l.calls > 4 {
		t.Errorf("%d bytes are registered, after %d calls", all, l.calls)
	}
	l.want(nil)
	l.giveBack()
	l.settled()
}

// Whatever is asked of it in whatever order, in the end it is as was asked last.
func TestPinningUnderAnyOrders(t *testing.T) {
	sizes := []int{pinPiece + 640, 64, 3 * pinPiece, 8192, 2*pinPiece - 128, 128}
	for seed := range uint64(20) {
		l := newLibrary(t, int(seed%2)*10000&^63, sizes...)
		var all sync.WaitGroup
		for g := range uint64(3) {
			r := rand.New(rand.NewPCG(seed, g))
			all.Go(func() {
				for range 30 {
					var some []*cuda.Module
					for _, m := range l.modules {
						if r.IntN(2) == 0 {
							some = append(some, m)
						}
					}
					l.want(some)
					if r.IntN(4) == 0 {
						time.Sleep(time.Duration(r.IntN(200)) * time.Microsecond)
					}
				}
			})
		}
		all.Wait()
		if seed%5 == 4 {
			l.giveBack()
			l.settled()
			if _, n := l.has(l.memory); n != 0 {
				t.Errorf("seed %d: %d bytes were not given back", seed, n)
			}
			continue
		}
		l.want(l.modules[2:3])
		l.settled()
		if l.of(2) != 1 {
			t.Errorf("seed %d: %.2f of what is wanted is registered", seed, l.of(2))
		}
		if _, n := l.has(l.memory); n > 5*pinPiece {
			t.Errorf("seed %d: %d bytes are registered for %d", seed, n, sizes[2])
		}
	}
}

// Registered are layers that are streamed, and experts of which a device has not room for all: not what comes to stay.
func TestWhatIsFetchedAgainAndAgain(t *testing.T) {
	y := newMixture(t, far.Paces()[0], 1<<20, 3, none)
	all := func(dev string, streamed int) (p plan.Plan) {
		for i := range toyLayers {
			p.Placements = append(p.Placements, sdk.Placement{Module: fmt.Sprintf("layers.%d", i), Device: dev, Streamed: i < streamed})
		}
		return p
	}
	ids := func(p plan.Plan, experts, of int) (list []string) {
		p.Caches = []plan.Cache{{}, {Experts: experts, Of: of}}
		for _, m := range y.r.fetched(p) {
			list = append(list, m.ID)
		}
		return list
	}
	expect := func(what string, got []string, want ...string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, not %v", what, got, want)
		}
	}
	expect("all on the cpu", ids(all("cpu", 0), 0, 0))
	expect("all on the device", ids(all("far", 0), 12, 12))
	expect("experts of layers on the cpu", ids(all("cpu", 0), 3, 12))
	expect("no room for an expert", ids(all("far", 0), 0, 12))
	expect("streamed", ids(all("far", 2), 0, 0), "layers.0", "layers.1")
	if got := ids(all("far", 0), 11, 12); len(got) != 12 || got[0] != "layers.0.mlp.experts.0" || got[11] != "layers.3.mlp.experts.2" {
		t.Errorf("a cache of all experts but one: %v", got)
	}
}
