// assemble.go puts a host together: the configuration, the plugins there are, and how one of them is started.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/inference-pio/inference-pio/host/internal/catalog"
	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/host/internal/process"
	"github.com/inference-pio/inference-pio/host/internal/schedule"
	"github.com/inference-pio/inference-pio/host/internal/telemetry"
)

func (g *global) load() (*config.Config, error) {
	c, err := config.Load(g.config)
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

func openCatalog(ctx context.Context, c *config.Config, log *slog.Logger) (*catalog.Catalog, error) {
	return catalog.Open(ctx, catalog.Options{
		Dirs: c.Plugins.Dirs, AllowUnlocked: c.Plugins.AllowUnlocked, Start: catalog.Starter(log, c.Plugins.MTLS), Log: log,
	})
}

// starter starts the plugin of an entry. Which one that is, is asked once: a restart must be quick, and the answer about
// a checkpoint does not change.
type starter struct {
	catalog *catalog.Catalog
	mtls    bool
	log     *slog.Logger
	chosen  sync.Map // entry id -> catalog.Plugin
}

func (s *starter) choose(ctx context.Context, m config.Model) (catalog.Plugin, error) {
	if p, ok := s.chosen.Load(m.ID); ok {
		return p.(catalog.Plugin), nil
	}
	p, err := choose(ctx, s.catalog, m)
	if err == nil {
		s.chosen.Store(m.ID, p)
	}
	return p, err
}

func choose(ctx context.Context, c *catalog.Catalog, m config.Model) (catalog.Plugin, error) {
	if m.Plugin != "" {
		return c.Named(m.Plugin)
	}
	p, _, err := c.Choose(ctx, m.Inspect())
	return p, err
}

func (s *starter) start(ctx context.Context, m config.Model) (schedule.Process, error) {
	plugin, err := s.choose(ctx, m)
	if err != nil {
		// Plugins and checkpoints are what they are until the host is started anew.
		return nil, &schedule.StartFailure{Err: err, Final: ctx.Err() == nil}
	}
	p, err := process.Start(ctx, process.Spec{
		Name: plugin.Name, Path: plugin.Path, SHA256: plugin.Pin(), Env: m.Env, MTLS: s.mtls, Log: s.log.With("model", m.ID),
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

// newHost makes a host for c. notify may be nil.
func newHost(ctx context.Context, c *config.Config, log *slog.Logger, metrics *telemetry.Metrics, notify func(schedule.Status)) (*schedule.Host, error) {
	plugins, err := openCatalog(ctx, c, log)
	if err != nil {
		return nil, err
	}
	s := &starter{catalog: plugins, mtls: c.Plugins.MTLS, log: log}
	return schedule.New(schedule.Options{Config: c, Start: s.start, Log: log, Metrics: metrics, Notify: notify}), nil
}
