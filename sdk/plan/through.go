// through.go finds from how many rows on a pass brings experts through their layer's device: the CPU multiplies for each row, so that a long
// prompt, which needs nearly all of them, is better off with a copy of each, and a decoded token, which needs a few, is not.

package plan

import "sort"

// throughMost is the longest pass that is looked at.
const throughMost = crossingMost

// throughLeast is the shortest: fewer rows are those of answers, whose experts a device should keep as they are drawn.
const throughLeast = 32

// layersTogether is for how many layers' experts a device must have room that are brought through it: one's compute while the next one's come.
const layersTogether = 2

// mixtureOn is what the layers of one device have in experts, each layer's alike.
type mixtureOn struct {
	each    []int     // of each layer with experts: one of them
	number  []float64 // how many there are
	largest int64     // bytes of a layer's experts
}

// mixtureOf finds the experts of the layers of a device.
func (p *planner) mixtureOf(d int) (m mixtureOn) {
	at := map[int]int{}
	for i := range p.modules {
		it := &p.modules[i]
		if it.home < 0 || p.modules[p.layers[it.home]].dev != d {
			continue
		}
		n, known := at[it.home]
		if !known {
			n = len(m.each)
			at[it.home] = n
			m.each, m.number = append(m.each, i), append(m.number, 0)
		}
		m.number[n]++
		m.largest = max(m.largest, int64(m.number[n])*it.WeightBytes)
	}
	return m
}

// findThrough finds for each device the fewest rows of a pass with which bringing all experts of its layers that it does not have is quicker
// than computing those that are needed on the CPU. 0: it never is, there is no room for two layers', or it has them all.
func (p *planner) findThrough() (rows []int) {
	rows = make([]int, len(p.in.Devices))
	for d := 1; d < len(rows); d++ {
		dev, c := p.in.Devices[d], p.caches[d]
		m := p.mixtureOf(d)
		if dev.CopyRate == 0 || c.Experts == 0 || c.Experts == c.Of || c.Bytes < layersTogether*m.largest {
			continue
		}
		n := throughLeast + sort.Search(throughMost, func(n int) bool { return p.bringing(d, m, n+throughLeast) < p.leaving(d, m, n+throughLeast) })
		if n <= throughMost {
			rows[d] = n
		}
	}
	return rows
}

// missing is the share of the experts of a device's layers that it has no room for.
func (p *planner) missing(d int) float64 {
	c := p.caches[d]
	return 1 - float64(c.Experts)/float64(max(1, c.Of))
}

// bringing is the seconds of a pass of so many rows through the experts of device d if all that it lacks are copied.
func (p *planner) bringing(d int, m mixtureOn, rows int) (seconds float64) {
	q := *p
	q.rows = float64(rows)
	for i, e := range m.each {
		it := &p.modules[e]
		seconds += m.number[i] * max(q.seconds(it.Module, p.in.Devices[d]), p.missing(d)*it.copySeconds(p.in.Devices[d]))
	}
	return seconds
}

// leaving is that if the CPU computes those.
func (p *planner) leaving(d int, m mixtureOn, rows int) (seconds float64) {
	q := *p
	q.rows = float64(rows)
	there := p.caches[d].Hits
	for i, e := range m.each {
		it := &p.modules[e]
		seconds += m.number[i] * (there*q.seconds(it.Module, p.in.Devices[d]) + (1-there)*q.seconds(it.Module, p.in.Devices[0]))
	}
	return seconds
}

// brings says whether a pass brings the experts of a device's layers through it.
func (p *planner) brings(d int) bool {
	return d < len(p.through) && p.through[d] > 0 && p.rows >= float64(p.through[d])
}
