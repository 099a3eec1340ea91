package far

import (
	"math/rand/v2"
	"sync"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
)

// late.go holds Late: a CPU and far devices whose queues run late and in their own time. It punishes what a device that really runs beside
// the CPU punishes, and needs no luck for it: besides running work out of step it follows which work is ordered by which mark and wait
// (order.go), and accuses two uses of the same bytes that are not, whenever they happened to run. late_queue.go has the queues, late_run.go
// says when what is in them runs, late_memory.go has the memory, watched.go the CPU.

// Late is one machine. Its devices are of Device, its CPU, which must be used where ops of the CPU are to be followed, of CPU. Whatever goroutine
// waits for work of a queue, all of the CPU is held to know of it.
type Late struct {
	threads *cpu.Device
	pace    Pace

	mu     sync.Mutex
	turned *sync.Cond // something was added to a queue, or has run
	random *rand.Rand
	queues []*lateQueue // by slot; nil where the queue was closed
	ended  []uint64     // by slot: the time of the last queue that had it
	host   clock        // what the CPU knows to have run
	seen   history      // of the memory of this process
	faults []error
}

// Pace says when what is in a queue runs.
type Pace struct {
	name string
	seed uint64
}

// Last runs nothing before somebody must wait for it.
func Last() Pace { return Pace{name: "last"} }

// Random runs a few entries of any queues after each addition, by a seed.
func Random(seed uint64) Pace { return Pace{name: "random", seed: seed} }

// Own gives each queue a goroutine of its own.
func Own() Pace { return Pace{name: "own"} }

// String names the pace in tests.
func (p Pace) String() string { return p.name }

// NewLate is a machine that computes on the threads of c.
func NewLate(c *cpu.Device, p Pace) *Late {
	l := &Late{threads: c, pace: p, random: rand.New(rand.NewPCG(p.seed, 12))}
	l.turned = sync.NewCond(&l.mu)
	return l
}

// Device is New on this machine.
func (l *Late) Device(name string, memory int64, copyRate, readRate float64) *Device {
	d := New(name, memory, copyRate, readRate, l.threads)
	d.late = &lateMemory{Late: l}
	return d
}

// CPU is the machine's CPU. What its queues run is checked against what the devices copy from and to its memory.
func (l *Late) CPU() *Watched { return &Watched{l.threads, l} }

// Faults is every use of memory that was accused, also those that no Sync told of.
func (l *Late) Faults() []error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]error(nil), l.faults...)
}

func (l *Late) accuse(err error) error {
	l.faults = append(l.faults, err)
	return err
}

var _ cuda.Device = (*Watched)(nil)
