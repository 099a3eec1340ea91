// assemble.go puts a host together: the configuration, the plugins there are, and how one of them is started.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"go.opentelemetry.io/otel/trace"

	"github.com/inference-pio/inference-pio/host/internal/catalog"
	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/host/internal/process"
	"github.com/inference-pio/inference-pio/host/internal/schedule"
	"github.com/inference-pio/inference-pio/host/internal/telemetry"
	"github.com/inference-pio/inference-pio/internal/traces"
	"github.com/inference-pio/inference-pio/sdk/machine"
)

// file is the models.toml that the user means.
func (g *global) file() string { return config.Expand(g.config) }

func (g *global) load() (*config.Config, error) {
	c, err := config.Load(g.file())
	if err != nil {
		return nil, &codeError{exitUsage, err}
	}
	return c, nil
}

// patient is load for a host that serves, and for what speaks with one: checkpoints that are not there are waited for.
func (g *global) patient() (*config.Config, error) {
	c, err := config.Patient(g.file())
	if err != nil {
		return nil, &codeError{exitUsage, err}
	}
	return c, nil
}

func (g *global) logger() (*slog.Logger, error) {
	log, err := telemetry.NewLogger(g.console, g.logLevel, g.logFormat)
	if err != nil {
		return nil, &codeError{exitUsage, err}
	}
	return log, nil
}

// openCatalog looks for plugins. memory may be nil.
func openCatalog(ctx context.Context, p config.Plugins, log *slog.Logger, memory *catalog.Memory) (*catalog.Catalog, error) {
	return catalog.Open(ctx, catalog.Options{
		Dirs: p.Dirs, AllowUnlocked: p.AllowUnlocked, Start: catalog.Starter(log, p.MTLS), Log: log, Memory: memory,
	})
}

// starter starts the plugin of an entry. Folders and locks are read at each start: a binary may have been built and locked
// anew since the last one.
type starter struct {
	plugins func() config.Plugins // as models.toml has them now
	log     *slog.Logger
	traces  trace.TracerProvider // nil: none
	memory  catalog.Memory
	chosen  sync.Map // entry id -> choice
}

// choice is which plugin an entry without plugin = got, and by which question. A restart must be quick, and the same
// plugins say the same of the same files.
type choice struct{ question, plugin string }

func (s *starter) choose(ctx context.Context, c *catalog.Catalog, m config.Model) (catalog.Plugin, error) {
	if m.Plugin != "" {
		return c.Named(m.Plugin)
	}
	question := fmt.Sprint(c.Plugins(), m.Inspect(), catalog.Mark(m.Path))
	if old, ok := s.chosen.Load(m.ID); ok && old.(choice).question == question {
		return c.Named(old.(choice).plugin)
	}
	p, _, others, err := c.Settle(ctx, m.Inspect())
	if len(others) > 0 {
		s.log.Info("several plugins run the checkpoint equally well; plugin = in its [[model]] names one", "model", m.ID, "plugin", p.Name, "others", otherNames(others))
	}
	if err == nil {
		s.chosen.Store(m.ID, choice{question, p.Name})
	}
	return p, err
}

// mark is what a start of the entry depends on.
func (s *starter) mark(m config.Model) string {
	paths := []string{m.Path}
	for _, dir := range s.plugins().Dirs {
		paths = append(paths, dir, catalog.LockPath(dir))
	}
	return catalog.Mark(paths...)
}

func (s *starter) start(ctx context.Context, m config.Model) (schedule.Process, error) {
	now := s.plugins()
	plugins, err := openCatalog(ctx, now, s.log, &s.memory)
	if err != nil {
		return nil, err
	}
	plugin, err := s.choose(ctx, plugins, m)
	if err != nil {
		var undecided *catalog.Undecided
		return nil, &schedule.StartFailure{Err: err, Final: ctx.Err() == nil && !errors.As(err, &undecided)}
	}
	p, err := process.Start(ctx, process.Spec{
		Name: plugin.Name, Path: plugin.Path, SHA256: plugin.Pin(), Env: m.Env, MTLS: now.MTLS, Traces: s.traces, Log: s.log.With("model", m.ID),
	})
	if err != nil {
		return nil, err
	}
	d, err := p.Client().Describe(ctx)
	if err == nil {
		err = plugin.Check(d)
	}
	if err != nil {
		_ = p.Stop(context.Background()) // bounded; the first error is the one to tell
		return nil, fmt.Errorf("plugin %s: %w", plugin.Name, err)
	}
	return schedule.Running(p), nil
}

// newHost makes a host for c. sent is where the spans of its plugins go, nil: nowhere. notify may be nil.
func newHost(ctx context.Context, c *config.Config, log *slog.Logger, metrics *telemetry.Metrics, sent *traces.Traces, notify func(schedule.Status)) (*schedule.Host, error) {
	equip(c, log)
	var host *schedule.Host
	s := &starter{plugins: func() config.Plugins { return host.Config().Plugins }, log: log}
	if sent != nil && sent.On {
		s.traces = sent
	}
	if _, err := openCatalog(ctx, c.Plugins, log, &s.memory); err != nil {
		return nil, err // a folder or a lock that cannot be read is told before anything runs
	}
	host = schedule.New(schedule.Options{Config: c, Start: s.start, Mark: s.mark, Log: log, Metrics: metrics, Notify: notify,
		Watch: machine.NewWatch(machine.Root())})
	return host, nil
}
