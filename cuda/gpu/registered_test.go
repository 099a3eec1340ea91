//go:build cuda && cgo

package gpu

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/kernels/sim"
)

const page = 4096

// pages are whole ones with random bytes.
func pages(t *testing.T, n int) []byte {
	t.Helper()
	b, err := unix.Mmap(-1, 0, n*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(b) })
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// bytesOn is a matrix of bytes on a device, or in memory.
func bytesOn(t *testing.T, d *Device, memory []byte, n int) cuda.Matrix {
	t.Helper()
	if d == nil {
		m, err := cuda.HostMatrix(cuda.Plain(cuda.F32), 1, n/4, memory[:n])
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	m, err := cuda.MatrixOf(newBoard(t, d).shaped(cuda.F32, 1, n/4))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// back is what a device has.
func (b *board) back(m cuda.Matrix) []byte {
	b.t.Helper()
	got := make([]float32, m.Bytes()/4)
	x := host(b.t, got)
	b.q.CopyOut(x, m.Plane(0))
	b.sync()
	return slices.Clone(bytesOf(x))
}

func register(t *testing.T, d *Device, b []byte) {
	t.Helper()
	if err := d.Register(b); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Unregister(b); err != nil {
			t.Error(err)
		}
	})
}

// Weights arrive whole from memory of which none, some or all is registered, in pieces of any size; what is registered is read there, and all of it needs
// no pinned memory. That holds for all GPUs that share what is registered.
func TestWeightsAreCopiedFromWhereTheyLie(t *testing.T) {
	const all = 3*fillBytes/page + 5 // pages
	for name, cuts := range map[string][][2]int{
		"none":                    nil,
		"all":                     {{0, all}},
		"the beginning":           {{0, 100}},
		"the end":                 {{700, all}},
		"the middle":              {{511, 514}},
		"pieces in a row":         {{0, 1}, {1, 2}, {2, 700}, {700, all}},
		"pieces with gaps":        {{3, 200}, {200, 201}, {400, 1000}, {1001, 1002}},
		"more than what is asked": {{0, all + 7}},
	} {
		t.Run(name, func(t *testing.T) {
			atEveryPace(t, func(t *testing.T, s *sim.Driver) {
				shared, memory, direct := new(Registered), pages(t, all+8), 0
				first, second := open(t, Options{Registered: shared}), open(t, Options{Ordinal: 1, Registered: shared})
				for _, c := range cuts {
					register(t, first, memory[c[0]*page:c[1]*page])
					direct += (min(c[1], all) - c[0]) * page
				}
				if has := second.Has(memory[:all*page]); has != (direct == all*page) {
					t.Errorf("all is said to be registered: %v", has)
				}
				for _, d := range []*Device{first, second} {
					b, to, before := newBoard(t, d), bytesOn(t, d, nil, all*page), s.Counts()
					b.q.Fill(to, bytesOn(t, nil, memory, all*page))
					b.sync()
					now := s.Counts()
					if got := now.BytesRegistered - before.BytesRegistered; got != uint64(direct) {
						t.Errorf("%s: %d bytes were read where they lie, of %d that are registered", d.Name(), got, direct)
					}
					through := false
					for i := range b.q.filler.ring {
						through = through || b.q.filler.ring[i].memory != nil
					}
					if through != (direct < all*page) {
						t.Errorf("%s: %d of %d bytes are registered; through pinned memory: %v", d.Name(), direct, all*page, through)
					}
					if !slices.Equal(b.back(to), memory[:all*page]) {
						t.Errorf("%s has other bytes", d.Name())
					}
				}
			})
		})
	}
}

// What is no weight may change when CopyIn has returned, so that it is read before that, wherever it lies.
func TestCopyInReadsAtOnce(t *testing.T) {
	atEveryPace(t, func(t *testing.T, _ *sim.Driver) {
		d, memory := open(t, Options{Registered: new(Registered)}), pages(t, 2*fillBytes/page)
		register(t, d, memory)
		b, to, want := newBoard(t, d), bytesOn(t, d, nil, len(memory)), slices.Clone(memory)
		b.q.CopyIn(to.Plane(0), bytesOn(t, nil, memory, len(memory)).Plane(0))
		clear(memory)
		if !slices.Equal(b.back(to), want) {
			t.Error("what was written behind the copy has arrived")
		}
	})
}

// Memory stays registered until the copies from there have been waited for, and none begins any more.
func TestUnregisterWaitsForCopies(t *testing.T) {
	atEveryPace(t, func(t *testing.T, s *sim.Driver) {
		d, memory := open(t, Options{Registered: new(Registered)}), pages(t, fillBytes/page)
		if err := d.Register(memory); err != nil {
			t.Fatal(err)
		}
		b, to, before := newBoard(t, d), bytesOn(t, d, nil, len(memory)), s.Counts()
		b.q.Fill(to, bytesOn(t, nil, memory, len(memory)))
		ended := make(chan error, 1)
		go func() { ended <- d.Unregister(memory) }()
		for range 20 { // until it is out of the list
			if len(d.registered.list()) == 0 {
				break
			}
			time.Sleep(time.Millisecond)
		}
		again := newBoard(t, d)
		there := bytesOn(t, d, nil, len(memory))
		again.q.Fill(there, bytesOn(t, nil, memory, len(memory)))
		again.sync()
		select {
		case err := <-ended:
			t.Fatalf("a copy is under way, and it is unregistered: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
		b.sync()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		now := s.Counts()
		if n := now.BytesRegistered - before.BytesRegistered; n != uint64(len(memory)) {
			t.Errorf("%d bytes were read where they lie; those of the first copy are %d", n, len(memory))
		}
		for _, m := range []cuda.Matrix{to, there} {
			if !slices.Equal(b.back(m), memory) {
				t.Error("other bytes arrived")
			}
		}
	})
}

// Copies go on while pieces are registered and unregistered, at random.
func TestPiecesComeAndGoUnderCopies(t *testing.T) {
	atEveryPace(t, func(t *testing.T, s *sim.Driver) {
		const pieces, each = 8, 50 // pages
		d, memory := open(t, Options{Registered: new(Registered)}), pages(t, pieces*each)
		var all sync.WaitGroup
		stop := make(chan struct{})
		all.Go(func() {
			r, is := rand.New(rand.NewPCG(5, 6)), [pieces]bool{}
			change := func(i int) {
				b, do := memory[i*each*page:(i+1)*each*page], d.Register
				if is[i] {
					do = d.Unregister
				}
				if err := do(b); err != nil {
					t.Error(err)
				}
				is[i] = !is[i]
			}
			for {
				select {
				case <-stop:
					for i := range is {
						if is[i] {
							change(i)
						}
					}
					return
				default:
					change(r.IntN(pieces))
				}
			}
		})
		for range 2 {
			all.Go(func() {
				b, to := newBoard(t, d), bytesOn(t, d, nil, len(memory))
				for range 20 {
					b.q.Fill(to, bytesOn(t, nil, memory, len(memory)))
					if !slices.Equal(b.back(to), memory) {
						t.Error("other bytes arrived")
					}
				}
			})
		}
		time.Sleep(50 * time.Millisecond)
		close(stop)
		all.Wait()
		if n := s.Counts().Registered; n != 0 {
			t.Errorf("%d bytes are registered still", n)
		}
	})
}

// From a device that does not come to its end memory may be read still: it stays registered, and nobody waits for it.
func TestALostDeviceKeepsWhatItReads(t *testing.T) {
	if !sim.Apart(t) {
		return
	}
	s, memory := software(t), pages(t, 16)
	d, err := Open(Options{Patience: 24 * time.Hour, Registered: new(Registered)})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Register(memory); err != nil {
		t.Fatal(err)
	}
	b := &board{t, d, d.NewQueue().(*Queue)}
	to, from := bytesOn(t, d, nil, len(memory)), bytesOn(t, nil, memory, len(memory))
	d.patience = 200 * time.Millisecond
	s.Control("fail copy hang=1")
	b.q.Fill(to, from)
	if err := b.q.Sync(); err == nil {
		t.Fatal("the copy has ended")
	}
	if err := d.Unregister(memory); err != nil {
		t.Error(err)
	}
	if n := s.Counts().Registered; n != uint64(len(memory)) {
		t.Errorf("%d bytes are registered", n)
	}
}

// list is what is registered.
func (r *Registered) list() []*piece {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.pieces)
}
