package far_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/far"
)

// programs_test.go runs random programs over the CPU and two devices with two queues each. With all their waits they give the numbers of
// running at once, and nobody is accused; without one of them somebody is accused exactly if the test's own reckoning, which
// follows the text of a program and not its run, finds two uses that nothing orders.

const (
	actors   = 5 // 0: the CPU, 1 and 2: the first device's queues, 3 and 4: the second's
	perPlace = 3 // buffers
	pieces   = 4 // of a buffer
	piece    = 16
)

// part is some pieces of a buffer: places are the CPU and two devices.
type part struct{ place, buffer, from, to int }

func (a part) meets(b part) bool {
	return a.place == b.place && a.buffer == b.buffer && a.from < b.to && b.from < a.to
}

// act is one op or copy of an actor, or, with waits >= 0, its waiting for all that another act's actor had to do up to then.
type act struct {
	actor  int
	writes part
	reads  []part
	waits  int
}

func placeOf(actor int) int { return (actor + 1) / 2 }

// newProgram makes acts with every wait that they need, and perhaps some that they do not.
func newProgram(rng *rand.Rand, length int) (acts []act) {
	some := func(place int) part {
		from := rng.IntN(pieces - 1)
		return part{place, rng.IntN(perPlace), from, from + 2}
	}
	for made := 0; made < length; made++ {
		a := act{actor: rng.IntN(actors), waits: -1}
		here := placeOf(a.actor)
		switch {
		case here == 0 || rng.IntN(2) == 0:
			a.writes, a.reads = some(here), []part{some(here), some(here)}
		case rng.IntN(2) == 0:
			a.writes, a.reads = some(here), []part{some(0)}
		default:
			a.writes, a.reads = some(0), []part{some(here)}
		}
		for { // the newest first, which is often enough
			i := unordered(append(acts[:len(acts):len(acts)], a), len(acts))
			if i < 0 {
				break
			}
			acts = append(acts, act{actor: a.actor, waits: i})
		}
		if acts = append(acts, a); rng.IntN(2) == 0 { // a wait that is perhaps of no use
			acts = append(acts, act{actor: rng.IntN(actors), waits: rng.IntN(len(acts))})
		}
	}
	return acts
}

// unordered is the last act before act n that conflicts with it and that nothing orders with it; -1 if there is none.
func unordered(acts []act, n int) int {
	before := make([][]bool, len(acts)) // of each act: which come before
	knows := make([][]bool, actors)     // of each actor: which have, when all that it has to do is done
	for i := range knows {
		knows[i] = make([]bool, len(acts))
	}
	learn := func(actor int, from []bool) {
		for i, b := range from {
			knows[actor][i] = knows[actor][i] || b
		}
	}
	for i, a := range acts[:n+1] {
		if a.actor != 0 {
			learn(a.actor, knows[0]) // what the CPU knew when it added the act
		}
		if a.waits >= 0 {
			learn(a.actor, before[a.waits])
			knows[a.actor][a.waits] = true
			continue
		}
		before[i] = slices.Clone(knows[a.actor])
		knows[a.actor][i] = true
	}
	for i := n - 1; i >= 0; i-- {
		if acts[n].waits < 0 && acts[i].waits < 0 && conflict(acts[i], acts[n]) && !before[n][i] {
			return i
		}
	}
	return -1
}

func conflict(a, b act) bool {
	if a.writes.meets(b.writes) {
		return true
	}
	return slices.ContainsFunc(b.reads, a.writes.meets) || slices.ContainsFunc(a.reads, b.writes.meets)
}

func racy(acts []act) bool {
	for n := range acts {
		if unordered(acts, n) >= 0 {
			return true
		}
	}
	return false
}

// machine runs programs.
type machine struct {
	t       *testing.T
	devices []cuda.Device
	queues  []cuda.Queue // by actor
	buffers [3][perPlace]cuda.Tensor
}

func newMachine(t *testing.T, devices ...cuda.Device) *machine {
	m := &machine{t: t, devices: devices}
	m.queues = append(m.queues, devices[0].NewQueue())
	for _, d := range devices[1:] {
		m.queues = append(m.queues, d.NewQueue(), d.NewQueue())
	}
	for place, d := range devices {
		for i := range perPlace {
			mem, err := d.Alloc(pieces*piece*4, cuda.ForState)
			must(t, err)
			m.buffers[place][i], err = cuda.DeviceTensor(d, mem, 0, cuda.F32, pieces*piece)
			must(t, err)
			m.put(m.buffers[place][i], float32(1+place*perPlace+i))
		}
	}
	return m
}

func (m *machine) put(to cuda.Tensor, first float32) {
	values := make([]float32, to.Len())
	for i := range values {
		values[i] = first + float32(i)/64
	}
	from, err := cuda.FromF32(values)
	must(m.t, err)
	if to.Device() == nil {
		copy(to.F32(), values)
		return
	}
	q := m.queueOf(to)
	q.CopyIn(to, from)
	must(m.t, q.Sync())
}

func (m *machine) queueOf(t cuda.Tensor) cuda.Queue {
	if t.Device() == m.devices[1] {
		return m.queues[1]
	}
	return m.queues[3]
}

func (m *machine) at(p part) cuda.Tensor {
	return m.buffers[p.place][p.buffer].Slice(p.from*piece, p.to*piece)
}

// run is the error that the queues tell in the end.
func (m *machine) run(acts []act) error {
	marks := make([]cuda.Event, len(acts))
	for i, a := range acts {
		q := m.queues[a.actor]
		switch {
		case a.waits >= 0:
			q.Wait(marks[a.waits])
		case len(a.reads) == 2:
			q.Run(add(m.at(a.writes), m.at(a.reads[0]), m.at(a.reads[1])))
		case a.writes.place == 0:
			q.CopyOut(m.at(a.writes), m.at(a.reads[0]))
		default:
			q.CopyIn(m.at(a.writes), m.at(a.reads[0]))
		}
		marks[i] = q.Mark()
	}
	var errs []error
	for _, q := range m.queues {
		errs = append(errs, q.Sync())
	}
	return errors.Join(errs...)
}

// contents of all buffers.
func (m *machine) contents() (all []float32) {
	for _, place := range m.buffers {
		for _, b := range place {
			if b.Device() == nil {
				all = append(all, b.F32()...)
				continue
			}
			to, err := cuda.FromF32(make([]float32, b.Len()))
			must(m.t, err)
			q := m.queueOf(b)
			q.CopyOut(to, b)
			must(m.t, q.Sync())
			all = append(all, to.F32()...)
		}
	}
	return all
}

// close frees what the machine has.
func (m *machine) close() {
	for _, q := range m.queues {
		q.Close()
	}
	for place, list := range m.buffers {
		for _, b := range list {
			m.devices[place].Free(cuda.NewMemory(b.Pointer(), b.Bytes(), cuda.ForState))
		}
	}
}

func TestRandomPrograms(t *testing.T) {
	c := cpu.New(1)
	defer c.Close()
	removed, accused := 0, 0
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 3))
		acts := newProgram(rng, 40)
		now := newMachine(t, c, far.New("a", 0, 0, 0, c), far.New("b", 0, 0, 0, c))
		must(t, now.run(acts))
		want := now.contents()
		now.close()
		without := slices.Clone(acts)
		var waits []int
		for i, a := range acts {
			if a.waits >= 0 {
				waits = append(waits, i)
			}
		}
		i := waits[rng.IntN(len(waits))]
		without[i].waits = i // for itself, which is before it anyway
		for _, p := range []far.Pace{far.Last(), far.Own(), far.Random(seed)} {
			l := far.NewMachine(c, p)
			m := newMachine(t, l.CPU(), l.Device("a", 0, 0, 0), l.Device("b", 0, 0, 0))
			if err := m.run(acts); err != nil {
				t.Fatalf("program %d, %v: %v", seed, p, err)
			}
			if got := m.contents(); !slices.Equal(got, want) {
				t.Fatalf("program %d, %v: other numbers than at once", seed, p)
			}
			err := m.run(without)
			if racy(without) != (err != nil) || (err != nil) != (len(l.Faults()) > 0) {
				t.Fatalf("program %d, %v, without wait %d: told %v; is it missed: %v", seed, p, i, err, racy(without))
			}
			if removed++; err != nil {
				accused++
			}
			m.close()
		}
	}
	if accused < removed/4 || accused == removed {
		t.Error("the programs are of one kind only")
	}
	t.Logf("%d waits were removed; %d were missed and accused, %d had another path", removed, accused, removed-accused)
}
