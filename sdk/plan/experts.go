// experts.go counts what single experts save. Which ones a token is routed to is known only when its layer runs, so no plan places them: what a
// device has left beside its layers is a cache of their experts, and one that is not in it is computed on the CPU.
//
// How many of those that a token needs are there follows from the cache's room, from how unevenly experts are drawn, and from the link: an expert
// that was missing is worth its copy if that arrives before the next token needs it, and of those that are missing the link brings a part. In a
// cache that gives up what was used longest ago they are as good as any others. But a copy reads the memory that the CPU reads, which computes what is
// missing: so more are brought only as long as that makes a token quicker. See hits and settleHits, link.go.

package plan

// Cache is what a device has for single experts of its layers.
type Cache struct {
	Bytes   int64
	Experts int     // that fit at once
	Of      int     // experts of the device's layers
	Hits    float64 // share of those a pass needs that are there, estimated
	Brings  float64 // experts that each layer is to bring in a pass in place of others, on average: more cost the CPU more of its memory than they save; +Inf: all
}

// whole says that it has all experts of the device's layers.
func (c Cache) whole() bool { return c.Of > 0 && c.Experts == c.Of }

// saving is a cache with the time that it saves in a pass.
type saving struct {
	Cache
	saved float64
}

// sums are over experts.
type sums struct {
	number int
	bytes  int64
	active int64     // of bytes, what a token needs
	read   float64   // of bytes, what the pass needs
	here   float64   // seconds that the CPU takes for them
	gain   []float64 // by device: seconds saved by having them there
}

// addUp counts the experts of the layers.
func (p *planner) addUp() {
	p.experts = make([]sums, len(p.layers)+1)
	for n := range p.experts {
		p.experts[n].gain = make([]float64, len(p.in.Devices))
	}
	for i := range p.modules {
		if layer := p.modules[i].home; layer >= 0 {
			s := &p.experts[layer+1]
			s.number++
			s.bytes += p.modules[i].WeightBytes
			s.active += p.modules[i].ActiveBytesToken
			s.read += p.read(p.modules[i].Module)
			s.here += p.modules[i].seconds[0]
			for d := range s.gain {
				s.gain[d] += p.gain(i, d)
			}
		}
	}
	p.blended = make([]int, len(p.experts))
	for n := range p.layers {
		before, s := p.experts[n], &p.experts[n+1]
		p.blended[n+1] = p.blended[n] + min(1, s.number)
		s.number += before.number
		s.bytes += before.bytes
		s.active += before.active
		s.read += before.read
		s.here += before.here
		for d := range s.gain {
			s.gain[d] += before.gain[d]
		}
	}
}

// cache is what device d has for the experts of layers from one up to another, beside held bytes.
func (p *planner) cache(d, from, until int, held int64) (s saving) {
	before, all := p.experts[from], p.experts[until]
	bytes, room := all.bytes-before.bytes, max(0, p.in.Devices[d].Bytes-held)
	s.Of = all.number - before.number
	if bytes == 0 || room == 0 {
		return s
	}
	each := float64(bytes) / float64(s.Of)
	s.Experts = min(s.Of, int(float64(room)/each))
	s.Bytes = min(bytes, int64(float64(s.Experts)*each))
	s.Hits = p.in.hits(float64(s.Experts)/float64(s.Of), float64(all.active-before.active)/float64(bytes), p.carried(d, all.read-before.read, 1, p.longest, 0))
	s.saved = s.Hits * (all.gain[d] - before.gain[d])
	if s.whole() {
		s.saved += p.meetings(d, from, until)
	}
	return s
}

// meetings is the time in which device d waits for the CPU in layers from one up to another, if that computes some of their experts.
func (p *planner) meetings(d, from, until int) float64 {
	return float64(p.blended[until]-p.blended[from]) * p.in.Devices[d].TurnSeconds
}

// useCaches gives the experts what the devices have left, but where layers are streamed: those push them out.
func (p *planner) useCaches() {
	for d := 1; d < len(p.in.Devices); d++ {
		from, until := -1, -1
		for n, i := range p.layers {
			if p.modules[i].dev == d {
				if from < 0 {
					from = n
				}
				until = n + 1
			}
		}
		if from < 0 || p.buffers[d].Slots > 0 {
			continue
		}
		p.caches[d] = p.cache(d, from, until, p.held[d]).Cache
		p.held[d] += p.caches[d].Bytes
	}
	p.settleHits()
}
