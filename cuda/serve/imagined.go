package serve

import (
	"errors"
	"unsafe"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/clock"
	"github.com/inference-pio/inference-pio/cuda/far"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// imagined.go is how a test has a plugin run on a machine that is not there, in a time that is counted: everything but the devices' work is
// what a plugin does anywhere.

// Imagined is such a machine. Its GPUs are the software driver's.
type Imagined struct {
	Clock   clock.Clock
	CPU     func(cuda.Device) cuda.Device // what is done on the CPU in the machine's time
	Counted bool                          // nothing is computed: invented weights have sizes and no elements
	Stepped func(Stepped)                 // is told of each step when it has ended; nil: nobody wants to know
	Learns  bool                          // what passes take corrects plans also where a device is `far`, whose rates its owner has told
}

// Stepped is a step that has ended, how many of the experts that steps have needed so far were there and were not, how many layers the next one finds
// on the CPU, and which part of what is fetched again and again goes through pinned memory.
type Stepped struct {
	Seconds      float64
	Hits, Misses uint64
	OnCPU        int
	Staged       float64
}

func (m *Imagined) clock() clock.Clock {
	if m == nil {
		return clock.Real()
	}
	return m.Clock
}

func (m *Imagined) cpu(here *far.Machine) cuda.Device {
	if m == nil {
		return here.CPU()
	}
	return m.CPU(here.CPU())
}

func (m *Imagined) learns() bool { return m != nil && m.Learns }

func (m *Imagined) counted() bool { return m != nil && m.Counted }

func (m *Imagined) stepped() func(Stepped) {
	if m == nil {
		return nil
	}
	return m.Stepped
}

// outlineAll gives quantised weights that are never computed with memory that nothing has written.
func (i *instance) outlineAll() error {
	outline, closes := weights.NewOutline(cuda.BF16), i.opened.close
	i.opened.close = func() error { return errors.Join(outline.Close(), closes()) }
	for w := range i.quantisedWeights {
		bytes := w.Bytes()
		mem := cuda.NewMemory(unsafe.Pointer(unsafe.SliceData(outline.Memory(bytes))), bytes, cuda.ForWeights)
		m, err := w.File().Layout.Lay(i.cpu, mem, 0, w.File().Rows, w.File().Cols)
		if err != nil {
			return err
		}
		w.Quantised(m)
	}
	return nil
}

// quantisedWeights yields those whose numbers are to be made still.
func (i *instance) quantisedWeights(yield func(*cuda.Weight) bool) {
	for _, m := range i.bound.Modules {
		for _, w := range m.Weights {
			if f := w.File(); f.Pointer(0) == nil && !yield(w) {
				return
			}
		}
	}
}
