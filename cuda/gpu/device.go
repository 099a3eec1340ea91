//go:build cuda && cgo

package gpu

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/clock"
	"github.com/inference-pio/inference-pio/cuda/gpu/driver"
	"github.com/inference-pio/inference-pio/cuda/kernels"
)

// device.go is a GPU as a device: its context, its kernels, its rates.

// Device implements cuda.Device.
type Device struct {
	name       string
	context    *driver.Context
	info       driver.Info
	plan       kernels.Properties
	kernels    functions
	ledger     cuda.Ledger
	aside      aside
	queues     roll
	peers      peers
	tables     tables
	fillers    fillers
	registered *Registered // nil: nothing is
	rates      func() cuda.Rates

	patience time.Duration
	lost     loss
	waits    atomic.Uint64
	clock    clock.Clock
}

// Open makes a device of a GPU. The error is a sentence that says what is missing: the driver, the GPU, something that it does not have.
func Open(o Options) (*Device, error) {
	if err := driver.Probe(); err != nil {
		return nil, err
	}
	limit, err := patience(o)
	if err != nil {
		return nil, err
	}
	c, err := driver.Open(o.Ordinal)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", driver.Name(o.Ordinal), err)
	}
	d := &Device{name: driver.Name(o.Ordinal), context: c, info: c.Info(), clock: o.Clock, registered: o.Registered, patience: limit}
	d.fillers.dev, d.aside.dev = d, d
	if d.clock == nil {
		d.clock = clock.Real()
	}
	if d.info.Major < driver.OldestCapability {
		_ = c.Close() // it is not used
		return nil, fmt.Errorf("%s is a %s of compute capability %d.%d; the kernels need %d.0 (Ampere) or later", d.name, d.info.Name, d.info.Major, d.info.Minor, driver.OldestCapability)
	}
	d.plan = kernels.Properties{Fast: o.Fast, Multiprocessors: d.info.Multiprocessors, Shared: d.info.Shared}
	d.kernels.context, d.kernels.shared = c, d.info.Shared
	d.ledger.SetBudget(o.Budget)
	if d.aside.stream, err = c.NewStream(); err == nil {
		d.aside.end, err = c.NewEvent(false)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", d.name, err), c.Close())
	}
	if d.info.Pools {
		err = c.KeepPool(math.MaxInt64)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", d.name, err), d.Close())
	}
	d.rates = sync.OnceValue(d.measure)
	if err := d.warpgroups(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", d.name, err), d.Close())
	}
	return d, nil
}

// Name implements cuda.Device.
func (d *Device) Name() string { return d.name }

// Kind implements cuda.Device.
func (d *Device) Kind() string { return cuda.KindGPU }

// Properties are what its ops are planned with.
func (d *Device) Properties() kernels.Properties { return d.plan }

// Layout implements cuda.Device: the kernels read what files have.
func (d *Device) Layout(m cuda.Matrix) *cuda.Layout { return m.Layout }

// Rates implements cuda.Device. They are measured at the first call.
func (d *Device) Rates() cuda.Rates { return d.rates() }

// Waits is how often the host has waited for the device's queues, whatever for.
func (d *Device) Waits() uint64 { return d.waits.Load() }

// Close gives the context back. No queue is open any more. Of a lost device nothing can be given back.
func (d *Device) Close() error {
	if d.lost.is() != nil {
		return nil
	}
	d.kernels.loading.Wait()
	for mem := range d.tables.rest() {
		d.Free(mem)
	}
	d.fillers.close()
	return errors.Join(d.aside.end.Close(), d.aside.stream.Close(), d.context.Close())
}

// functions are the kernels of one context. The driver compiles a module when it is loaded, which the first time on a machine takes seconds:
// so modules are loaded beside each other, and ahead of their first launch where it is known.
type functions struct {
	context *driver.Context
	shared  int // bytes that a block may have
	loading sync.WaitGroup

	mu      sync.Mutex
	modules map[string]*module
	byName  map[string]*driver.Function
}

// module is a file of kernels, loaded once.
type module struct {
	once   sync.Once
	loaded *driver.Module
	err    error
}

// find is a kernel by its name.
func (f *functions) find(name string) (*driver.Function, error) {
	f.mu.Lock()
	fn := f.byName[name]
	f.mu.Unlock()
	if fn != nil {
		return fn, nil
	}
	file, m, err := f.load(name)
	if err != nil {
		return nil, err
	}
	if fn, err = m.Function(name, f.shared); err != nil {
		return nil, fmt.Errorf("kernel %s of %s: %w", name, file, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.byName == nil {
		f.byName = map[string]*driver.Function{}
	}
	f.byName[name] = fn
	return fn, nil
}

// load is the module that has a kernel.
func (f *functions) load(name string) (file string, loaded *driver.Module, err error) {
	file, text := kernels.Module(name)
	if text == nil {
		return "", nil, fmt.Errorf("no module has a kernel %s", name)
	}
	m := f.module(file)
	m.once.Do(func() {
		if m.loaded, err = f.context.LoadModule(text); err != nil {
			m.err = fmt.Errorf("the driver does not take the kernels of %s: %w", file, err)
		}
	})
	return file, m.loaded, m.err
}

func (f *functions) module(file string) *module {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.modules == nil {
		f.modules = map[string]*module{}
	}
	if f.modules[file] == nil {
		f.modules[file] = &module{}
	}
	return f.modules[file]
}

// ahead begins to load what a plan will launch. What goes wrong is told by the launch.
func (f *functions) ahead(p *kernels.Plan) {
	for i := range p.Launches {
		name := p.Launches[i].Kernel
		f.mu.Lock()
		file, _ := kernels.Module(name)
		known := f.modules[file] != nil
		f.mu.Unlock()
		if !known {
			f.module(file)
			f.loading.Go(func() { _, _, _ = f.load(name) })
		}
	}
}

// roll lists a device's open queues.
type roll struct {
	mu   sync.Mutex
	list map[*Queue]bool
}

func (r *roll) add(q *Queue) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.list == nil {
		r.list = map[*Queue]bool{}
	}
	r.list[q] = true
}

func (r *roll) remove(q *Queue) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.list, q)
}

func (r *roll) all() []*Queue {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]*Queue, 0, len(r.list))
	for q := range r.list {
		list = append(list, q)
	}
	return list
}
