package plan

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/inference-pio/inference-pio/sdk"
	"pgregory.net/rapid"
)

// What must hold for any model and any machine. Bytes are counted here from the placements alone.
func TestPlanInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		p, err := Make(in)
		if err != nil {
			if sdk.ReasonOf(err) != sdk.ReasonMemory || in.Devices[0].Bytes == 0 {
				t.Fatal(err)
			}
			return
		}
		if again, err := Make(in); err != nil || !reflect.DeepEqual(p, again) {
			t.Fatal("the same input gives another plan")
		}
		bytes, seconds := count(t, in, p)
		for d, dev := range in.Devices {
			if bytes[d] != p.Bytes[d] {
				t.Errorf("%s holds %d bytes; the plan says %d", dev.Name, bytes[d], p.Bytes[d])
			}
			if bytes[d] > dev.Bytes && (d > 0 || dev.Bytes > 0) {
				t.Errorf("%s: %d bytes of %d", dev.Name, bytes[d], dev.Bytes)
			}
		}
		onCPU := 0.0
		for _, m := range in.Modules {
			onCPU += max(float64(min(m.ActiveBytesToken, m.WeightBytes))/in.Devices[0].ReadRate, m.FLOPsToken/in.Devices[0].FLOPS)
		}
		if in.Devices[0].Bytes == 0 && p.Seconds > onCPU*(1+1e-9) {
			t.Errorf("%g s a pass; the cpu alone takes %g s", p.Seconds, onCPU)
		}
		if diff := p.Seconds - seconds; diff > 1e-9*seconds || -diff > 1e-9*seconds {
			t.Errorf("%g s a pass; the placements take %g s", p.Seconds, seconds)
		}
	})
}

func drawInput(t *rapid.T) Input {
	in := Input{Positions: rapid.IntRange(0, 4096).Draw(t, "positions"), Sequences: rapid.IntRange(1, 4).Draw(t, "sequences"), Rows: 1}
	module := func(id string) {
		weights := rapid.Int64Range(0, 1<<20).Draw(t, "weights")
		in.Modules = append(in.Modules, sdk.Module{ID: id, WeightBytes: weights, ActiveBytesToken: rapid.Int64Range(0, weights).Draw(t, "active"),
			StateBytesToken: rapid.Int64Range(0, 512).Draw(t, "state"), FLOPsToken: float64(weights)})
	}
	module("embed_tokens")
	experts := rapid.SampledFrom([]int{0, 0, 3}).Draw(t, "experts")
	for i := range rapid.IntRange(0, 12).Draw(t, "layers") {
		module(fmt.Sprintf("layers.%d", i))
		for e := range experts {
			module(fmt.Sprintf("layers.%d.mlp.experts.%d", i, e))
		}
	}
	module("norm")
	module("lm_head")
	for i := range rapid.IntRange(1, 4).Draw(t, "devices") {
		d := Device{Name: fmt.Sprintf("gpu.%d", i-1), Bytes: rapid.Int64Range(0, 1<<24).Draw(t, "bytes"), Scratch: rapid.Int64Range(0, 1<<20).Draw(t, "scratch"),
			CopyRate: rapid.Float64Range(0, 1e11).Draw(t, "copy"), ReadRate: rapid.Float64Range(1e8, 1e12).Draw(t, "read"), FLOPS: rapid.Float64Range(1e8, 1e14).Draw(t, "flops")}
		if i == 0 {
			d.Name, d.Bytes = "cpu", rapid.SampledFrom([]int64{0, 0, 1 << 21, 1 << 24}).Draw(t, "cpu bytes")
		}
		in.Devices = append(in.Devices, d)
	}
	return in
}

func count(t *rapid.T, in Input, p Plan) (bytes []int64, seconds float64) {
	bytes = make([]int64, len(in.Devices))
	largest, streamed, used := make([]int64, len(in.Devices)), make([]int, len(in.Devices)), make([]bool, len(in.Devices))
	used[0] = true
	homes := map[string]string{}
	for i, m := range in.Modules {
		where := p.Placements[i]
		d := -1
		for j := range in.Devices {
			if in.Devices[j].Name == where.Device {
				d = j
			}
		}
		if where.Module != m.ID || d < 0 || where.Streamed && d == 0 {
			t.Fatalf("module %s: %+v", m.ID, where)
		}
		if homes[m.ID] = where.Device; isLayer(m.ID) || layerOf(m.ID) == "" {
			used[d] = true
		} else {
			seconds -= hits(t, in, p, m, homes[layerOf(m.ID)])
			if d > 0 {
				t.Errorf("the expert %s is placed on %s", m.ID, where.Device)
			}
		}
		dev := in.Devices[d]
		cost := max(float64(min(m.ActiveBytesToken, m.WeightBytes))/dev.ReadRate, m.FLOPsToken/dev.FLOPS)
		bytes[d] += m.StateBytesToken * int64(in.Positions)
		switch {
		case where.Streamed:
			cost = max(cost, float64(m.WeightBytes)/dev.CopyRate)
			largest[d] = max(largest[d], m.WeightBytes)
			streamed[d]++
		case d > 0:
			bytes[d] += m.WeightBytes
		}
		seconds += cost
	}
	for d, dev := range in.Devices {
		if used[d] {
			bytes[d] += dev.Scratch
		}
		bytes[d] += 2*largest[d] + p.Caches[d].Bytes
		if streamed[d] > 0 && (streamed[d] < 3 || p.Buffers[d] != Buffer{Slots: 2, Bytes: 2 * largest[d]}) {
			t.Errorf("%s streams %d modules of at most %d bytes through %+v", dev.Name, streamed[d], largest[d], p.Buffers[d])
		}
	}
	return bytes, seconds
}

// hits is the time that a device's cache of experts saves on one of them.
func hits(t *rapid.T, in Input, p Plan, m sdk.Module, device string) float64 {
	for d, dev := range in.Devices {
		if dev.Name != device || d == 0 {
			continue
		}
		c := p.Caches[d]
		if c.Experts > c.Of || c.Hits < 0 || c.Hits > 1 || (c.Hits > 0) != (c.Experts > 0) || p.Buffers[d].Slots > 0 && c.Experts > 0 {
			t.Errorf("a cache of %+v, and %+v", c, p.Buffers[d])
		}
		cost := func(d Device) float64 {
			return max(float64(min(m.ActiveBytesToken, m.WeightBytes))/d.ReadRate, m.FLOPsToken/d.FLOPS)
		}
		return c.Hits * (cost(in.Devices[0]) - cost(dev))
	}
	return 0
}

// Nothing is quicker among all the ways to give runs of layers to up to three devices, some of them through a buffer.
func TestNoWayToDivideTheLayersIsQuicker(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		in.Devices = in.Devices[:min(len(in.Devices), 4)]
		in.Devices[0].Bytes = 0
		var layers []sdk.Module
		for _, m := range in.Modules {
			if isLayer(m.ID) && len(layers) < 6 {
				layers = append(layers, m)
			}
		}
		in.Modules = layers
		p, err := Make(in)
		if err != nil {
			t.Fatal(err)
		}
		if best := quickest(in, 1, layers); p.Seconds > best*(1+1e-8) {
			t.Errorf("%g s a pass, where %g s are possible: %v", p.Seconds, best, p.Placements)
		}
	})
}

// quickest tries every way to use devices from d on for layers.
func quickest(in Input, d int, layers []sdk.Module) float64 {
	cost := func(m sdk.Module, d int) float64 {
		return max(float64(min(m.ActiveBytesToken, m.WeightBytes))/in.Devices[d].ReadRate, m.FLOPsToken/in.Devices[d].FLOPS)
	}
	best := 0.0
	for _, m := range layers {
		best += cost(m, 0)
	}
	if d == len(in.Devices) {
		return best
	}
	dev := in.Devices[d]
	for resident := 0; resident <= len(layers); resident++ {
		for streamed := 0; resident+streamed <= len(layers); streamed++ {
			bytes, seconds, largest := dev.Scratch, 0.0, int64(0)
			for i, m := range layers[:resident+streamed] {
				bytes += m.StateBytesToken * int64(in.Positions)
				t := cost(m, d)
				if i < resident {
					bytes += m.WeightBytes
				} else {
					t, largest = max(t, float64(m.WeightBytes)/dev.CopyRate), max(largest, m.WeightBytes)
				}
				seconds += t
			}
			if resident+streamed > 0 && bytes+slots*largest > dev.Bytes || streamed > 0 && (streamed <= slots || dev.CopyRate == 0) {
				continue
			}
			best = min(best, seconds+quickest(in, d+1, layers[resident+streamed:]))
		}
	}
	return best
}

func TestInputThatMakesNoSense(t *testing.T) {
	cpu := Device{Name: "cpu"}
	for name, in := range map[string]Input{
		"no device":       {},
		"no cpu":          {Devices: []Device{{Name: "far"}}},
		"twice a device":  {Devices: []Device{cpu, {Name: "far"}, {Name: "far"}}},
		"negative budget": {Devices: []Device{cpu, {Name: "far", Bytes: -1}}},
		"twice a module":  {Devices: []Device{cpu}, Modules: []sdk.Module{{ID: "norm"}, {ID: "norm"}}},
		"negative size":   {Devices: []Device{cpu}, Modules: []sdk.Module{{ID: "norm", WeightBytes: -1}}},
	} {
		if _, err := Make(in); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
