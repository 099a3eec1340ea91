package serve

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/engine"
	"github.com/inference-pio/inference-pio/sdk/machine"
	"github.com/inference-pio/inference-pio/sdk/plan"
)

// size.go counts what a model takes of the CPU's memory before any is taken: for Inspect, whose numbers the host divides
// memory by, and for Load, which lays the model out in the share that came of it.

// The defaults of a load. Eight sequences are what one person's tools open at once; 512 rows keep the matrix kernels busy
// and bound the time until the next border.
const (
	defaultSequences = 8
	defaultRows      = 512
)

// What a process takes besides tensors: the runtime and its code, and the tokenizer, which while it is read takes some
// multiples of its file.
const (
	runtimeBytes   = 32 << 20
	tokenizerTimes = 4
)

// stateAlign is what a state may take more than its elements, since each begins at a multiple of it.
const stateAlign = 64

// What pictures take besides the tower's activations: decoding one of a telephone, or with room enough the largest there
// can be beside all that are remembered.
const (
	decodeBytes     = 64 << 20
	decodeBytesMost = 256 << 20
	commonPicture   = 1 << 20 // pixels
)

// limits are the sizes everything else follows from.
type limits struct {
	context, sequences, rows, blocks int

	spill    int64         // bytes of the host's memory for what the cache has no room for
	keep     int           // blocks that finished requests may leave filled
	stepTime time.Duration // of a step with answers under way; 0: no limit
}

// snapshotsEach is how many states of a fixed size are kept for the prefix cache, for each sequence there may be.
const snapshotsEach = 1

func (l limits) snapshots() int { return snapshotsEach * l.sequences }

// slots are those of sequences, and places for snapshots.
func (l limits) slots() int { return l.sequences + l.snapshots() }

// widest is the width of a table of blocks for a whole context.
func (l limits) widest() int { return (l.context + engine.BlockSize - 1) / engine.BlockSize }

const (
	rowTile         = 16 // rows that the matrix kernels like to have together
	defaultStepTime = 250 * time.Millisecond
)

// remember reads what was asked for of the prefix cache and of the time of steps. Half of the cache is what one may fill while as much is
// left for those who come.
func (l *limits) remember(req sdk.LoadRequest, t sdk.LayerTable) {
	var position int64
	for _, m := range t.Modules {
		position += m.StateBytesToken
	}
	switch {
	case req.PrefixCache < 0 || position == 0:
	case req.PrefixCache == 0:
		l.keep = max(1, l.blocks/2)
	default:
		l.keep = int(min(int64(l.blocks), req.PrefixCache/(position*engine.BlockSize)))
	}
	switch {
	case req.StepTime == 0:
		l.stepTime = defaultStepTime
	case req.StepTime > 0:
		l.stepTime = req.StepTime
	}
}

// stateful says whether a model keeps anything of a fixed size of a sequence.
func stateful(m Model) bool {
	return slices.ContainsFunc(m.Caches(), func(c nn.CacheSpec) bool { return len(c.Fixed) > 0 })
}

// limitsOf reads what was asked for, for a context; blocks hold one sequence of it.
func limitsOf(req sdk.InspectRequest, context int) (limits, error) {
	l := limits{context: context, sequences: req.MaxSequences, rows: req.StepTokens}
	if l.sequences == 0 {
		l.sequences = defaultSequences
	}
	least := l.sequences - 1 + engine.BlockSize
	if l.rows == 0 {
		l.rows = max(defaultRows, least)
	}
	switch {
	case l.sequences < 1 || l.sequences > sdk.MaxSequences:
		return l, sdk.Errorf(sdk.ReasonInvalid, "max_sequences is %d; 1 to %d are possible", l.sequences, sdk.MaxSequences)
	case l.rows < least || l.rows > sdk.MaxStepTokens:
		return l, sdk.Errorf(sdk.ReasonInvalid, "step_tokens is %d; with max_sequences %d from %d to %d are possible: a chunk of a prompt beside the others",
			l.rows, l.sequences, least, sdk.MaxStepTokens)
	}
	l.rows = min(l.rows, max(l.context, least))
	l.blocks = (l.context + engine.BlockSize - 1) / engine.BlockSize
	return l, nil
}

// taking completes a table with what the model takes besides weights and cache.
func (o *opened) taking(req sdk.InspectRequest, t sdk.LayerTable) (sdk.LayerTable, error) {
	l, err := limitsOf(req, t.Context)
	if err != nil {
		return t, err
	}
	z, err := o.measure(l)
	if err != nil {
		return t, err
	}
	t.MaxSequences = l.sequences
	if stateful(o.model) {
		t.Snapshots = l.snapshots()
	}
	t.ScratchBytes = z.Total() + o.processBytes(req.Path)
	for _, c := range o.caches() {
		t.ScratchBytes += int64(len(c.Paged)+len(c.Fixed)) * stateAlign
	}
	t.ScratchBytesMost = t.ScratchBytes
	if m, ok := o.model.(Seer); ok {
		few, many, err := pictureBytes(m)
		if err != nil {
			return t, err
		}
		t.ScratchBytes, t.ScratchBytesMost = t.ScratchBytes+few, t.ScratchBytesMost+many
	}
	return t, nil
}

// processBytes is what the process of a checkpoint takes besides tensors.
func (o *opened) processBytes(dir string) int64 {
	n := runtimeBytes + tokenizerTimes*o.head
	if info, err := os.Stat(filepath.Join(dir, "tokenizer.json")); err == nil {
		n += tokenizerTimes * info.Size()
	}
	return n
}

// measure says what activations take in the largest batch of a load, and what the ops of devices besides the CPU work with.
func (o *opened) measure(l limits, besides ...cuda.Device) (cuda.Sizes, error) {
	return o.measureWith(l, func(*cuda.Step) {}, besides...)
}

// measureWith is measure; before gets the step that measures, before it does.
func (o *opened) measureWith(l limits, before func(*cuda.Step), besides ...cuda.Device) (cuda.Sizes, error) {
	c := cpu.New(1)
	defer c.Close()
	t, size := &stepper{model: o.model, blocks: l.blocks, vocab: o.shape.Vocab}, nn.Size{Blocks: l.blocks, Slots: l.slots()}
	defer func() {
		for _, m := range o.bound.Layers {
			m.States = nil // those were for measuring
		}
	}()
	for n, spec := range o.caches() {
		shapes, err := nn.NewCache(o.bound.Layers[n], spec, c, cuda.NewMemory(nil, spec.Bytes(size), cuda.ForState), size)
		if err != nil {
			return cuda.Sizes{}, err
		}
		t.cache = append(t.cache, shapes)
	}
	width := t.fullest(l.rows, l.sequences, min(l.rows, l.sequences-1+engine.BlockSize), l.widest())
	s := cuda.NewStep(append([]cuda.Device{c}, besides...), o.bound.Layers, nil)
	defer s.Close()
	z, err := s.Measure(func(s *cuda.Step) {
		before(s)
		t.forward(s, width)
	})
	if err != nil {
		return z, fmt.Errorf("measuring the memory for activations: %w", err)
	}
	return z, nil
}

// pictureBytes is what a common picture takes while it is looked at, and what the largest does.
func pictureBytes(m Seer) (few, many int64, err error) {
	c := cpu.New(1)
	defer c.Close()
	e := &eyes{model: m, step: cuda.NewStep([]cuda.Device{c}, nil, nil)}
	defer e.step.Close()
	if few, err = e.takes(m.Blank(commonPicture)); err != nil {
		return 0, 0, err
	}
	many, err = e.takes(m.Blank(1 << 62))
	return few + decodeBytes, max(few, many) + decodeBytesMost + recentWeight, err
}

// takes adds up what one picture does.
func (e *eyes) takes(p Picture) (int64, error) {
	z, between, err := e.measure(p)
	return z.Total() + between + e.weight(p), err
}

// fit lays the model out in its share of the CPU's memory; without one, in what the machine has.
func (o *opened) fit(req sdk.LoadRequest, t sdk.LayerTable) (plan.Fit, error) {
	need := plan.NeedOf(t, req.InspectRequest).WithSpill(req.KVSpill)
	share, whose := cpuShare(req.Devices), "its share of the cpu's memory is"
	if share == 0 {
		share, whose = machine.Read().Usable(), "the machine can give it"
	}
	if share == 0 { // the system does not tell
		share = need.Wanted()
	}
	f, ok := need.Fit(share)
	if !ok {
		return f, sdk.Errorf(sdk.ReasonMemory, "the model takes at least %s (%s) and %s %s%s",
			plan.Size(need.Least()), need.Takes(), whose, plan.Size(share), advice(need.Advice(share)))
	}
	return f, nil
}

func advice(what string) string {
	if what == "" {
		return "; give it more, with [[device]] memory where that limits it, or take a smaller model"
	}
	return "; " + what + " in its [[model]]"
}

// cpuShare is the budget of the CPU in a request; 0 is none.
func cpuShare(budgets []sdk.DeviceBudget) int64 {
	for _, b := range budgets {
		if b.Name == cuda.KindCPU {
			return b.Bytes
		}
	}
	return 0
}
