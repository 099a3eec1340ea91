//go:build cuda && cgo

package hybrid

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda/gpu"
	"github.com/inference-pio/inference-pio/cuda/gpu/driver"
	"github.com/inference-pio/inference-pio/cuda/serve/servetest"
)

// lives.go draws how a small model answers on two GPUs.

// Lives has a small model answer on two GPUs of the software driver and the CPU, in processes that end, under orders and budgets that are drawn. Streams run
// as threads, and the second GPU's link is so slow that layers are on their way as tokens come. The tokens are the reference's, and at no
// instant has the driver given out more of a GPU than the most that the model may ever hold of it.
func Lives(t *testing.T, p servetest.Plugin) {
	if !apart(t) {
		return
	}
	t.Setenv(gpu.EnvPatience, "24h") // kernels take as long as this machine needs for them
	d := drive(t, "256MiB 256MiB:20MB", "time threads")
	devices := []string{driver.Name(0), driver.Name(1)}
	number := map[string]int{devices[0]: 0, devices[1]: 1}
	p.Lives(t, servetest.Places{Devices: devices, Bytes: []int64{0, 3 << 20, 12 << 20, 128 << 20}, Lives: 2, Tokens: 20, Greedy: true,
		Peak: func(device string) int64 { return d.Peak(number[device]) }})
}
