// why.go puts a plan into words, for `piohost plan` and logs.

package plan

import (
	"fmt"
	"math"
	"strings"
	"time"
)

func (p *planner) why() []string {
	var lines []string
	for d := 1; d < len(p.in.Devices); d++ {
		lines = append(lines, p.whyDevice(d)...)
	}
	return append(lines, "cpu: computes "+orNothing(p.onCPU())+" from the mapped file; "+
		size(p.held[0])+" for state and activations")
}

// onCPU names what the CPU computes. Experts of a device's layers are computed there as far as its cache has them.
func (p *planner) onCPU() string {
	var list []*item
	for _, it := range p.on(0, false) {
		if it.home < 0 || p.caches[p.modules[p.layers[it.home]].dev].Experts == 0 {
			list = append(list, it)
		}
	}
	var words []string
	if text := names(list); text != "" {
		words = append(words, text)
	}
	for d, c := range p.caches {
		if left := c.Of - c.Experts; c.Experts > 0 && left > 0 {
			words = append(words, fmt.Sprintf("the other %d experts of %s's layers", left, p.in.Devices[d].Name))
		}
	}
	return strings.Join(words, ", ")
}

func (p *planner) whyDevice(d int) []string {
	dev, stay, through := p.in.Devices[d], p.on(d, false), p.on(d, true)
	if len(stay)+len(through) == 0 {
		return []string{p.whyEmpty(d)}
	}
	lines := []string{fmt.Sprintf("%s: keeps %s; %s of %s", dev.Name, orNothing(names(stay)), size(p.held[d]), size(dev.Bytes))}
	if len(through) > 0 {
		var cp, cpu float64
		for _, it := range through {
			cp += max(it.copySeconds(dev), it.seconds[d])
			cpu += it.seconds[0]
		}
		lines = append(lines, fmt.Sprintf("%s: streams %s through %s: %s a pass, where the cpu would take %s",
			dev.Name, names(through), size(p.buffers[d].Bytes), duration(cp), duration(cpu)))
	}
	if c := p.caches[d]; c.Experts > 0 {
		lines = append(lines, fmt.Sprintf("%s: has room for %d of the %d experts of its layers, %s: about %.0f %% of those that a token needs",
			dev.Name, c.Experts, c.Of, size(c.Bytes), 100*c.Hits))
	}
	if c := p.caches[d]; c.Experts > 0 && p.in.Skew > 0 && dev.Takes() > 0 {
		lines = append(lines, fmt.Sprintf("%s: each layer is to bring %s in place of others: a byte that comes costs %.1f that the cpu would have read", dev.Name, brought(c.Brings), dev.Takes()))
	}
	if rows := p.through[d]; rows > 0 {
		lines = append(lines, fmt.Sprintf("%s: passes of %d rows or more bring the experts that it has no room for through it", dev.Name, rows))
	}
	return lines
}

// whyEmpty says why nothing lies on a device: no layer is left, none fits, or none would gain.
func (p *planner) whyEmpty(d int) string {
	dev := p.in.Devices[d]
	left := p.left()
	if left < 0 {
		return dev.Name + ": empty; everything worth moving has a place"
	}
	first := &p.modules[left]
	if need := dev.Scratch + first.bytes(); need > dev.Bytes {
		return fmt.Sprintf("%s: empty; %s with its state and the scratch takes %s, the budget is %s", dev.Name, first.ID, size(need), size(dev.Bytes))
	}
	return fmt.Sprintf("%s: empty; %s takes %s there and %s on the cpu", dev.Name, first.ID, duration(first.seconds[d]), duration(first.seconds[0]))
}

// left is the first layer that is still on the CPU, -1 if there is none.
func (p *planner) left() int {
	for _, i := range p.layers {
		if p.modules[i].dev == 0 {
			return i
		}
	}
	return -1
}

func (p *planner) on(d int, streamed bool) []*item {
	var list []*item
	for i := range p.modules {
		if it := &p.modules[i]; it.dev == d && it.streamed == streamed {
			list = append(list, it)
		}
	}
	return list
}

// names lists modules, runs of layers as one, experts by their number.
func names(all []*item) string {
	var words []string
	var list []*item
	for _, it := range all {
		if it.home < 0 {
			list = append(list, it)
		}
	}
	for i := 0; i < len(list); {
		j := i + 1
		for j < len(list) && isLayer(list[i].ID) && isLayer(list[j].ID) {
			j++
		}
		if j > i+1 {
			words = append(words, list[i].ID+" to "+list[j-1].ID)
		} else {
			words = append(words, list[i].ID)
		}
		i = j
	}
	if n := len(all) - len(list); n > 0 {
		words = append(words, fmt.Sprintf("%d experts", n))
	}
	return strings.Join(words, ", ")
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

// size writes bytes as a person reads them.
func size(n int64) string {
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	v, u := float64(n), 0
	for v >= 1024 && u < len(units)-1 {
		v, u = v/1024, u+1
	}
	if u == 0 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.1f %s", v, units[u])
}

func duration(seconds float64) string {
	return time.Duration(seconds * float64(time.Second)).Round(10 * time.Nanosecond).String()
}

// brought is how many experts a layer brings, in words.
func brought(n float64) string {
	if math.IsInf(n, 1) {
		return "all experts that a pass lacks"
	}
	return fmt.Sprintf("%.2f experts a pass", n)
}
