// Package devices says which GPUs the machine has and how much of each models may have. It asks NVIDIA's driver, which it looks for when it is
// first asked, and starts nothing on a GPU.
package devices

import (
	"fmt"

	"github.com/inference-pio/inference-pio/cuda/gpu/driver"
	"github.com/inference-pio/inference-pio/host/internal/config"
)

// GPU is one, as `piohost devices` tells of it.
type GPU struct {
	Name            string `json:"name"`  // in models.toml: "gpu.0"
	Title           string `json:"title"` // the maker's: "NVIDIA H200"
	UUID            string `json:"uuid"`
	PCI             string `json:"pci"`
	Capability      string `json:"compute_capability"`
	Multiprocessors int    `json:"multiprocessors"`
	Memory          int64  `json:"memory"`
	Usable          int64  `json:"usable"` // by models, all together
	Driver          string `json:"driver"` // CUDA version that it speaks
	Refused         string `json:"refused,omitempty"`
}

// GPUs lists those of the machine. The error says in a sentence why there is none.
func GPUs() ([]GPU, error) {
	found, err := driver.Devices()
	if err != nil {
		return nil, err
	}
	var list []GPU
	for _, d := range found {
		g := GPU{
			Name: driver.Name(d.Ordinal), Title: d.Name, UUID: d.UUID, PCI: d.PCI, Capability: fmt.Sprintf("%d.%d", d.Major, d.Minor),
			Multiprocessors: d.Multiprocessors, Memory: d.Memory, Usable: usable(d.Memory), Driver: fmt.Sprintf("%d.%d", d.Driver/1000, d.Driver%1000/10),
		}
		if d.Major < driver.OldestCapability {
			g.Refused, g.Usable = fmt.Sprintf("the kernels need compute capability %d.0 or later", driver.OldestCapability), 0
		}
		list = append(list, g)
	}
	return list, nil
}

// Found is what Config.Equip takes: the GPUs that models can use.
func Found(list []GPU) (found []config.Device) {
	for _, g := range list {
		if g.Refused == "" {
			found = append(found, config.Device{Name: g.Name, Memory: g.Usable})
		}
	}
	return found
}

// What is left to others: a sixteenth for the driver, screens and programs, and for the context of each process, with its kernels and
// stacks, some 400 MB.
const (
	leftPart  = 16
	leftBytes = 768 << 20
)

// usable is what models may have of a GPU's memory.
func usable(memory int64) int64 {
	return memory - memory/leftPart - min(leftBytes, memory/8)
}
