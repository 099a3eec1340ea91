// planner.go holds the search: for each device every number of layers that stay and that are streamed is tried, which is a
// few thousand cases of one addition each.

package plan

import (
	"cmp"
	"iter"
	"math"
	"slices"

	"github.com/inference-pio/inference-pio/sdk"
)

type planner struct {
	in      Input
	rows    float64
	modules []item
	rest    [][]int // by device: modules that are no layers and save time there, best first
	layers  []int   // modules that are layers and still on the CPU, front to back
	cpu     int64   // scratch and state of what is on the CPU
	held    []int64
	buffers []Buffer
}

// item is a module with its cost on each device.
type item struct {
	sdk.Module
	state    int64
	seconds  []float64 // by device: computing it where its weights lie
	dev      int
	streamed bool
}

func newPlanner(in Input) *planner {
	p := &planner{in: in, rows: float64(max(1, in.Rows)), held: make([]int64, len(in.Devices)), buffers: make([]Buffer, len(in.Devices)),
		cpu: in.Devices[0].Scratch}
	for i, m := range in.Modules {
		it := item{Module: m, state: m.StateBytesToken*int64(in.Positions) + m.StateBytesSeq*int64(in.Sequences)}
		for _, d := range in.Devices {
			it.seconds = append(it.seconds, p.seconds(m, d))
		}
		p.modules = append(p.modules, it)
		p.cpu += it.state
		if isLayer(m.ID) {
			p.layers = append(p.layers, i)
		}
	}
	for d := range in.Devices {
		p.rest = append(p.rest, p.orderRest(d))
	}
	return p
}

// seconds is the time of one pass through m on d: its weights are read once, its multiplications done for each row.
func (p *planner) seconds(m sdk.Module, d Device) float64 {
	read := min(float64(m.ActiveBytesToken)*p.rows, max(float64(m.WeightBytes), float64(m.ActiveBytesToken)))
	t := read / p.in.readRate(d)
	if d.FLOPS > 0 {
		t = max(t, m.FLOPsToken*p.rows/d.FLOPS)
	}
	return t
}

func (it *item) copySeconds(d Device) float64 { return float64(it.WeightBytes) / d.CopyRate }

// split is one way to use a device: the next resident layers stay there, the streamed ones behind them pass through.
type split struct {
	resident, streamed int
	bytes              int64
	buffer             int64
	over               int64   // by how much the CPU's state then exceeds its budget
	saved              float64 // seconds, against leaving the layers on the CPU
}

// better prefers a CPU within its budget, then time, then less to copy, then fewer layers away from the CPU.
func (s split) better(than split) bool {
	const same = 1e-9 // relative: below it two sums differ only by rounding
	switch gain := s.saved - than.saved; {
	case s.over != than.over:
		return s.over < than.over
	case math.Abs(gain) > same*math.Abs(than.saved):
		return gain > 0
	case s.streamed != than.streamed:
		return s.streamed < than.streamed
	}
	return s.resident < than.resident
}

// fill puts the best split of the remaining layers on device d.
func (p *planner) fill(d int) {
	best := split{over: p.cpuOver(0)}
	base := split{bytes: p.in.Devices[d].Scratch}
	var movedState int64
	for r := 0; ; r++ {
		p.tryStreaming(d, base, movedState, &best)
		if r == len(p.layers) {
			break
		}
		it := &p.modules[p.layers[r]]
		base.resident++
		base.bytes += it.WeightBytes + it.state
		base.saved += it.seconds[0] - it.seconds[d]
		movedState += it.state
		if base.bytes > p.in.Devices[d].Bytes {
			break
		}
		base.over = p.cpuOver(movedState)
		if s := p.withRest(d, base); s.better(best) {
			best = s
		}
	}
	p.take(d, best)
}

// tryStreaming adds streamed layers one by one behind the resident ones of base.
func (p *planner) tryStreaming(d int, base split, movedState int64, best *split) {
	dev := p.in.Devices[d]
	if dev.CopyRate == 0 {
		return
	}
	s := base
	for _, i := range p.layers[base.resident:] {
		it := &p.modules[i]
		s.streamed++
		s.buffer = max(s.buffer, slots*it.WeightBytes)
		s.bytes += it.state
		s.saved += it.seconds[0] - max(it.seconds[d], it.copySeconds(dev))
		movedState += it.state
		if s.bytes+s.buffer > dev.Bytes {
			return
		}
		s.over = p.cpuOver(movedState)
		if s.streamed <= slots {
			continue // they would simply stay
		}
		if s := p.withRest(d, s); s.better(*best) {
			*best = s
		}
	}
}

// withRest adds to a split that leaves no layer on the CPU what other modules would save in the room it leaves.
func (p *planner) withRest(d int, s split) split {
	if s.resident+s.streamed == len(p.layers) {
		for i := range p.restThatFits(d, s.bytes+s.buffer) {
			s.saved += p.gain(i, d)
		}
	}
	return s
}

// cpuOver is by how much the CPU exceeds its budget if moved bytes of state leave it.
func (p *planner) cpuOver(moved int64) int64 {
	if p.in.Devices[0].Bytes == 0 {
		return 0
	}
	return max(0, p.cpu-moved-p.in.Devices[0].Bytes)
}

func (p *planner) take(d int, s split) {
	if s.resident+s.streamed == 0 {
		return
	}
	for n, i := range p.layers[:s.resident+s.streamed] {
		p.modules[i].streamed = n >= s.resident
		p.move(i, d)
	}
	p.layers = p.layers[s.resident+s.streamed:]
	p.held[d] = s.bytes + s.buffer
	if s.streamed > 0 {
		p.buffers[d] = Buffer{Slots: slots, Bytes: s.buffer}
	}
}

func (p *planner) move(i, d int) {
	p.modules[i].dev = d
	p.cpu -= p.modules[i].state
}

// useRest puts modules that are no layers into what the devices have free, once all layers have left the CPU. The last
// device goes first, as the output of the last layer is there.
func (p *planner) useRest() {
	if len(p.layers) > 0 {
		return
	}
	for d := len(p.in.Devices) - 1; d > 0; d-- {
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

// orderRest lists the modules that are no layers and save time on device d. A table of which a token reads one row saves
// next to nothing and stays.
func (p *planner) orderRest(d int) []int {
	var rest []int
	for i := range p.modules {
		it := &p.modules[i]
		if !isLayer(it.ID) && p.gain(i, d) > 0 && float64(it.ActiveBytesToken)*p.rows*16 >= float64(it.WeightBytes) {
			rest = append(rest, i)
		}
	}
	slices.SortStableFunc(rest, func(a, b int) int { // by gain per byte, without dividing by no bytes
		return cmp.Compare(p.gain(b, d)*float64(p.modules[a].bytes()), p.gain(a, d)*float64(p.modules[b].bytes()))
	})
	return rest
}

// gain is the time saved by having module i on device d.
func (p *planner) gain(i, d int) float64 { return p.modules[i].seconds[0] - p.modules[i].seconds[d] }

func (it *item) bytes() int64 { return it.WeightBytes + it.state }

func (p *planner) plan() (Plan, error) {
	p.held[0] = p.cpu
	if budget := p.in.Devices[0].Bytes; budget > 0 && p.held[0] > budget {
		return Plan{}, sdk.Errorf(sdk.ReasonMemory, "the model needs %s of the cpu's memory for state and activations; its budget is %s. "+
			"Give it more, or reserve fewer positions (%d in %d sequences now)", size(p.held[0]), size(budget), p.in.Positions, p.in.Sequences)
	}
	out := Plan{Bytes: p.held, Buffers: p.buffers}
	for i := range p.modules {
		it := &p.modules[i]
		out.Placements = append(out.Placements, sdk.Placement{Module: it.ID, Device: p.in.Devices[it.dev].Name, Streamed: it.streamed})
		t := it.seconds[it.dev]
		if it.streamed {
			t = max(t, it.copySeconds(p.in.Devices[it.dev]))
		}
		out.Seconds += t
	}
	out.PerToken = out.Seconds / p.rows
	out.Why = p.why()
	return out, nil
}
