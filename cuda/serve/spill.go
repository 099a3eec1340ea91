package serve

import (
	"sync/atomic"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/engine"
	"github.com/inference-pio/inference-pio/sdk/plan"
)

// spill.go is the part of the host's memory that takes what the cache has no room for. The engine decides what goes there (engine.Spiller);
// here are the places, what they cost, and how much of them there may be. A place holds a block, or the state of one sequence, of all layers: of
// those on the CPU too, since a block has the same number in every layer.

// spill is those places. Only the engine's loop calls it, but for limit and used.
type spill struct {
	host  cuda.Device // the CPU, whose ledger counts
	specs []nn.CacheSpec
	rates []float64 // by device of the residency: of a copy to or from the host's memory
	place *residency
	kinds [2]spillKind // blocks, states
	most  int64        // that the layout has for it
	limit atomic.Int64
	used  atomic.Int64 // bytes taken of the host's memory, also by places that are free
}

// spillKind is the places of one kind.
type spillKind struct {
	size  nn.Size // one of it
	bytes int64
	list  []spillPlace
	free  []int32 // places that have memory
	bare  []int32 // and those that have none
}

// spillPlace is one.
type spillPlace struct {
	mem    cuda.Memory
	layers [][]cuda.Tensor
}

// newSpill has no more than so many bytes.
func newSpill(devices []cuda.Device, specs []nn.CacheSpec, place *residency, limit int64) *spill {
	s := &spill{host: devices[0], specs: specs, place: place, most: limit}
	s.kinds[0].size, s.kinds[1].size = nn.Size{Blocks: 1}, nn.Size{Slots: 1}
	for i := range s.kinds {
		for _, spec := range specs {
			s.kinds[i].bytes += spec.Bytes(s.kinds[i].size)
		}
	}
	s.limit.Store(limit)
	if limit == 0 || len(devices) == 1 {
		return s // and the rates, which take a moment to measure, are not needed
	}
	for n, d := range devices {
		rates := d.Rates()
		if s.rates = append(s.rates, rates.Copy); n == 0 {
			s.rates[n] = rates.Read / 2 // it is read and written
		}
	}
	return s
}

// bound says how much of a budget of the CPU, which is 0 for no limit, may be spilled to, and whether that is less than is taken: what the model
// has there besides, and what its layers have on other devices and might have to bring back, goes before.
func (s *spill) bound(budget int64) bool {
	limit := s.most
	if budget > 0 {
		limit = min(limit, max(0, budget-(s.host.Usage().Used-s.used.Load())-s.away()))
	}
	s.limit.Store(limit)
	return s.over()
}

// away is what the layers keep on devices besides the CPU.
func (s *spill) away() (n int64) {
	s.place.mu.Lock()
	defer s.place.mu.Unlock()
	for _, p := range s.place.layers {
		if p.dev > 0 {
			n += p.m.StateBytes()
		}
	}
	return n
}

// report tells of it, with what the engine counted.
func (s *spill) report(e engine.Stats) sdk.SpillReport {
	blocks, states := uint64(s.kinds[0].bytes), uint64(s.kinds[1].bytes)
	return sdk.SpillReport{Budget: s.limit.Load(), Used: s.used.Load(), Saved: e.Spill.Saved, Resumed: e.ResumedTokens,
		Out:     e.Spill.OutBlocks*blocks + e.Spill.OutStates*states,
		Back:    e.Spill.BackBlocks*blocks + e.Spill.BackStates*states,
		Dropped: e.Spill.DroppedBlocks*blocks + e.Spill.DroppedStates*states}
}

func (s *spill) kind(state bool) *spillKind {
	if state {
		return &s.kinds[1]
	}
	return &s.kinds[0]
}

// worth implements engine.Spiller. Where all of the cache is in the host's memory already, nothing is.
func (s *spill) worth(t engine.Trade) bool {
	limit := s.limit.Load()
	if t.Blocks > 0 && s.kinds[0].bytes > limit || t.States > 0 && s.kinds[1].bytes > limit {
		return false
	}
	links, away := s.links(t)
	if !away {
		return false
	}
	c := plan.Spill{Links: links, Positions: t.Positions, RowSeconds: t.Row, Chance: t.Chance}
	if t.Chance > 0 {
		return c.Out()
	}
	return c.Back()
}

// links says what a trade copies of each device, and whether any of them has memory of its own.
func (s *spill) links(t engine.Trade) (links []plan.Link, away bool) {
	s.place.mu.Lock()
	defer s.place.mu.Unlock()
	links = make([]plan.Link, len(s.rates))
	for n, spec := range s.specs {
		dev := s.place.layers[n].dev
		if dev >= len(links) {
			continue
		}
		away = away || dev > 0
		links[dev].Bytes += int64(t.Blocks)*spec.Bytes(s.kinds[0].size) + int64(t.States)*spec.Bytes(s.kinds[1].size)
		links[dev].Rate = s.rates[dev]
	}
	return links, away
}

// take implements engine.Spiller.
func (s *spill) take(state bool) (int32, bool) {
	k := s.kind(state)
	if n := len(k.free); n > 0 && s.used.Load() <= s.limit.Load() {
		at := k.free[n-1]
		k.free = k.free[:n-1]
		return at, true
	}
	if s.used.Load()+k.bytes > s.limit.Load() {
		s.release() // places of the other kind
	}
	if s.used.Load()+k.bytes > s.limit.Load() {
		return -1, false
	}
	p, err := s.make(k)
	if err != nil {
		return -1, false // others have taken the memory, which the ledger has said no to
	}
	if n := len(k.bare); n > 0 {
		at := k.bare[n-1]
		k.bare, k.list[at] = k.bare[:n-1], p
		return at, true
	}
	k.list = append(k.list, p)
	return int32(len(k.list) - 1), true
}

// make takes the memory of a place.
func (s *spill) make(k *spillKind) (p spillPlace, err error) {
	if p.mem, err = s.host.Alloc(k.bytes, cuda.ForState); err != nil {
		return p, err
	}
	offset := int64(0)
	for _, spec := range s.specs {
		layer, err := spec.Lay(s.host, p.mem, offset, k.size)
		if err != nil {
			s.host.Free(p.mem)
			return p, err
		}
		p.layers, offset = append(p.layers, layer), offset+spec.Bytes(k.size)
	}
	s.used.Add(k.bytes)
	return p, nil
}

// drop implements engine.Spiller. The memory is kept for the next, unless there is too much of it.
func (s *spill) drop(state bool, at int32) {
	k := s.kind(state)
	k.free = append(k.free, at)
	if s.over() {
		s.release()
	}
}

// over implements engine.Spiller.
func (s *spill) over() bool { return s.used.Load() > s.limit.Load() }

// release gives back the memory of free places.
func (s *spill) release() {
	for i := range s.kinds {
		k := &s.kinds[i]
		for _, at := range k.free {
			s.unmake(k, at)
		}
		k.bare, k.free = append(k.bare, k.free...), k.free[:0]
	}
}

func (s *spill) unmake(k *spillKind, at int32) {
	p := &k.list[at]
	if p.mem.Bytes() == 0 {
		return
	}
	s.host.Free(p.mem)
	s.used.Add(-k.bytes)
	*p = spillPlace{}
}

// close gives back all of it. No step runs any more.
func (s *spill) close() {
	for i := range s.kinds {
		for at := range s.kinds[i].list {
			s.unmake(&s.kinds[i], int32(at))
		}
	}
}

// copy makes one copy between a cache and a place, in every layer, in the queue of the device where the layer lies: unlike ops it needs nothing
// of a layer but its states. Within a step, before a layer is entered.
func (s *spill) copy(step *cuda.Step, caches []*nn.Cache, c engine.Copy) {
	out := c.Host == engine.ToHost
	at, row := c.From, c.To
	if out {
		at, row = c.To, c.From
	}
	layers := s.kind(c.State).list[at].layers
	for n, cache := range caches {
		states := cache.Paged
		if c.State {
			states = cache.Fixed
		}
		q := step.Queue(s.place.layers[n].dev)
		for i, state := range states {
			here, there := state.Tensor().Slice(int(row), int(row)+1), layers[n][i]
			if out {
				q.CopyOut(there, here)
			} else {
				q.CopyIn(here, there)
			}
		}
	}
}

// Worth implements engine.Spiller.
func (t *stepper) Worth(trade engine.Trade) bool { return t.spill.worth(trade) }

// Take implements engine.Spiller.
func (t *stepper) Take(state bool) (int32, bool) { return t.spill.take(state) }

// Drop implements engine.Spiller.
func (t *stepper) Drop(state bool, place int32) { t.spill.drop(state, place) }

// Over implements engine.Spiller.
func (t *stepper) Over() bool { return t.spill.over() }
