//go:build cuda && cgo

package hybrid

import (
	"time"

	"github.com/inference-pio/inference-pio/cuda/kernels/sim/imagined"
)

// machines.go has the machines of the tables. Rates are what code reaches; which of them were measured by others, and which are a data
// sheet's less a tenth, docs/bench.md says.

const gib = 1 << 30

// common is what machines do not differ by: launches as published for graphs and streams, 2 us until all threads of a host have an op.
func common(m imagined.Machine) imagined.Machine {
	m.Launch, m.Node, m.HostOp = 2500*time.Nanosecond, 1300*time.Nanosecond, 2*time.Microsecond
	return m
}

// Laptop has 8 GB on 128 bits, eight lanes of PCIe 4, and two channels of DDR5.
var Laptop = common(imagined.Machine{Name: "laptop, 8 GB", Memory: 8 * gib, Link: 13e9, Read: 230e9, FLOPS: 10e12, MMA: 40e12,
	HostRead: 60e9, HostFLOPS: 0.8e12, HostCopy: 12e9})

// Card has 24 GB on 384 bits and PCIe 4, in a desktop.
var Card = common(imagined.Machine{Name: "card, 24 GB", Memory: 24 * gib, Link: 26e9, Read: 910e9, FLOPS: 60e12, MMA: 150e12,
	HostRead: 80e9, HostFLOPS: 1.5e12, HostCopy: 14e9})

// H200 has 141 GB and PCIe 5, in a server with twelve channels of memory.
var H200 = common(imagined.Machine{Name: "H200", Memory: 141e9, Link: 54e9, Read: 4.3e12, FLOPS: 50e12, MMA: 790e12,
	HostRead: 400e9, HostFLOPS: 5e12, HostCopy: 14e9})

// Server is what KTransformers published Qwen3-Coder-Next's speed of: 32 GB on 512 bits of GDDR7, PCIe 5, and two sockets of twelve channels, whose
// memory their authors reckon with 400 GB/s of.
var Server = common(imagined.Machine{Name: "RTX 5090 and two EPYC 9355", Memory: 32 * gib, Link: 54e9, Read: 1.6e12, FLOPS: 95e12, MMA: 200e12,
	HostRead: 400e9, HostFLOPS: 5e12, HostCopy: 14e9})

// Machines are the GPUs of the driver, in its order.
var Machines = []imagined.Machine{Laptop, Card, H200, Server}
