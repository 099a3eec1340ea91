package plan

import (
	"fmt"
	"testing"

	"github.com/inference-pio/inference-pio/sdk"
)

// A plan is made at a border of a forward pass when a budget changes: three cards, 94 layers of 128 experts.
func BenchmarkMake(b *testing.B) {
	in := Input{Positions: 32768, Sequences: 1, Devices: []Device{{Name: "cpu", ReadRate: 8e10}}}
	for d := range 3 {
		in.Devices = append(in.Devices, Device{Name: fmt.Sprintf("gpu.%d", d), Bytes: 24 << 30, Scratch: 512 << 20, CopyRate: 2.5e10, ReadRate: 9e11})
	}
	for i := range 94 {
		layer := fmt.Sprintf("layers.%d", i)
		in.Modules = append(in.Modules, sdk.Module{ID: layer, WeightBytes: 90 << 20, ActiveBytesToken: 90 << 20, StateBytesToken: 1024})
		for e := range 128 {
			in.Modules = append(in.Modules, sdk.Module{ID: fmt.Sprintf("%s.mlp.experts.%d", layer, e), WeightBytes: 18 << 20, ActiveBytesToken: 18 << 16})
		}
	}
	for b.Loop() {
		if _, err := Make(in); err != nil {
			b.Fatal(err)
		}
	}
}
