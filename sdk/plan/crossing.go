package plan

import "sort"

// crossingMost is the longest pass that Crossing looks at: what a plugin can be asked for.
const crossingMost = 1 << 16

// Crossing is the fewest rows of a pass for which bringing a layer's weights through a device is quicker than computing it on the CPU, which
// reads its weights once however many rows there are, but multiplies for each. 0: it never is, or the CPU's FLOPS are not known.
func Crossing(in Input, device int) int {
	dev := in.Devices[device]
	if device == 0 || dev.CopyRate == 0 {
		return 0
	}
	rows := 1 + sort.Search(crossingMost, func(n int) bool {
		in.Rows = n + 1
		p := newPlanner(in)
		var there, here float64
		for _, i := range p.layers {
			it := &p.modules[i]
			there, here = there+max(it.seconds[device], it.copySeconds(dev)), here+it.seconds[0]
		}
		return there < here
	})
	if rows > crossingMost {
		return 0
	}
	return rows
}
