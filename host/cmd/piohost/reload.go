// reload.go is a host that serves, and how another models.toml is taken into it while it runs.
package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/inference-pio/inference-pio/host/internal/api"
	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/host/internal/ollama"
	"github.com/inference-pio/inference-pio/host/internal/page"
	"github.com/inference-pio/inference-pio/host/internal/schedule"
	"github.com/inference-pio/inference-pio/host/internal/telemetry"
	"github.com/inference-pio/inference-pio/internal/traces"
)

// service answers requests as the newest models.toml says.
type service struct {
	load    func() (*config.Config, error)
	pull    ollama.Puller
	remove  ollama.Remover
	host    *schedule.Host
	doors   *doors
	metrics *telemetry.Metrics
	recent  *telemetry.Recent
	traces  *traces.Traces
	log     *slog.Logger

	handler atomic.Pointer[http.Handler]
	orders  atomic.Pointer[http.Handler] // of the address apart, if there is one
	one     sync.Mutex                   // held by the reload under way
}

// ServeHTTP implements http.Handler. A request keeps the handler it began with.
func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	(*s.handler.Load()).ServeHTTP(w, r)
}

// answer makes the handlers that c asks for.
func (s *service) answer(c *config.Config) error {
	keys, err := keyring(c)
	if err == nil {
		err = locked(c, keys, s.doors.main.Addr())
	}
	if err != nil {
		return err
	}
	options := apiOptions(c, s.log)
	options.Metrics, options.Draining, options.Keys, options.Traces = s.metrics, s.host.Draining, keys, s.traces.TracerProvider
	options.Guard = guardOf(s.doors.main.Addr(), c)
	if c.Server.Admin {
		options.Operator, options.Reload, options.Pull, options.Remove, options.Recent = s.host, s.reload, s.pull, s.remove, s.recent
	}
	if c.Server.Page {
		if options.Page, err = page.New(); err != nil {
			return err
		}
	}
	if s.doors.orders != nil {
		apart := options
		apart.Part, apart.Guard = api.Private, guardOf(s.doors.orders.Addr(), c)
		h := api.New(s.host, apart)
		s.orders.Store(&h)
		options.Part = api.Public
	}
	h := api.New(s.host, options)
	s.handler.Store(&h)
	return nil
}

// reload reads models.toml again and makes the host one of it. A file with mistakes changes nothing; what has begun is
// carried out although whoever ordered it has left.
func (s *service) reload(context.Context) (api.Reload, error) {
	s.one.Lock()
	defer s.one.Unlock()
	c, err := s.load()
	if err == nil {
		err = absent(c, s.log)
	}
	if err != nil {
		s.refuse(err)
		return api.Reload{}, err
	}
	tell(c, s.log)
	equip(c, s.log)
	old := s.host.Config()
	done := api.Reload{Later: later(old, c)}
	keep(&c.Server, old.Server)
	if !reflect.DeepEqual(old.Server, c.Server) || !reflect.DeepEqual(old.Pictures, c.Pictures) || !reflect.DeepEqual(old.Keys, c.Keys) {
		if err := s.answer(c); err != nil {
			s.refuse(err)
			return api.Reload{}, err
		}
		s.log.Info("requests are answered as models.toml says now", "tables", "[server], [[key]], [pictures]")
	}
	if !reflect.DeepEqual(old.Plugins, c.Plugins) {
		s.log.Info("[plugins] has changed; it holds from each model's next start on")
	}
	if old.Weights != c.Weights {
		s.log.Info("[weights] has changed; it holds from each model's next load on")
	}
	for _, key := range done.Later {
		s.log.Warn("this has changed in models.toml and holds only for a new host", "key", key)
	}
	changes, err := s.host.Apply(c)
	done.Added, done.Removed, done.Changed = changes.Added, changes.Removed, changes.Changed
	if err != nil {
		s.log.Error("not everything that models.toml says could be done", "error", err)
		return done, err
	}
	s.log.Info("models.toml was read again", "added", done.Added, "removed", done.Removed, "changed", done.Changed)
	return done, nil
}

// absent tells which checkpoints are waited for. That none is there is a mistake: more likely the file is wrong than the disk.
func absent(c *config.Config, log *slog.Logger) error {
	if len(c.Absent) == len(c.Models) {
		return &codeError{exitUsage, c.Absent}
	}
	for _, p := range c.Absent {
		log.Warn("a checkpoint is not there; its model waits for it", "problem", p.String())
	}
	return nil
}

// tell logs how the file was understood where that is worth saying.
func tell(c *config.Config, log *slog.Logger) {
	for _, n := range c.Notes {
		log.Info(n.Text, "file", n.File, "line", n.Line)
	}
}

// refuse tells every mistake of a file that is not taken.
func (s *service) refuse(err error) {
	var problems config.Problems
	if !errors.As(err, &problems) {
		problems = config.Problems{{Text: err.Error()}}
	}
	for _, p := range problems {
		s.log.Error("models.toml is not taken, and nothing has changed", "problem", p.String())
	}
}

// later lists the keys that a host cannot change while it runs.
func later(old, c *config.Config) []string {
	var keys []string
	for key, differs := range map[string]bool{
		"server.listen": old.Server.Listen != c.Server.Listen, "server.admin_listen": old.Server.AdminListen != c.Server.AdminListen,
		"server.tls_cert": old.Server.TLSCert != c.Server.TLSCert, "server.tls_key": old.Server.TLSKey != c.Server.TLSKey,
	} {
		if differs {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// keep leaves in place what a host cannot change while it runs.
func keep(s *config.Server, old config.Server) {
	s.Listen, s.AdminListen, s.TLSCert, s.TLSKey = old.Listen, old.AdminListen, old.TLSCert, old.TLSKey
}

// hangups reloads at each SIGHUP until ctx ends.
func (s *service) hangups(ctx context.Context, signals <-chan os.Signal) {
	for {
		select {
		case <-signals:
			_, _ = s.reload(ctx) // the log tells
		case <-ctx.Done():
			return
		}
	}
}
