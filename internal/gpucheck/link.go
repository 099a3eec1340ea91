package main

import (
	"fmt"
	"strings"
)

// link.go says what the link between the host and the GPU carries.

// lanes are the bits that a lane of each generation of PCI Express carries in a second, without those of its code: PCI Express Base Specification
// 6.0, section 1.2. Of the sixth, 242 of 256 bytes are packets.
var lanes = []float64{1: 2.5e9 * 8 / 10, 2: 5e9 * 8 / 10, 3: 8e9 * 128 / 130, 4: 16e9 * 128 / 130, 5: 32e9 * 128 / 130, 6: 64e9 * 242 / 256}

// A packet carries 256 bytes at most, which is what GPUs take, behind 24 of its own: a head with an address of 64 bits, its frame, its sum.
const payload, head = 256, 24

// linkRate is bytes per second one way, by what nvidia-smi says of the first GPU: the generation and the lanes that it and its slot have together,
// as "5, 16". 0 is unknown.
func linkRate(smi string) float64 {
	line, _, _ := strings.Cut(smi, "\n")
	var generation, width int
	if n, _ := fmt.Sscanf(line, "%d, %d", &generation, &width); n < 2 || generation < 1 || generation >= len(lanes) || width < 1 || width > 32 {
		return 0
	}
	return lanes[generation] / 8 * float64(width) * payload / (payload + head)
}

// fromHost is the unit of the rate of copies, ofLink of its share of the link.
const fromHost, ofLink = "GB/s_from_the_host", "%link"

// share gives figures of copies their share of the link, if that is known.
func (r *record) share(link float64) {
	for _, f := range r.Figures {
		if rate := f.Values[fromHost]; rate > 0 && link > 0 {
			f.Values[ofLink] = 100 * rate * 1e9 / link
		}
	}
}
