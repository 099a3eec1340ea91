package serve

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/weights"
	"github.com/inference-pio/inference-pio/sdk"
)

// ofBlocks is a tensor of blocks of a type.
type ofBlocks string

func (ofBlocks) Widen([]float32, int) {}
func (ofBlocks) File(int, int) []byte { return nil }
func (b ofBlocks) Type() string       { return string(b) }

// TestRepackIsForAllDevices: blocks that CPUs take as they are become q8 where there is a GPU, be it one that a plan imagines.
func TestRepackIsForAllDevices(t *testing.T) {
	own := []string{cuda.Q4K, cuda.Q6K}
	if machineGPUs() {
		own = []string{cuda.Q8, cuda.Q8}
	}
	for _, tt := range []struct {
		devices []string
		forms   []string
	}{{nil, own}, {[]string{"cpu"}, own}, {[]string{"cpu", "far"}, own}, {[]string{"cpu", "gpu.0"}, []string{cuda.Q8, cuda.Q8}}} {
		var req sdk.InspectRequest
		if tt.devices != nil {
			req.Measure = &sdk.Measurement{}
			for _, d := range tt.devices {
				req.Measure.Devices = append(req.Measure.Devices, sdk.DeviceBudget{Name: d})
			}
		}
		form := repack(req)
		for i, kind := range []string{"Q4_K", "Q6_K"} {
			if got := form(weights.View{Format: kind, Coded: ofBlocks(kind)}); got != tt.forms[i] {
				t.Errorf("%s on %q is packed to %s", kind, tt.devices, got)
			}
		}
		if got := form(weights.View{Format: "Q5_K", Coded: ofBlocks("Q5_K")}); got != cuda.Q8 {
			t.Errorf("Q5_K on %q is packed to %s", tt.devices, got)
		}
	}
}
