// planner.go holds what the search counts with: each module's cost on each device, and the plan that comes of where they were put.

package plan

import (
	"math"
	"slices"

	"github.com/inference-pio/inference-pio/sdk"
)

type planner struct {
	in      Input
	rows    float64
	modules []item
	layers  []int   // modules that are layers, front to back
	experts []sums  // of the experts of the layers before each, and of all
	blended []int   // layers with experts, before each and of all
	rest    [][]int // by device: other modules that save time there, best first
	streams []bool  // by device: some layer would gain by it, or must leave the CPU
	cpu     int64   // scratch and state of what is on the CPU
	held    []int64
	buffers []Buffer
	caches  []Cache
	through []int   // by device
	beside  float64 // seconds that the CPU takes longer in a pass for what links bring to caches
	longest float64 // seconds of a pass through the CPU alone: what links have until it is known where everything lies
}

// item is a module with its cost on each device.
type item struct {
	sdk.Module
	state    int64
	seconds  []float64 // by device: computing it where its weights lie
	dev      int
	streamed bool
	home     int // of an expert: its layer's index; -1: it is none
}

func newPlanner(in Input) *planner {
	n := len(in.Devices)
	p := &planner{in: in, rows: float64(max(1, in.Rows)), held: make([]int64, n), buffers: make([]Buffer, n), caches: make([]Cache, n),
		cpu: in.Devices[0].Scratch}
	of := map[string]int{}
	for i, m := range in.Modules {
		it := item{Module: m, state: m.StateBytesToken*int64(in.Positions) + m.StateBytesSeq*int64(in.Sequences), home: -1}
		for _, d := range in.Devices {
			it.seconds = append(it.seconds, p.seconds(m, d))
		}
		p.modules = append(p.modules, it)
		p.cpu += it.state
		if isLayer(m.ID) {
			of[m.ID] = len(p.layers)
			p.layers = append(p.layers, i)
		}
	}
	for i := range p.modules {
		if layer, ok := of[layerOf(p.modules[i].ID)]; ok && !isLayer(p.modules[i].ID) {
			p.modules[i].home = layer
		}
	}
	p.addUp()
	p.longest = p.total()
	for d := range in.Devices {
		p.rest = append(p.rest, p.orderRest(d))
	}
	return p
}

// seconds is the time of one pass through m on d: its weights are read once, its multiplications done for each row, and each row reads what
// lies before it in the cache.
func (p *planner) seconds(m sdk.Module, d Device) float64 {
	state := p.rows * (float64(m.StateBytesToken)*float64(p.in.Depth) + float64(m.StateBytesSeq)*min(1, float64(p.in.Depth)))
	t := (p.read(m) + state) / p.in.readRate(d)
	if d.FLOPS > 0 {
		t = max(t, m.FLOPsToken*p.rows/d.FLOPS)
	}
	t += float64(m.Ops) * d.OpSeconds
	if d.Slower > 0 {
		t *= d.Slower
	}
	return t
}

// read is the bytes of m's weights that a pass reads. A module that a token needs with some probability is needed by one of many rows with a
// greater one, if each draws by itself.
func (p *planner) read(m sdk.Module) float64 {
	active, all := float64(m.ActiveBytesToken), float64(m.WeightBytes)
	if p.rows == 1 || active >= all {
		return min(active, all)
	}
	return all * -math.Expm1(p.rows*math.Log1p(-active/all))
}

func (it *item) copySeconds(d Device) float64 { return float64(it.WeightBytes) / d.CopyRate }

// gain is the time saved by having module i on device d.
func (p *planner) gain(i, d int) float64 { return p.modules[i].seconds[0] - p.modules[i].seconds[d] }

func (it *item) bytes() int64 { return it.WeightBytes + it.state }

func (p *planner) move(i, d int) {
	p.modules[i].dev = d
	p.cpu -= p.modules[i].state
}

// cpuOver is by how much the CPU exceeds its budget if moved bytes of state leave it.
func (p *planner) cpuOver(moved int64) int64 {
	if p.in.Devices[0].Bytes == 0 {
		return 0
	}
	return max(0, p.cpu-moved-p.in.Devices[0].Bytes)
}

func (p *planner) plan() (Plan, error) {
	p.held[0] = p.cpu
	if budget := p.in.Devices[0].Bytes; budget > 0 && p.held[0] > budget {
		return Plan{}, sdk.Errorf(sdk.ReasonMemory, "the model needs %s of the cpu's memory for state and activations; its budget is %s. "+
			"Give it more, or reserve fewer positions (%d in %d sequences now)", size(p.held[0]), size(budget), p.in.Positions, p.in.Sequences)
	}
	out := Plan{Bytes: p.held, Buffers: p.buffers, Caches: p.caches, Through: p.through, Seconds: p.total()}
	for i := range p.modules {
		it := &p.modules[i]
		out.Placements = append(out.Placements, sdk.Placement{Module: it.ID, Device: p.in.Devices[it.dev].Name, Streamed: it.streamed})
		if it.dev != 0 {
			out.Order = append(out.Order, it.ID)
		}
	}
	out.PerToken = out.Seconds / p.rows
	out.Why = p.why()
	return out, nil
}

// total is the time of a pass as modules lie now.
func (p *planner) total() (seconds float64) {
	for i := range p.modules {
		it := &p.modules[i]
		t := it.seconds[it.dev]
		if it.streamed {
			t = max(t, it.copySeconds(p.in.Devices[it.dev]))
		}
		if it.home >= 0 && it.dev == 0 {
			d := p.modules[p.layers[it.home]].dev
			if t -= p.caches[d].Hits * p.gain(i, d); p.brings(d) {
				t = max(it.seconds[d], p.missing(d)*it.copySeconds(p.in.Devices[d]))
			}
		}
		seconds += t
	}
	return seconds + p.beside + p.turns()
}

// turns is the time in which devices wait for each other: where a pass goes from one to the next and back to the CPU, which chooses the token,
// and in each layer of a device some of whose experts the CPU computes.
func (p *planner) turns() (seconds float64) {
	at := 0
	for n, i := range p.layers {
		d := p.modules[i].dev
		if d != at {
			seconds += (p.in.Devices[at].TurnSeconds + p.in.Devices[d].TurnSeconds) / 2
		}
		if at = d; d != 0 && !p.caches[d].whole() {
			seconds += p.meetings(d, n, n+1)
		}
	}
	if at != 0 {
		seconds += p.in.Devices[at].TurnSeconds / 2
	}
	return seconds
}

// Time is the seconds of a pass of so many rows, each with so many positions of cache before it, through a plan that was made of in, perhaps
// before it was known how unevenly experts are drawn.
func Time(in Input, made Plan, rows, depth int) float64 { return timed(in, made, rows, depth).total() }

// Caches is what the caches of devices have in such a pass, and are to bring.
func Caches(in Input, made Plan, rows, depth int) []Cache { return timed(in, made, rows, depth).caches }

// timed has everything where a plan put it.
func timed(in Input, made Plan, rows, depth int) *planner {
	in.Rows, in.Depth = rows, depth
	p := newPlanner(in)
	index := map[string]int{}
	for d, dev := range in.Devices {
		index[dev.Name] = d
	}
	for i, where := range made.Placements {
		if p.modules[i].home < 0 { // what experts of a device's layers lie there the cache says, and not where they lie now
			p.modules[i].dev, p.modules[i].streamed = index[where.Device], where.Streamed
		}
	}
	p.caches, p.through = slices.Clone(made.Caches), made.Through
	p.settleHits()
	return p
}

// once is the share of the experts of a device's layers that one token needs.
func (p *planner) once(d int) float64 {
	var active, bytes float64
	for n, i := range p.layers {
		if p.modules[i].dev == d {
			active += float64(p.experts[n+1].active - p.experts[n].active)
			bytes += float64(p.experts[n+1].bytes - p.experts[n].bytes)
		}
	}
	return active / max(1, bytes)
}
