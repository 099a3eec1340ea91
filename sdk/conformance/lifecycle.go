package conformance

// lifecycle.go: a plugin says who it is, what a checkpoint would take, and keeps the order of a process's life.

import (
	"context"
	"errors"
	"reflect"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
)

var (
	pluginName = regexp.MustCompile(`^[a-z0-9_]+$`)
	semver     = regexp.MustCompile(`^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)
)

func caseDescribe(t T, c Config) {
	p := start(t, c)
	defer p.end()
	d, err := p.Describe(p.ctx())
	if err != nil {
		t.Fatalf("D1: Describe failed: %v", err)
	}
	if !pluginName.MatchString(d.Name) {
		t.Errorf("D1: the name %q is not made of lower-case letters, digits and underscores", d.Name)
	}
	if !semver.MatchString(d.Version) {
		t.Errorf("D1: the version %q is not a semantic version, such as 1.2.3", d.Version)
	}
	if !slices.Contains(d.Majors, sdk.ProtocolMajor) {
		t.Errorf("D1: the majors %v do not have %d, which this connection speaks", d.Majors, sdk.ProtocolMajor)
	}
	if again, err := p.Describe(p.ctx()); err != nil || !reflect.DeepEqual(again, d) {
		t.Errorf("D2: the second Describe gave %+v (%v), the first %+v", again, err, d)
	}
}

func caseInspect(t T, c Config) {
	p := start(t, c)
	defer p.end()
	own := p.loadRequest().InspectRequest
	inspection, err := p.Inspect(p.ctx(), own)
	if err != nil {
		t.Fatalf("I1: Inspect of %s failed: %v", own.Path, err)
	}
	if inspection.Fit == sdk.FitNone {
		t.Fatalf("I1: the plugin says that %s does not fit it: %s", own.Path, inspection.Reason)
	}
	checkTable(t, inspection.Table)
	inspectOthers(t, p)
	inspectContext(t, p, own, inspection.Table.Context)
	inspectUnknown(t, p, own)
}

// inspectUnknown asks for what no plugin can have.
func inspectUnknown(t T, p *process, own sdk.InspectRequest) {
	quantized, numerics, cache := own, own, own
	quantized.Quantize, numerics.Numerics, cache.KVCache = "no_such_quantization", "no_such_numerics", "no_such_cache"
	for field, req := range map[string]sdk.InspectRequest{"quantize": quantized, "numerics": numerics, "kv_cache": cache} {
		_, err := p.Inspect(p.ctx(), req)
		refuses(t, "G7", "Inspect with a "+field+" that does not exist", err, sdk.ReasonInvalid)
	}
}

// checkTable looks for what the client, which refuses negative numbers, does not.
func checkTable(t T, table sdk.LayerTable) {
	t.Helper()
	seen := map[string]bool{}
	for _, m := range table.Modules {
		if seen[m.ID] {
			t.Errorf("I1: the layer table has the module %q twice", m.ID)
		}
		seen[m.ID] = true
	}
	if table.Context < 1 || table.VocabSize < 1 {
		t.Errorf("I1: the layer table has a context of %d and a vocabulary of %d", table.Context, table.VocabSize)
	}
}

func inspectOthers(t T, p *process) {
	_, err := p.Inspect(p.ctx(), sdk.InspectRequest{Path: missing})
	refuses(t, "I2, E1", "Inspect of a path that does not exist", err, sdk.ReasonNotFound)

	broken, remove := folder(t, `{"architectures": [`)
	defer remove()
	_, err = p.Inspect(p.ctx(), sdk.InspectRequest{Path: broken})
	refuses(t, "I2, E1", "Inspect of a config.json that is cut off", err, sdk.ReasonCheckpoint)

	foreign, remove := folder(t, `{"architectures": ["NoSuchModelForConformance"], "model_type": "no_such_model"}`)
	defer remove()
	other, err := p.Inspect(p.ctx(), sdk.InspectRequest{Path: foreign})
	switch {
	case err != nil:
		t.Errorf("I3: Inspect of another family's checkpoint failed: %v; it must answer that it does not fit", err)
	case other.Fit != sdk.FitNone:
		t.Errorf("I3: the plugin says that another family's checkpoint fits it (%s)", other.Fit)
	case other.Reason == "":
		t.Errorf("I3: the plugin does not say why another family's checkpoint does not fit")
	}
}

func inspectContext(t T, p *process, own sdk.InspectRequest, context int) {
	own.Context = 1 << 40
	_, err := p.Inspect(p.ctx(), own)
	refuses(t, "I4", "Inspect with a context of 2^40 positions", err, sdk.ReasonInvalid)

	own.Context = max(context/2, 1)
	smaller, err := p.Inspect(p.ctx(), own)
	if err != nil {
		t.Errorf("I4: Inspect with a context of %d, half the checkpoint's, failed: %v", own.Context, err)
	} else if smaller.Table.Context != own.Context {
		t.Errorf("I4: a context of %d was asked for, the table is for %d", own.Context, smaller.Table.Context)
	}
}

func caseLoadUnload(t T, c Config) {
	refusesMissing(t, c)
	p := start(t, c)
	defer p.end()
	scheduler := openScheduler(t, p)
	_, err := p.generate(text(1))
	refuses(t, "L1", "Generate before Load", err, sdk.ReasonState)
	optionalBeforeLoad(t, p)

	inspection, err := p.Inspect(p.ctx(), p.loadRequest().InspectRequest)
	if err != nil {
		t.Fatalf("I1: Inspect failed: %v", err)
	}
	table := p.load()
	if got, want := weights(table), weights(inspection.Table); !reflect.DeepEqual(got, want) {
		t.Errorf("L2: Load's table has the modules and weight bytes %v, Inspect's %v", got, want)
	}
	_, err = p.Load(p.ctx(), p.loadRequest(), nil)
	refuses(t, "L3", "a second Load", err, sdk.ReasonState)
	if scheduler != nil {
		answersOrders(t, scheduler)
	}
	checkCapabilities(t, p)

	drains(t, p)
	_, err = p.generate(text(1))
	refuses(t, "L5", "Generate after Drain", err, sdk.ReasonState)
	if err := p.Unload(p.ctx()); err != nil {
		t.Errorf("L6: Unload failed: %v", err)
	}
	unloadsInTheMiddle(t, c)
}

// refusesMissing has a process of its own, since a Load that failed may leave it useless. It can be unloaded, as every
// process is before its end.
func refusesMissing(t T, c Config) {
	p := start(t, c)
	defer p.end()
	req := p.loadRequest()
	req.Path = missing
	_, err := p.Load(p.ctx(), req, nil)
	refuses(t, "L4", "Load of a path that does not exist", err, sdk.ReasonNotFound)
	if err := p.Unload(p.ctx()); err != nil {
		t.Errorf("L6: with no model loaded, Unload failed: %v", err)
	}
}

// endlessAnswer asks for as many tokens as the context holds, and returns when the first has come, or none comes. cancel gives
// up; nothing else does, so that the answer's end is the plugin's doing.
func endlessAnswer(p *process) (ended chan error, cancel context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	first, ended := make(chan struct{}), make(chan error, 1)
	begun := sync.OnceFunc(func() { close(first) })
	req := text(0)
	req.IgnoreEOS = true
	go func() {
		err := p.Generate(ctx, req, func(e sdk.Event) error {
			if e.Token != nil {
				begun()
			}
			return nil
		})
		begun()
		ended <- err
	}()
	select {
	case <-first:
	case <-time.After(p.config.Timeout):
	}
	return ended, cancel
}

// drains drains while an answer runs. A model whose context is full at once has none by then, and nothing is said of it.
func drains(t T, p *process) {
	answered, cancel := endlessAnswer(p)
	defer cancel()
	drained, ctx := make(chan error, 1), p.ctx()
	go func() { drained <- p.Drain(ctx) }()
	var err error
	select {
	case err = <-drained:
		if err == nil {
			p.endsItself(t, answered)
		}
	case end := <-answered: // it was short
		if end != nil {
			t.Errorf("L5: Drain ended an answer that ran: %v", end)
		}
		err = <-drained
	case <-meanwhile(p):
		cancel()
		err = <-drained
	}
	if err != nil {
		t.Errorf("L5: Drain failed: %v", err)
	}
}

// endsItself looks at an answer after Drain has returned: it is over, and whole.
func (p *process) endsItself(t T, answered <-chan error) {
	select {
	case end := <-answered:
		if end != nil {
			t.Errorf("L5: Drain ended an answer that ran: %v", end)
		}
	case <-time.After(p.config.Timeout):
		t.Errorf("L5: Drain returned while an answer ran; it still did %v later", p.config.Timeout)
	}
}

// meanwhile is closed when a Drain that does not wait for answers, or ends them, has had time to show: that of many other
// calls, which take longer on a slow machine too.
func meanwhile(p *process) <-chan struct{} {
	over, ctx := make(chan struct{}), p.ctx()
	go func() {
		defer close(over)
		for range 200 {
			if _, err := p.Describe(ctx); err != nil {
				return
			}
		}
	}()
	return over
}

// unloadsInTheMiddle unloads while an answer runs, which ends it. The host asks somebody else for the rest.
func unloadsInTheMiddle(t T, c Config) {
	p := start(t, c)
	defer p.end()
	p.load()
	answered, cancel := endlessAnswer(p)
	defer cancel()
	if err := p.Unload(p.ctx()); err != nil {
		t.Errorf("L6: while an answer ran, Unload failed: %v", err)
		return
	}
	select {
	case err := <-answered:
		if err != nil && !errors.Is(err, client.ErrGone) {
			t.Errorf("L6: an answer that Unload ended failed with %v; it must end with Canceled and no reason", err)
		}
	case <-time.After(p.config.Timeout):
		t.Errorf("L6: Unload returned while an answer ran; it still did %v later", p.config.Timeout)
	}
}

type weight struct {
	module string
	bytes  int64
}

func weights(table sdk.LayerTable) []weight {
	var out []weight
	for _, m := range table.Modules {
		out = append(out, weight{m.ID, m.WeightBytes})
	}
	return out
}
