package far

import (
	"hash/maphash"
	"math/rand/v2"
	"sync"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
)

// late.go holds Machine: a CPU and far devices whose queues run late and in their own time. It punishes what a device that really runs
// beside the CPU punishes, and needs no luck for it: besides running work out of step it follows which work is ordered by which mark and
// wait (order.go), and accuses two uses of the same bytes that are not, whenever they happened to run. late_queue.go has the queues,
// late_run.go says when what is in them runs, late_memory.go has the memory, watched.go the CPU.

// Machine is far devices that work beside one CPU. What one goroutine has waited for is held to be known to all that add to queues.
type Machine struct {
	threads *cpu.Device
	pace    Pace

	mu     sync.Mutex
	turned *sync.Cond // something was added to a queue, or has run
	random *rand.Rand
	queues []*lateQueue // by slot; nil where the queue was closed
	ended  []uint64     // by slot: the time of the last queue that had it
	host   clock        // what the CPU knows to have run
	seen   history      // of the memory of this process
	seed   maphash.Seed
	faults []error
}

// Pace says when what is in a queue runs.
type Pace struct {
	name string
	seed uint64
}

// Now runs everything at once: the devices are those of New, and nobody is accused.
func Now() Pace { return Pace{name: "now"} }

// Last runs nothing before somebody must wait for it.
func Last() Pace { return Pace{name: "last"} }

// Random runs a few entries of any queues after each addition, by a seed.
func Random(seed uint64) Pace { return Pace{name: "random", seed: seed} }

// Own gives each queue a goroutine of its own.
func Own() Pace { return Pace{name: "own"} }

// Paces is what a test of whole passes goes through.
func Paces() []Pace { return []Pace{Now(), Last(), Random(1), Random(2), Own()} }

// String names the pace.
func (p Pace) String() string { return p.name }

// NewMachine is one that computes on the threads of c.
func NewMachine(c *cpu.Device, p Pace) *Machine {
	m := &Machine{threads: c, pace: p, random: rand.New(rand.NewPCG(p.seed, 12)), seed: maphash.MakeSeed()}
	m.turned = sync.NewCond(&m.mu)
	return m
}

// Device is New on this machine.
func (m *Machine) Device(name string, memory int64, copyRate, readRate float64) *Device {
	d := New(name, memory, copyRate, readRate, m.threads)
	if m.pace != Now() {
		d.late = &lateMemory{Machine: m}
	}
	return d
}

// CPU is the CPU, whose ops are checked against what the devices copy from and to its memory.
func (m *Machine) CPU() cuda.Device {
	if m.pace == Now() {
		return m.threads
	}
	return &watched{m.threads, m}
}

// Faults is every use of memory that was accused, also those that no Sync told of.
func (m *Machine) Faults() []error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]error(nil), m.faults...)
}

func (m *Machine) accuse(err error) error {
	m.faults = append(m.faults, err)
	return err
}
