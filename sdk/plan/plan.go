// Package plan decides where each module of a model is computed: a pure function of what the modules take, what the
// devices have and how fast they are. The host calls it to show a plan, the plugin to carry it out, so the two agree.
//
// The first device is the CPU, which computes from the mapped file. The others, in the order given, take the layers front to back, each a run
// of them, so that a pass is quickest, whatever they have and however unequal they are:
//
//   - layers that stay there: weights, and state for every position reserved;
//   - behind them, layers whose weights are streamed: brought for each pass through a buffer of two modules, one computing
//     while the next is copied. Their state stays on the device. This pays where copying a layer takes less time than
//     the CPU needs to read it;
//   - once all layers are placed: other modules (lm_head, norm) by the time they save per byte, into what is free;
//   - what then is free is a cache of single experts of the device's layers, whose dense parts come first: attention, router, shared expert.
//     A decoded token computes the others on the CPU, where they lie; a pass of many rows brings all of them through the cache.
//
// What is left is computed on the CPU. Nothing is put elsewhere without making a pass strictly quicker, but for one
// reason: a CPU budget that the state would exceed.
package plan

import (
	"fmt"
	"strings"

	"github.com/inference-pio/inference-pio/sdk"
)

// Input is all a plan depends on.
type Input struct {
	Modules   []sdk.Module // in the order of the forward pass; WeightBytes as they lie on a device
	Devices   []Device     // the first is the CPU
	Positions int          // of cache reserved, over all sequences
	Sequences int          // whose fixed-size state is reserved
	Rows      int          // of a pass; 0 means 1, a decoded token. A pass of many rows reads its weights once.
	Depth     int          // positions of cache that each row reads; 0: their time is not counted
	Skew      float64      // how unevenly experts are drawn, see SkewOf; 0 or 1: evenly
}

// Device is what a plan knows of a device.
type Device struct {
	Name     string
	Bytes    int64   // budget; 0 on the CPU is no limit
	Scratch  int64   // taken as soon as anything is computed there
	CopyRate float64 // bytes per second from the host's memory; 0: nothing can be streamed
	ReadRate float64 // bytes per second its kernels read weights at; 0: unknown
	FLOPS    float64 // multiply-adds count as two; 0: never the limit

	OpSeconds   float64 // what each op takes beside that
	TurnSeconds float64 // to have something small computed there and learn of it: once a pass, and for each layer whose experts lie here and there
	BesideRate  float64 // bytes per second that are copied there while the CPU reads as fast as it can; 0: CopyRate
	BesideTakes float64 // bytes that the CPU reads less meanwhile, for each that is copied
	StagedRate  float64 // both of copies through pinned memory, where those are of copies from where weights lie; 0: there is one way
	StagedTakes float64
	Staged      float64 // the part that goes through pinned memory of what is copied again and again, as its pages are not registered now
	Slower      float64 // how many times as long as all of that says it was measured to take, see Measured; 0: as it says
}

// Plan is where everything goes.
type Plan struct {
	Placements []sdk.Placement // one for each module, in order
	Bytes      []int64         // by device: the most it holds at once; on the CPU without weights, which are the mapped file
	Buffers    []Buffer        // by device
	Caches     []Cache         // by device: of single experts, whose placements say cpu
	Through    []int           // by device: rows of a pass from which on all experts of its layers are brought through it; 0: those that it lacks are computed on the CPU
	Order      []string        // modules that are not on the CPU, in the order in which their weights are brought: that of the pass
	Seconds    float64         // of a pass, estimated
	PerToken   float64         // Seconds by row
	Why        []string        // a sentence for each device, and more where a choice was close to another
}

// Buffer is what weights are streamed through.
type Buffer struct {
	Slots int   // 0 if nothing is streamed
	Bytes int64 // all slots together
}

// slots of a streaming device: one computes while the other is filled.
const slots = 2

// cpu is the name of the first device.
const cpu = "cpu"

// readRate guesses where none is told: an ordinary CPU, and another device ten times as fast as the CPU.
func (in *Input) readRate(d Device) float64 {
	switch cpu := in.Devices[0]; {
	case d.ReadRate > 0:
		return d.ReadRate
	case d.Name == cpu.Name:
		return 10e9
	default:
		return 10 * in.readRate(cpu)
	}
}

// Make plans. It fails if the CPU's budget holds neither the state that finds no other place nor its scratch.
func Make(in Input) (Plan, error) {
	if err := in.validate(); err != nil {
		return Plan{}, err
	}
	p := newPlanner(in)
	p.divide()
	p.useRest()
	p.useCaches()
	p.through = p.findThrough()
	return p.plan()
}

func (in *Input) validate() error {
	if len(in.Devices) == 0 || in.Devices[0].Name != cpu {
		return fmt.Errorf("plan: the first device must be the cpu")
	}
	seen := map[string]bool{}
	for _, d := range in.Devices {
		if seen[d.Name] {
			return fmt.Errorf("plan: device %s is listed twice", d.Name)
		}
		seen[d.Name] = true
		if d.Bytes < 0 || d.Scratch < 0 || !(d.CopyRate >= 0) || !(d.ReadRate >= 0) || !(d.FLOPS >= 0) || !(d.OpSeconds >= 0) || !(d.TurnSeconds >= 0) ||
			!(d.BesideRate >= 0) || !(d.BesideTakes >= 0) || !(d.StagedRate >= 0) || !(d.StagedTakes >= 0) || !(d.Staged >= 0 && d.Staged <= 1) || !(d.Slower >= 0) {
			return fmt.Errorf("plan: device %s: bytes, rates and seconds must not be negative", d.Name)
		}
	}
	for _, m := range in.Modules {
		if seen[m.ID] {
			return fmt.Errorf("plan: module %s is listed twice", m.ID)
		}
		seen[m.ID] = true
		if m.WeightBytes < 0 || m.StateBytesToken < 0 || m.StateBytesSeq < 0 || m.ActiveBytesToken < 0 || !(m.FLOPsToken >= 0) || m.Ops < 0 {
			return fmt.Errorf("plan: module %s: sizes must not be negative", m.ID)
		}
	}
	return nil
}

// isLayer says that a module is a whole decoder layer, or its dense part: "layers.N".
func isLayer(id string) bool {
	n, ok := strings.CutPrefix(id, "layers.")
	return ok && n != "" && strings.Trim(n, "0123456789") == ""
}

// layerOf is the layer that a module is a part of, as an expert is, or "".
func layerOf(id string) string {
	n, ok := strings.CutPrefix(id, "layers.")
	if !ok {
		return ""
	}
	n, _, _ = strings.Cut(n, ".")
	return "layers." + n
}
