package serve

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/far"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/engine"
)

// instance.go brings a model to life: devices, placement, caches, memory for activations, and the engine that runs it.

// The defaults of a load. Eight sequences are what one person's tools open at once; 512 rows keep the matrix kernels busy
// and bound the time until the next border.
const (
	defaultSequences = 8
	defaultRows      = 512
)

// instance is a loaded model.
type instance struct {
	opened
	devices []cuda.Device
	cpu     *cuda.CPU
	place   *residency
	step    *cuda.Step
	engine  *engine.Engine
	eyes    *eyes // nil: the model sees nothing
	layout  sdk.LayerTable
	context int
	stop    context.CancelFunc
}

// limits are the sizes everything else follows from.
type limits struct{ context, sequences, rows, blocks int }

// load opens the checkpoint and makes it ready to run. hold is the gate for tests. That nobody waits for it any more is noticed
// between modules.
func (f Family) load(ctx context.Context, req sdk.LoadRequest, progress func(sdk.Progress), hold func(int)) (_ *instance, err error) {
	o, err := f.open(ctx, req.InspectRequest)
	if err != nil {
		return nil, err
	}
	t := o.table(contextOf(req.InspectRequest, o.model))
	var total int64
	for _, m := range t.Modules {
		total += m.WeightBytes
	}
	progress(sdk.Progress{Stage: "bind", Done: total, Total: total})
	i := &instance{opened: *o, layout: t, cpu: cuda.NewCPU(req.Threads), stop: func() {}}
	defer func() {
		if err != nil {
			i.close()
		}
	}()
	if i.devices, err = openDevices(req.Devices, i.cpu); err != nil {
		return nil, err
	}
	l, err := i.limits(req, t)
	if err != nil {
		return nil, err
	}
	progress(sdk.Progress{Stage: "plan", Done: total, Total: total})
	if err := i.start(ctx, l, hold); err != nil {
		return nil, err
	}
	if c := i.checkpoint; c != nil {
		if err := c.Unchanged(); err != nil { // a download that was still running, most likely
			return nil, sdk.Errorf(sdk.ReasonCheckpoint, "%w", err)
		}
	}
	return i, nil
}

// openDevices makes the devices of a request; the CPU comes first whether it is named or not.
func openDevices(budgets []sdk.DeviceBudget, c *cuda.CPU) ([]cuda.Device, error) {
	list := []cuda.Device{c}
	for _, b := range budgets {
		switch b.Name {
		case cuda.KindCPU:
			c.SetBudget(b.Bytes)
		case cuda.KindFar:
			list = append(list, far.New(b.Name, ledgerBudget(1, b.Bytes), b.CopyRate, b.ReadRate, c))
		default:
			return nil, sdk.Errorf(sdk.ReasonInvalid, "device %q: this build computes on \"cpu\" and \"far\" only", b.Name)
		}
	}
	return list, nil
}

// limits decides how many sequences and blocks there are.
func (i *instance) limits(req sdk.LoadRequest, t sdk.LayerTable) (limits, error) {
	l := limits{context: t.Context, sequences: req.MaxSequences, rows: req.StepTokens}
	if l.sequences == 0 {
		l.sequences = defaultSequences
	}
	if l.rows == 0 {
		l.rows = max(defaultRows, l.sequences-1+engine.BlockSize)
	}
	if l.sequences < 1 || l.sequences > 1<<12 || l.rows > 1<<16 || l.rows < l.sequences-1+engine.BlockSize {
		return l, sdk.Errorf(sdk.ReasonInvalid, "max_sequences %d and step_tokens %d: 1 to 4096 sequences are possible, and at least %d more rows than sequences",
			l.sequences, l.rows, engine.BlockSize-1)
	}
	l.rows = min(l.rows, max(l.context, l.sequences-1+engine.BlockSize))
	full := (l.context + engine.BlockSize - 1) / engine.BlockSize
	l.blocks = full * l.sequences
	var position, sequence int64
	for _, m := range t.Modules {
		position += m.StateBytesToken
		sequence += m.StateBytesSeq
	}
	room := i.stateRoom() - sequence*int64(l.sequences)
	if room < 0 {
		return l, sdk.Errorf(sdk.ReasonMemory, "%d sequences take %d bytes of state, more than there is memory for; load it with a smaller max_sequences",
			l.sequences, sequence*int64(l.sequences))
	}
	if position > 0 && room < int64(l.blocks)*position*engine.BlockSize {
		l.blocks = int(room / (position * engine.BlockSize))
	}
	if l.blocks < full {
		return l, sdk.Errorf(sdk.ReasonMemory, "a context of %d positions takes %d bytes of cache and there is memory for %d positions; load it with a context of at most that",
			l.context, int64(l.context)*position, l.blocks*engine.BlockSize)
	}
	return l, nil
}

// stateRoom is how much memory caches may take: half of the CPU's budget, or of what the machine has left. Pages are
// given by the system only when they are first written, so an unused cache costs nothing.
func (i *instance) stateRoom() int64 {
	if b := i.cpu.Usage().Budget; b > 0 {
		return b / 2
	}
	if free := availableMemory(); free > 0 {
		return free / 2
	}
	return 1 << 62
}

// availableMemory is the system's estimate of what can be used without swapping, 0 if it does not tell.
func availableMemory() int64 {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var kib int64
		if rest, ok := strings.CutPrefix(lines.Text(), "MemAvailable:"); ok {
			if _, err := fmt.Sscan(rest, &kib); err == nil {
				return kib << 10
			}
		}
	}
	return 0
}

// start places the modules, takes the memory and starts the engine.
func (i *instance) start(ctx context.Context, l limits, hold func(int)) error {
	i.context = l.context
	t := &stepper{model: i.model}
	if err := i.layCaches(t, l, nil); err != nil {
		return err
	}
	width := t.fullest(l.rows, l.sequences, min(l.rows, l.sequences-1+engine.BlockSize), (l.context+engine.BlockSize-1)/engine.BlockSize)
	plain := cuda.NewStep(i.devices[:1], i.bound.Layers, nil)
	sizes, err := plain.Measure(func(s *cuda.Step) { t.forward(s, width) })
	if err != nil {
		return fmt.Errorf("measuring the memory for activations: %w", err)
	}
	for _, m := range i.bound.Layers {
		m.States = nil // those were for measuring
	}
	room := &activations{sizes: sizes}
	i.place = newResidency(i.devices, i.bound.Modules, room, i.planner(l, sizes))
	i.step = cuda.NewStep(i.devices, i.bound.Layers, i.place)
	room.step = i.step
	if err := i.step.Reserve(0, sizes); err != nil {
		return memoryError(err)
	}
	if err := i.place.settle(ctx); err != nil {
		return err
	}
	if err := i.layCaches(t, l, i.place); err != nil {
		return memoryError(err)
	}
	t.step, t.place = i.step, i.place
	if m, ok := i.model.(Seer); ok {
		t.eyes = newEyes(m, i.context, i.cpu, i.devices, i.place)
		i.eyes = t.eyes
	}
	i.engine, err = engine.New(t, engine.Config{Blocks: l.blocks, MaxSequences: l.sequences, StepTokens: l.rows, Context: l.context,
		Vocab: i.shape.Vocab, PromptLogprobs: true, Hold: hold})
	if err != nil {
		return err
	}
	running, cancel := context.WithCancel(context.Background())
	i.stop = cancel
	go i.place.run(running)
	i.layout.MaxSequences = max(1, l.blocks*engine.BlockSize/l.context)
	i.layout.Plan = i.place.placements()
	return nil
}

// memoryError gives a budget's refusal its reason.
func memoryError(err error) error {
	var budget *cuda.BudgetError
	if errors.As(err, &budget) {
		return sdk.Errorf(sdk.ReasonMemory, "%w", err)
	}
	return err
}

// layCaches makes each layer's cache where the layer is computed. Without a residency the caches are shapes without
// memory, enough to measure with.
func (i *instance) layCaches(t *stepper, l limits, r *residency) error {
	t.cache = t.cache[:0]
	size := nn.Size{Blocks: l.blocks, Slots: l.sequences}
	for n, spec := range i.model.Caches() {
		m := i.bound.Layers[n]
		dev, mem := cuda.Device(i.cpu), cuda.NewMemory(nil, spec.Bytes(size), cuda.ForState)
		if r != nil {
			var err error
			dev = i.devices[r.of[m].dev]
			if mem, err = dev.Alloc(spec.Bytes(size), cuda.ForState); err != nil {
				return fmt.Errorf("the cache of %s: %w", m.ID, err)
			}
			r.adoptStates(m, mem)
		}
		c, err := nn.NewCache(m, spec, dev, mem, size)
		if err != nil {
			return err
		}
		t.cache = append(t.cache, c)
	}
	return nil
}

// activations is the step's memory on the devices: it implements scratch.
type activations struct {
	step  *cuda.Step
	sizes cuda.Sizes
}

func (a *activations) Reserve(dev int) error { return a.step.Reserve(dev, a.sizes) }
func (a *activations) Release(dev int)       { a.step.Release(dev) }

// close frees everything. No request runs any more.
func (i *instance) close() error {
	if i.engine != nil {
		i.engine.Close()
	}
	i.stop()
	if i.place != nil {
		i.place.close()
	}
	if i.eyes != nil {
		i.eyes.release()
		i.eyes.album.close()
	}
	if i.step != nil {
		i.step.Release(0)
	}
	return errors.Join(i.cpu.Close(), i.opened.close())
}
