// measured.go corrects what is expected by what passes really took: rates are measured in a moment when nothing else runs, and what they say of
// a layer may be wrong by any factor. Kept here:
//
//   - A device has one factor for all that it computes. It follows the median of the last passes, so that one that was held up says nothing.
//   - It changes only by more than two runs differ by, and never beyond bounds. What is measured no more keeps its factor.
//   - A plan is left for another only if that is quicker by more than expectations are sure of, and each such change takes twice as many passes
//     as the one before to be believed. So plans do not go back and forth, whatever is measured.

package plan

import (
	"math"
	"slices"

	"github.com/inference-pio/inference-pio/sdk"
)

const (
	measuredOver  = 5       // passes, of which the median counts
	measuredKeep  = 0.1     // a factor that would change by less stays
	measuredMost  = 64      // a factor lies between this and its reciprocal
	measuredPart  = 0.05    // of a pass: a device that neither is expected to take more of it nor does is not measured by it
	measuredLeast = 0.01    // of a pass: what the CPU is expected to take less for is mostly the beginning of ops
	measuredGain  = 0.1     // a plan that is quicker by less is not worth moving layers for
	measuredWaits = 1 << 12 // passes at most, until another change of plan is believed
	skewKeep      = 0.2     // of Input.Skew: a pass draws few experts
)

// Pass is one that was measured, of few rows.
type Pass struct {
	Rows, Depth int
	Placements  []sdk.Placement // where modules were computed, in their order
	Held        []int           // by device: experts of its layers that it had
	Hits        float64         // share of those needed of devices' layers that were there
	Again       float64         // share of them that the pass before needed, too
	Brought     int             // experts whose copies it began
	CPU         float64         // seconds in which the CPU computed
	Seconds     float64         // of all of it
	Copied      bool            // something waited for weights, or layers came: the rest of the seconds says nothing of devices, and the CPU may have had less of its memory
}

// Measured is what passes have told so far; the zero value is of none. It belongs to one model.
type Measured struct {
	cpu, others factor             // the CPU, and all other devices together: which of them took its time nobody sees
	skew        factor             // Input.Skew
	links       map[string]*factor // bytes per second of copies to devices
	homes       []int              // by module: the layer that it is an expert of, -1: none
	due         bool               // something is otherwise than when a plan was looked for last
	passes      int                // since the plan was changed last
	wait        int                // as many must have been
}

// factor is something that is corrected.
type factor struct {
	recent []float64 // the newest last
	is     float64   // 0: nothing has changed it
}

// or is the factor, or what there is without it.
func (f *factor) or(x float64) float64 {
	if f == nil || f.is == 0 {
		return x
	}
	return f.is
}

// add takes one more measurement of what was x before any, and says whether the factor has changed.
func (f *factor) add(sample, x, keep float64) bool {
	f.recent = append(f.recent, min(x*measuredMost, max(x/measuredMost, sample)))
	if len(f.recent) > measuredOver {
		f.recent = slices.Delete(f.recent, 0, 1)
	}
	if len(f.recent) < measuredOver {
		return false
	}
	middle, was := slices.Sorted(slices.Values(f.recent))[measuredOver/2], f.or(x)
	if middle <= was*(1+keep) && was <= middle*(1+keep) {
		return false
	}
	f.is = middle
	return true
}

// Correct is an input as it has turned out to be.
func (m *Measured) Correct(in Input) Input {
	in.Devices = slices.Clone(in.Devices)
	for i := range in.Devices {
		d := &in.Devices[i]
		d.Slower, d.CopyRate = m.Slower(i), m.links[d.Name].or(d.CopyRate)
	}
	in.Skew = m.skew.or(in.Skew)
	return in
}

// Slower is how many times as long as its rates say a device takes, by its number.
func (m *Measured) Slower(device int) float64 {
	if device == 0 {
		return m.cpu.or(1)
	}
	return m.others.or(1)
}

// CopyRate is the bytes per second at which weights come to a device, where that is otherwise than it was told.
func (m *Measured) CopyRate(device string, told float64) float64 { return m.links[device].or(told) }

// Copied takes the rate of copies of weights to a device, of which another was told.
func (m *Measured) Copied(device string, told, rate float64) {
	if !(told > 0 && rate > 0) {
		return
	}
	if m.links == nil {
		m.links = map[string]*factor{}
	}
	if m.links[device] == nil {
		m.links[device] = &factor{}
	}
	m.due = m.links[device].add(rate, told, measuredKeep) || m.due
}

// Passed takes a pass; in is what was known before anything was measured.
func (m *Measured) Passed(in Input, pass Pass) {
	m.passes++
	e := m.expected(in, pass)
	all := e.cpu + e.others + e.turns
	counts := func(expected, took float64) bool {
		return expected > 0 && took > 0 && max(expected/all, took/pass.Seconds) > measuredPart
	}
	if counts(e.cpu, pass.CPU) && e.cpu > measuredLeast*all {
		slower := pass.CPU / e.cpu
		if pass.Copied { // perhaps beside all that it computed: it is as slow as before, if that can be
			slower = min(slower, max(m.cpu.or(1), slower*(1-e.slows)))
		}
		m.due = m.cpu.add(slower, 1, measuredKeep) || m.due
	}
	if took := pass.Seconds - pass.CPU - e.turns; !pass.Copied && counts(e.others, took) {
		m.due = m.others.add(took/e.others, 1, measuredKeep) || m.due
	}
	if e.share > 0 && e.share < 1 && pass.Rows <= 1 {
		m.due = m.skew.add(SkewOf(e.once, pass.Again), 1, skewKeep) || m.due
	}
}

// Due says that a plan is to be looked for anew: something has turned out to be otherwise, and the last change has had its time.
func (m *Measured) Due() bool {
	due := m.due && m.passes >= m.wait
	if due {
		m.due = false
	}
	return due
}

// Leave says whether a plan is to be left for another, by the seconds that passes through them take now that more is known.
func (m *Measured) Leave(now, then float64) bool {
	if !(then < now*(1-measuredGain)) {
		return false
	}
	m.passes, m.wait = 0, min(measuredWaits, max(2*measuredOver, 2*m.wait))
	return true
}

// expectation is what rates say of a pass.
type expectation struct {
	cpu, others, turns float64 // seconds
	share, once        float64 // of their layers' experts that devices had, and that a token needs
	slows              float64 // the part of its speed that the CPU loses while something is copied
}

// expected is what was expected of a pass through where modules lay.
func (m *Measured) expected(in Input, pass Pass) (e expectation) {
	in.Depth = pass.Depth
	p := &planner{in: in, rows: float64(max(1, pass.Rows))}
	if len(m.homes) != len(in.Modules) {
		m.homes = homes(in.Modules)
	}
	at := func(i int) int {
		return slices.IndexFunc(in.Devices, func(d Device) bool { return d.Name == pass.Placements[i].Device })
	}
	of, held, last := make([]int, len(in.Devices)), 0, 0
	var needed, bytes float64 // of the experts of devices' layers
	rate := 0.0               // of copies to the devices that have such layers
	for d := range in.Devices[1:] {
		e.slows = max(e.slows, p.slows(d+1, m.cpu.or(1)))
	}
	for _, home := range m.homes {
		if home >= 0 {
			of[at(home)]++
		}
	}
	for i, module := range in.Modules {
		d := at(i)
		if home := m.homes[i]; home >= 0 {
			if d = at(home); d > 0 {
				needed, bytes = needed+float64(module.ActiveBytesToken), bytes+float64(module.WeightBytes)
				rate = max(rate, p.besideRate(d))
				e.others += pass.Hits * p.seconds(module, in.Devices[d])
				e.cpu += (1 - pass.Hits) * p.seconds(module, in.Devices[0])
				continue
			}
		}
		if t := p.seconds(module, in.Devices[d]); d == 0 {
			e.cpu += t
		} else {
			e.others += t
		}
		if !isLayer(module.ID) {
			continue
		}
		if d != last {
			e.turns += (in.Devices[last].TurnSeconds + in.Devices[d].TurnSeconds) / 2
		}
		if last = d; d > 0 && of[d] > pass.Held[d] {
			e.turns += in.Devices[d].TurnSeconds
		}
	}
	e.turns += in.Devices[last].TurnSeconds / 2
	all := 0
	for d := 1; d < len(of); d++ {
		all, held = all+of[d], held+pass.Held[d]
	}
	e.share, e.once = float64(held)/math.Max(1, float64(all)), needed/math.Max(1, bytes)
	if rate > 0 { // while experts come the CPU has less of its memory: so much of the pass, if they come evenly
		busy := float64(pass.Brought) * bytes / math.Max(1, float64(all)) / (rate * math.Max(pass.Seconds, e.cpu+e.others+e.turns))
		e.cpu /= 1 - e.slows*min(1, busy)
	}
	return e
}

// homes finds by module the one that is the layer that it is an expert of, -1 where it is none.
func homes(modules []sdk.Module) []int {
	layers, list := map[string]int{}, make([]int, len(modules))
	for i, m := range modules {
		if isLayer(m.ID) {
			layers[m.ID] = i
		}
	}
	for i, m := range modules {
		home, ok := layers[layerOf(m.ID)]
		if list[i] = home; !ok || home == i {
			list[i] = -1
		}
	}
	return list
}
