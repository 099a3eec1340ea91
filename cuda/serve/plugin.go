package serve

import (
	"context"
	"errors"
	"os"
	"reflect"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/internal/regular"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/engine"
	"github.com/inference-pio/inference-pio/sdk/serve"
	"github.com/inference-pio/inference-pio/sdk/text"
)

// plugin.go is a Family as an sdk.Plugin: each method hands on to the part that knows.

// Main is the whole main of a plugin built on the tensor library.
func Main(f Family) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	serve.Main(New(f))
}

// gcPercent is how much of what is in use may lie about unused before it is collected. Weights and caches are not the
// collector's, and prompts and pictures have nothing in them for it to look at, so that to collect early costs little.
const gcPercent = 30

// New is the plugin of a family, for tests that serve it in their own process.
func New(f Family) sdk.Plugin { return &plugin{family: f, ready: make(chan struct{})} }

// The abilities beyond the core, said aloud: the capabilities are derived from them.
var (
	_ sdk.Plugin    = (*plugin)(nil)
	_ sdk.Unloader  = (*plugin)(nil)
	_ sdk.Drainer   = (*plugin)(nil)
	_ sdk.Tokenizer = (*plugin)(nil)
	_ sdk.Speller   = (*plugin)(nil)
	_ sdk.Renderer  = (*plugin)(nil)
	_ sdk.Scheduled = (*plugin)(nil)
	_ sdk.Forwarder = (*plugin)(nil)
	_ sdk.Embedder  = (*plugin)(nil)

	_ sdk.CoreSharer = (*plugin)(nil)
)

// plugin implements sdk.Plugin. The sdk admits what needs a model only after Load has returned.
type plugin struct {
	family Family
	loaded *instance
	words  *text.Model
	ready  chan struct{} // see Schedule
	told   atomic.Uint64 // requests begun and events sent
	cores  cores

	sequences sequences // that are open
}

func (p *plugin) Describe() sdk.Description {
	return sdk.Description{Name: p.family.Name, Version: p.family.Version, Architectures: p.family.Architectures,
		Kernels: cpu.Kernels(), Numerics: numerics, Devices: deviceKinds()}
}

// Inspect answers from headers and the text files: whatever is wrong with those is told before weights are read.
func (p *plugin) Inspect(ctx context.Context, req sdk.InspectRequest) (sdk.Inspection, error) {
	answer, err := p.family.inspect(ctx, req)
	if err == nil && answer.Fit != sdk.FitNone {
		_, err = openWords(ctx, req)
	}
	if err != nil {
		return sdk.Inspection{}, err
	}
	return answer, nil
}

func (p *plugin) Load(ctx context.Context, req sdk.LoadRequest, progress func(sdk.Progress)) (sdk.LayerTable, error) {
	start := time.Now()
	err := p.family.belongs(req.Path)
	var other *misfit
	if errors.As(err, &other) {
		err = sdk.Errorf(sdk.ReasonCheckpoint, "%w", err)
	}
	if err != nil {
		return sdk.LayerTable{}, err
	}
	var words *text.Model
	i, err := p.family.load(ctx, req, progress, &p.cores, hold(), func() (err error) {
		words, err = openWords(ctx, req.InspectRequest)
		return err
	})
	if err != nil {
		return sdk.LayerTable{}, err
	}
	if i.eyes != nil {
		words.Pictures = i.eyes
	}
	i.tellLoaded(start)
	p.words, p.loaded = words, i
	close(p.ready)
	go debug.FreeOSMemory() // what reading a tokenizer leaves, more than it keeps: nothing is allocated that would have it collected before the first prompt
	return i.layout, nil
}

// openWords opens the text side. Only invented weights do without a tokenizer: a checkpoint that has weights and no tokenizer
// is one that was not downloaded whole.
func openWords(ctx context.Context, req sdk.InspectRequest) (*text.Model, error) {
	words, err := text.Open(ctx, req.Path)
	if err == nil && !words.HasTokenizer() && req.Weights != "dummy" {
		return nil, sdk.Errorf(sdk.ReasonCheckpoint, "%s: there is no tokenizer%s; download it from where the weights come from", req.Path, inFile(req.Path))
	}
	return words, err
}

// inFile is the end of a tokenizer's file name, where it is a file.
func inFile(path string) string {
	if regular.IsGGUF(path) {
		return " in it"
	}
	return ".json"
}

func (p *plugin) Unload(context.Context) error {
	if p.loaded == nil { // asked to go before it was loaded
		return nil
	}
	return p.loaded.close()
}

func (p *plugin) Drain(ctx context.Context) error {
	if p.loaded == nil {
		return nil
	}
	return p.loaded.engine.Drain(ctx)
}

func (p *plugin) Generate(ctx context.Context, req sdk.GenerateRequest, send func(sdk.Event) error) error {
	if err := p.loaded.vigil.before(); err != nil {
		return err
	}
	p.told.Add(1)
	return p.words.Generate(ctx, p.loaded.engine, req, func(e sdk.Event) error {
		p.told.Add(1)
		return send(e)
	})
}

// UseCores holds from the next op on: between two ops of a step, too.
func (p *plugin) UseCores(n int) { p.cores.use(n) }

func (p *plugin) Tokenize(ctx context.Context, text string) ([]int32, error) {
	return p.words.Tokenize(ctx, text)
}

func (p *plugin) Detokenize(_ context.Context, ids []int32) (string, error) {
	return p.words.Detokenize(ids)
}

func (p *plugin) Spell(_ context.Context, ids []int32) ([]string, error) {
	return p.words.Spell(ids)
}

func (p *plugin) Render(ctx context.Context, chat sdk.Chat) (string, error) {
	return p.words.Render(ctx, chat)
}

const (
	// reportEvery is how often the host hears of memory and load unasked: often enough for a person to watch.
	reportEvery = time.Second
	// quietMost is how many reports in turn are left out that would say what the last one said: a model that nobody asks wakes nobody.
	quietMost = 15
)

// Schedule answers the Scheduler stream: orders in the order they come, each when it is carried out, and a report each second in which something
// has changed. An order may wait for the rest of a step; the reports do not, since they show that the step advances.
func (p *plugin) Schedule(ctx context.Context, orders <-chan sdk.Order, report func(sdk.Report) error) error {
	select {
	case <-p.ready:
	case <-ctx.Done():
		return ctx.Err()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var waiting sync.WaitGroup
	defer waiting.Wait()
	defer cancel(nil)
	last := make(chan struct{}) // closed when the order before is posted
	close(last)
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	watch := newLookout(p.loaded.devices)
	looks, stop := watch.ticks()
	defer stop()
	said, quiet := sdk.Report{}, 0
	for {
		r, due := sdk.Report{}, false
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
			r = p.report()
			due = quiet == quietMost || differs(r, said)
			quiet++
		case <-looks:
			r = p.report()
			due = watch.news(r)
		case o, ok := <-orders:
			if !ok {
				return nil
			}
			before, posted := last, make(chan struct{})
			last = posted
			waiting.Go(func() {
				<-before
				job := p.post(o)
				close(posted)
				if err := report(p.answer(ctx, job)); err != nil {
					cancel(err)
				}
			})
		}
		if due {
			watch.told(r)
			said, quiet = r, 0
			if err := report(r); err != nil {
				return err
			}
		}
	}
}

// differs says whether a report tells something that the last one did not. A process's memory comes and goes by some pages whatever it does.
func differs(r, said sdk.Report) bool {
	devices := slices.Clone(said.Devices)
	for i := range min(len(devices), len(r.Devices)) {
		if apart(devices[i].Resident, r.Devices[i].Resident) < 1<<20 {
			devices[i].Resident = r.Devices[i].Resident
		}
	}
	said.Devices = devices
	return !reflect.DeepEqual(r, said)
}

// post has an order carried out. Less of the host's memory first makes what was spilled there give way, which takes until the end of the step.
func (p *plugin) post(o sdk.Order) *order {
	if o.Budget != nil && o.Budget.Device == cuda.KindCPU && p.loaded.spill.bound(o.Budget.Bytes) {
		p.loaded.engine.TrimSpill()
	}
	return p.loaded.place.post(o)
}

// answer waits for an order's outcome.
func (p *plugin) answer(ctx context.Context, job *order) sdk.Report {
	err := job.await(ctx)
	r := p.report()
	r.Done = &sdk.OrderDone{ID: job.ID}
	if err != nil {
		r.Done.Error = err.Error()
	} else {
		r.Modules = job.modules
	}
	return r
}

func (p *plugin) report() sdk.Report {
	r, s := p.loaded.place.report(), p.loaded.engine.Stats()
	r.Progress = 1 + p.told.Load() + p.loaded.entered()
	r.Running, r.Waiting = s.Running, s.Waiting
	if e := p.loaded.eyes; e != nil {
		r.PicturesSeen, r.PicturesReused = e.seen.Load(), e.reused.Load()
	}
	r.Preemptions = s.Preemptions
	r.Prefix = sdk.PrefixReport{Queried: s.QueriedTokens, Found: s.CachedTokens, Kept: int64(s.BlocksKept) * engine.BlockSize, Thrown: s.BlocksThrown * engine.BlockSize}
	r.Spill = p.loaded.spill.report(s)
	if s.Blocks > 0 {
		r.StateUsed = float64(s.BlocksUsed) / float64(s.Blocks)
	}
	return r
}
