// search.go divides the layers between the devices: each device in its turn takes a run of layers, and which border between two of them is
// best follows from the best ways to get there. For each device and border every number of layers that stay and that are
// streamed is tried, some thousands of cases of one addition each.

package plan

import (
	"cmp"
	"iter"
	"math"
	"slices"
)

// value is what a way to use the devices takes. It is the time itself and not what is saved of the CPU's, beside which a fast device's layers
// would be lost in rounding.
type value struct {
	seconds  float64
	streamed int // layers
}

// unreached takes longer than anything: no way leads there.
var unreached = value{seconds: math.Inf(1)}

// better prefers time, then less to copy.
func (v value) better(than value) bool {
	const same = 1e-9 // relative: below it two sums differ only by rounding
	if than == unreached {
		return true
	}
	if gain := than.seconds - v.seconds; math.Abs(gain) > same*math.Abs(than.seconds) {
		return gain > 0
	}
	return v.streamed < than.streamed
}

// split is one way to use a device: of the layers from one on, the first stay there and the streamed ones behind them pass through.
type split struct {
	from, resident, streamed int
	bytes                    int64 // without the buffer
	buffer                   int64
	seconds                  float64 // of its layers, less what others save in the room that it leaves
}

func (s *split) until() int { return s.from + s.resident + s.streamed }

// divide puts the layers on the devices.
func (p *planner) divide() {
	for d, dev := range p.in.Devices {
		p.streams = append(p.streams, d > 0 && dev.CopyRate > 0 && (p.cpuOver(0) > 0 || slices.ContainsFunc(p.layers, func(i int) bool {
			return p.modules[i].seconds[0] > max(p.modules[i].seconds[d], p.modules[i].copySeconds(dev))
		})))
	}
	best := slices.Repeat([]value{unreached}, len(p.layers)+1) // by the number of layers that the devices so far have
	best[0] = value{}
	choices := make([][]split, len(p.in.Devices))
	for d := 1; d < len(p.in.Devices); d++ {
		before := slices.Clone(best)
		choices[d] = make([]split, len(best))
		for n := range choices[d] {
			choices[d][n] = split{from: n}
		}
		for from := len(p.layers) - 1; from >= 0; from-- { // of equal ways the one that needs this device least
			if before[from] == unreached {
				continue
			}
			for s := range p.splits(d, from) {
				v := value{before[from].seconds + s.seconds, before[from].streamed + s.streamed}
				if n := s.until(); v.better(best[n]) {
					best[n], choices[d][n] = v, s
				}
			}
		}
	}
	n := p.choose(best)
	for d := len(p.in.Devices) - 1; d > 0; d-- {
		s := choices[d][n]
		p.take(d, s)
		n = s.from
	}
}

// choose is how many layers leave the CPU: so many that its budget holds the state of the others, then so many that a pass is quickest, then
// the fewest.
func (p *planner) choose(best []value) (chosen int) {
	over, moved := p.cpuOver(0), int64(0)
	whole := func(n int) value { // with the layers that stay on the CPU
		v := best[n]
		for _, i := range p.layers[n:] {
			v.seconds += p.modules[i].seconds[0]
		}
		return v
	}
	for n := 1; n < len(best); n++ {
		moved += p.modules[p.layers[n-1]].state
		if best[n] == unreached {
			continue
		}
		if o := p.cpuOver(moved); o < over || o == over && whole(n).better(whole(chosen)) {
			over, chosen = o, n
		}
	}
	return chosen
}

// splits yields every way to use device d for layers from one on that its budget holds.
func (p *planner) splits(d, from int) iter.Seq[split] {
	return func(yield func(split) bool) {
		base := split{from: from, bytes: p.in.Devices[d].Scratch}
		for {
			if !p.streaming(d, base, yield) || base.until() == len(p.layers) {
				return
			}
			it := &p.modules[p.layers[base.until()]]
			base.resident++
			base.bytes += it.bytes()
			base.seconds += it.seconds[d]
			if base.bytes > p.in.Devices[d].Bytes || !yield(p.withOthers(d, base)) {
				return
			}
		}
	}
}

// streaming yields base with streamed layers added one by one behind its resident ones.
func (p *planner) streaming(d int, base split, yield func(split) bool) bool {
	dev := p.in.Devices[d]
	if !p.streams[d] {
		return true
	}
	s := base
	for _, i := range p.layers[base.until():] {
		it := &p.modules[i]
		s.streamed++
		s.buffer = max(s.buffer, slots*it.WeightBytes)
		s.bytes += it.state
		s.seconds += max(it.seconds[d], it.copySeconds(dev))
		if s.bytes+s.buffer > dev.Bytes {
			return true
		}
		if s.streamed > slots && !yield(p.withOthers(d, s)) { // fewer would simply stay
			return false
		}
	}
	return true
}

// withOthers adds to a split what other modules save in the room that it leaves: those that are no layers, if none is left on the CPU, and
// the experts of its layers.
func (p *planner) withOthers(d int, s split) split {
	held := s.bytes + s.buffer
	s.seconds += p.in.Devices[d].TurnSeconds + p.meetings(d, s.from, s.until())
	if s.until() == len(p.layers) {
		for i := range p.restThatFits(d, held) {
			s.seconds -= p.gain(i, d)
			held += p.modules[i].bytes()
		}
	}
	if s.streamed == 0 {
		s.seconds -= p.cache(d, s.from, s.until(), held).saved
	}
	return s
}

func (p *planner) take(d int, s split) {
	if s.resident+s.streamed == 0 {
		return
	}
	for n, i := range p.layers[s.from:s.until()] {
		p.modules[i].streamed = n >= s.resident
		p.move(i, d)
	}
	p.held[d] = s.bytes + s.buffer
	if s.streamed > 0 {
		p.buffers[d] = Buffer{Slots: slots, Bytes: s.buffer}
	}
}

// useRest puts modules that are no layers into what the devices have free, once all layers have left the CPU. The last device that has layers
// goes first, as the output of the last layer is there, and those without any come last.
func (p *planner) useRest() {
	for _, i := range p.layers {
		if p.modules[i].dev == 0 {
			return
		}
	}
	var order []int
	for d := len(p.in.Devices) - 1; d > 0; d-- {
		order = append(order, d)
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(min(1, p.held[b]), min(1, p.held[a])) })
	for _, d := range order {
		held := p.held[d]
		if held == 0 {
			held = p.in.Devices[d].Scratch
		}
		for i := range p.restThatFits(d, held) {
			held += p.modules[i].bytes()
			p.held[d] = held
			p.move(i, d)
		}
	}
}

// restThatFits yields the modules that go to device d beside held bytes: those that save most time per byte first.
func (p *planner) restThatFits(d int, held int64) iter.Seq[int] {
	return func(yield func(int) bool) {
		for _, i := range p.rest[d] {
			n := p.modules[i].bytes()
			if p.modules[i].dev != 0 || held+n > p.in.Devices[d].Bytes {
				continue
			}
			if held += n; !yield(i) {
				return
			}
		}
	}
}

// orderRest lists the modules that are neither layers nor experts and save time on device d. A table of which a token reads one row saves
// next to nothing and stays.
func (p *planner) orderRest(d int) []int {
	var rest []int
	for i := range p.modules {
		it := &p.modules[i]
		if !isLayer(it.ID) && it.home < 0 && p.gain(i, d) > 0 && float64(it.ActiveBytesToken)*p.rows*16 >= float64(it.WeightBytes) {
			rest = append(rest, i)
		}
	}
	slices.SortStableFunc(rest, func(a, b int) int { // by gain per byte, without dividing by no bytes
		return cmp.Compare(p.gain(b, d)*float64(p.modules[a].bytes()), p.gain(a, d)*float64(p.modules[b].bytes()))
	})
	return rest
}
