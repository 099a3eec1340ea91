package serve

import (
	"os"

	"github.com/inference-pio/inference-pio/sdk/machine"
)

// held.go decides which weights are copied out of their mapped files: all, where the CPU computes the whole model and the machine has memory. That they
// are in memory was counted when the model was given its share; which pages they lie in changes nothing of it.

// holdings are files whose weights may be copied.
type holdings []interface {
	Hold(data [][]byte, room func(bytes int64) bool, between func(func()) (busy bool))
	Release()
	Maps(data []byte) bool
	InMemory(data []byte) bool
}

// envCopies is the environment variable that forbids copies if it is "none": processes that have the same file may want to share its pages.
const envCopies = "PIO_CPU_COPIES"

// holdWeights begins to copy what is read of every token, and then experts.
func (i *instance) holdWeights() {
	if os.Getenv(envCopies) == "none" {
		return
	}
	if len(i.devices) > 1 {
		return // copies to devices are under way at any time, and no moment is known in which nobody reads
	}
	data := i.everyToken()
	for _, m := range i.bound.Modules {
		if isExpert(m) {
			data = append(data, dataOf(m)...)
		}
	}
	for _, f := range i.held {
		f.Hold(data, spare, i.engine.Between)
	}
}

// release gives the copies up. No step runs, or one is at a border.
func (h holdings) release() {
	for _, f := range h {
		f.Release()
	}
}

// maps says whether data lies in one of the files.
func (h holdings) maps(data []byte) bool {
	for _, f := range h {
		if f.Maps(data) {
			return true
		}
	}
	return false
}

// inMemory says that data is read without the disk.
func (h holdings) inMemory(data []byte) bool {
	for _, f := range h {
		if !f.InMemory(data) {
			return false
		}
	}
	return true
}

// spare says whether the machine has so many bytes besides its reserve.
func spare(bytes int64) bool {
	m := machine.Read()
	return m.Available == 0 || m.Available-bytes > m.Total-m.Usable()
}
