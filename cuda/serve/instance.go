package serve

import (
	"context"
	"errors"
	"fmt"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/weights"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/engine"
	"github.com/inference-pio/inference-pio/sdk/plan"
)

// instance.go brings a model to life: devices, placement, caches, memory for activations, and the engine that runs it.

// instance is a loaded model.
type instance struct {
	opened
	devices []cuda.Device
	cpu     *cpu.Device
	place   *residency
	step    *cuda.Step
	engine  *engine.Engine
	vigil   *vigil
	held    holdings
	made    []cuda.Memory   // quantised weights
	kept    *weights.Packed // they lie there instead; nil: in made
	found   bool            // all of them were kept by an earlier load, so that nothing of the checkpoint was packed
	eyes    *eyes           // nil: the model sees nothing
	spill   *spill
	layout  sdk.LayerTable
	context int
	stop    context.CancelFunc

	imagined *Imagined
	pins     bool // all weights are to stay in memory
}

// load opens the checkpoint and makes it ready to run, on as many cores as there are for it. hold is the gate for tests. That nobody waits for it any more is noticed
// between modules. words opens the text side while pages are mapped, which takes as long, and before weights are quantised, which may take minutes.
func (f Family) load(ctx context.Context, req sdk.LoadRequest, progress func(sdk.Progress), cores *cores, hold func(int), words func() error) (_ *instance, err error) {
	o, err := f.open(ctx, req.InspectRequest)
	if err != nil {
		return nil, err
	}
	c, err := cpu.Open(cpu.Options{Threads: req.Threads, Numerics: string(o.numerics)})
	if err != nil {
		return nil, errors.Join(sdk.Errorf(sdk.ReasonInvalid, "%w", err), o.close())
	}
	cores.ruled(c)
	o.mapAhead()
	i := &instance{opened: *o, cpu: c, imagined: f.Imagined, stop: func() {}}
	defer func() {
		if err != nil {
			i.close()
		}
	}()
	if err := words(); err != nil {
		return nil, err
	}
	t, err := o.taking(req.InspectRequest, o.table(contextOf(req.InspectRequest, o.model)))
	if err != nil {
		return nil, err
	}
	var total int64
	for _, m := range t.Modules {
		total += m.WeightBytes
	}
	progress(sdk.Progress{Stage: "bind", Done: total, Total: total})
	fit, err := o.fit(req, t)
	if err != nil {
		return nil, err
	}
	l, err := limitsOf(req.InspectRequest, fit.Context)
	if err != nil {
		return nil, err
	}
	l.blocks = fit.Positions / engine.BlockSize
	l.spill = fit.Spill
	l.remember(req, t)
	t.Context, t.CachePositions, t.ScratchBytes = fit.Context, fit.Positions, fit.Scratch
	t.MaxSequences = max(1, fit.Positions/fit.Context)
	i.layout = t
	if i.devices, err = f.openDevices(req.Devices, i.cpu, f.machine(i.cpu), o.numerics); err != nil {
		return nil, err
	}
	if err := i.charge(fit, req.Path); err != nil {
		return nil, memoryError(err)
	}
	if err := i.quantiseAll(ctx, f, req, progress); err != nil {
		return nil, err
	}
	progress(sdk.Progress{Stage: "plan", Done: total, Total: total})
	i.pins = fit.Weights >= total
	if err := i.start(ctx, l, hold); err != nil {
		return nil, err
	}
	if err := i.place.packAll(ctx, t.ScratchBytesMost-t.ScratchBytes); err != nil {
		return nil, err
	}
	if fit.Weights >= total {
		i.holdWeights()
	}
	if c := i.checkpoint; c != nil {
		if err := c.Unchanged(); err != nil { // a download that was still running, most likely
			return nil, sdk.Errorf(sdk.ReasonChanged, "%w", err)
		}
		i.layout.Weights = c.Identity() + i.quantise
	}
	return i, nil
}

// charge counts against the CPU's budget what is not taken from the device: the weights of the mapped file, as far as they
// are to stay in memory, and what the process is without tensors.
func (i *instance) charge(fit plan.Fit, dir string) error {
	if err := i.cpu.Take(fit.Weights-i.bound.QuantisedBytes(), cuda.ForWeights); err != nil {
		return err
	}
	return i.cpu.Take(i.processBytes(dir), cuda.ForScratch)
}

// start places the modules, takes the memory and starts the engine.
func (i *instance) start(ctx context.Context, l limits, hold func(int)) error {
	i.context = l.context
	i.vigil = newVigil(i.checkpoint, i.kept)
	if i.checkpoint != nil {
		i.held = append(i.held, i.checkpoint)
	}
	if i.kept != nil {
		i.held = append(i.held, i.kept)
	}
	t := &stepper{model: i.model, vigil: i.vigil, blocks: l.blocks, vocab: i.shape.Vocab, widest: l.widest()}
	sizes, err := i.measure(l, i.devices[1:]...)
	if err != nil {
		return err
	}
	if len(i.devices) > 1 {
		if err := i.tell(&i.layout, l, i.devices, sizes, sdk.DeviceBudget{}, i.imagined.clock(), i.pins); err != nil {
			return err
		}
	}
	room := &activations{sizes: sizes}
	i.place = newResidency(i.devices, i.bound.Modules, room, i.planner(l))
	i.place.meter = newMeter(i.devices, i.imagined, func() plan.Input { return i.known(l, i.place.budgets()) })
	i.step = cuda.NewStep(append([]cuda.Device{i.place.meter.cpuOf(i.devices[0])}, i.devices[1:]...), i.bound.Layers, i.place)
	i.place.pins = i.pinning()
	room.step, i.place.clock, i.place.stepped = i.step, i.imagined.clock(), i.imagined.stepped()
	if err := i.step.Reserve(0, sizes); err != nil {
		return memoryError(err)
	}
	if err := i.place.load(); err != nil {
		return err
	}
	if err := i.layCaches(t, l, i.place); err != nil {
		return memoryError(err)
	}
	i.spill = newSpill(i.devices, i.caches(), i.place, l.spill)
	t.step, t.place, t.spill, i.place.spill, i.place.copies = i.step, i.place, i.spill, i.spill, i.held
	if m, ok := i.model.(Seer); ok {
		t.eyes = newEyes(m, i.context, i.cpu, i.devices, i.place)
		i.eyes, i.place.crowded = t.eyes, t.eyes.album.fit
	}
	i.engine, err = engine.New(t, i.engineConfig(l, hold))
	if err != nil {
		return err
	}
	running, cancel := context.WithCancel(context.Background())
	i.stop = cancel
	go i.place.run(running)
	i.layout.Plan = i.place.placements()
	return nil
}

// engineConfig says what the engine may do with the model.
func (i *instance) engineConfig(l limits, hold func(int)) engine.Config {
	c := engine.Config{Blocks: l.blocks, MaxSequences: l.sequences, StepTokens: l.rows, Context: l.context, Vocab: i.shape.Vocab, Hidden: i.shape.Hidden,
		PromptLogprobs: true, OneForm: !i.shape.TwoForms, ChunkMultiple: rowTile, StepTime: l.stepTime, PrefixCache: true, Keep: l.keep, Cores: i.cpu.Threads, Hold: hold}
	if stateful(i.model) {
		c.Stateful, c.Snapshots, c.ChunkMultiple = true, l.snapshots(), nn.BlockSize // the chunked delta rule's own chunks
	}
	return c
}

// entered is how many layers and other modules were entered so far, those of the tower among them.
func (i *instance) entered() uint64 {
	n := i.step.Entered()
	if i.eyes != nil {
		n += i.eyes.step.Entered()
	}
	return n
}

// memoryError gives a budget's refusal its reason.
func memoryError(err error) error {
	var budget *cuda.BudgetError
	if errors.As(err, &budget) {
		return sdk.Errorf(sdk.ReasonMemory, "%w", err)
	}
	return err
}

// layCaches makes each layer's cache where the layer is computed.
func (i *instance) layCaches(t *stepper, l limits, r *residency) error {
	size := nn.Size{Blocks: l.blocks, Slots: l.slots()}
	for n, spec := range i.caches() {
		m := i.bound.Layers[n]
		dev := i.devices[r.of[m].dev]
		mem, err := dev.Alloc(spec.Bytes(size), cuda.ForState)
		if err != nil {
			return fmt.Errorf("the cache of %s: %w", m.ID, err)
		}
		r.adoptStates(m, mem)
		c, err := nn.NewCache(m, spec, dev, mem, size)
		if err != nil {
			return err
		}
		t.cache = append(t.cache, c)
	}
	return nil
}

// activations is the step's memory and work on the devices: it implements stage.
type activations struct {
	step  *cuda.Step
	sizes cuda.Sizes
}

func (a *activations) Reserve(dev int) error { return a.step.Reserve(dev, a.sizes) }
func (a *activations) Release(dev int)       { a.step.Release(dev) }

func (a *activations) Queue(dev int) cuda.Queue { return a.step.Queue(dev) }

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
		i.eyes.close()
	}
	if i.step != nil {
		i.step.Close()
	}
	if i.spill != nil {
		i.spill.close()
	}
	for _, m := range i.made {
		i.cpu.Free(m)
	}
	var kept error
	if i.kept != nil {
		i.cpu.Give(i.bound.QuantisedBytes(), cuda.ForWeights)
		kept = i.kept.Close()
	}
	return errors.Join(closeDevices(i.devices), i.cpu.Close(), kept, i.opened.close())
}
