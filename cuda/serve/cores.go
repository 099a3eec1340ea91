package serve

import (
	"sync"

	"github.com/inference-pio/inference-pio/cuda/cpu"
)

// cores is on how many cores the host has this process compute. It may say so before there is a device that computes.
type cores struct {
	mu     sync.Mutex
	number int // 0: it has not said
	device *cpu.Device
}

// use has the device compute on so many from its next op on.
func (c *cores) use(number int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.number = number
	if c.device != nil {
		c.device.Use(number)
	}
}

// ruled is the device that c is about from now on.
func (c *cores) ruled(d *cpu.Device) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.device = d
	d.Use(c.number)
}
