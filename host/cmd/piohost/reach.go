// reach.go finds a host that has a model: the one that the user names, the one at the configured address, or else one of our own
// that nobody else can reach.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/inference-pio/inference-pio/host/internal/api"
	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/host/internal/schedule"
	"github.com/inference-pio/inference-pio/host/internal/telemetry"
	"github.com/inference-pio/inference-pio/sdk"
)

// hostFlag gives a command that asks a host its --host.
func (g *global) hostFlag(flags *pflag.FlagSet) {
	flags.StringVar(&g.host, "host", "", "ask the host at `URL` instead, such as https://example.com; PIO_HOST has the same meaning")
}

// elsewhere is the host that the user has named, nil if that is left to models.toml.
func (g *global) elsewhere() (*remote, error) {
	address, source := g.host, "--host"
	if address == "" {
		address, source = os.Getenv("PIO_HOST"), "PIO_HOST"
	}
	if address == "" {
		return nil, nil
	}
	r, err := overURL(address, source)
	if err != nil {
		return nil, &codeError{exitUsage, err}
	}
	return r, nil
}

// reach calls use with a host that has the model, and the name that the host knows it by: the host that the user has named, or the
// one at the configured address, or else one for the length of use.
func (g *global) reach(ctx context.Context, model string, use func(r *remote, model string) error) error {
	r, err := g.elsewhere()
	switch {
	case err != nil:
		return err
	case r != nil:
		return r.reach(ctx, model, use)
	}
	c, err := g.load()
	if isPath(model) && !(err == nil && known(c, model)) {
		if g.absent() {
			c, err = nil, nil
		}
		if err != nil {
			return err
		}
		return g.reachPath(ctx, c, model, use)
	}
	if err != nil {
		return err
	}
	if r := local(c); r.has(ctx, model) {
		return use(r, model)
	}
	entry, ok := c.Model(model)
	if !ok {
		return &codeError{exitUsage, unknownModel(model, c)}
	}
	alone := *c
	entry.OnDemand, entry.KeepAlive = false, 0 // it is asked for
	alone.Models = []config.Model{entry}
	return g.withHost(ctx, &alone, func(r *remote) error { return use(r, model) })
}

func known(c *config.Config, model string) bool {
	_, ok := c.Model(model)
	return ok
}

// reach asks a host elsewhere; it has the model or nobody has.
func (r *remote) reach(ctx context.Context, model string, use func(r *remote, model string) error) error {
	list, err := r.models(ctx)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return err
	case !listed(list, model):
		return &codeError{exitUsage, unknown(model, r.named, servedNames(list, true), servedNames(list, false))}
	}
	return use(r, model)
}

// isPath says that a model is named as a checkpoint's folder, or as a file, of which it will be said what it is: a name may have a
// slash, too.
func isPath(model string) bool {
	for _, beginning := range []string{"/", "./", "../", "~/"} {
		if strings.HasPrefix(model+"/", beginning) {
			return true
		}
	}
	info, err := os.Stat(model)
	return err == nil && (info.Mode().IsRegular() || strings.Contains(model, "/"))
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// absent says that there is no models.toml, and that the user has not said where one is.
func (g *global) absent() bool {
	_, err := os.Stat(g.file())
	return errors.Is(err, fs.ErrNotExist) && g.config == defaultConfig
}

// reachPath serves a checkpoint for the length of use.
func (g *global) reachPath(ctx context.Context, c *config.Config, path string, use func(r *remote, model string) error) error {
	alone, err := g.aloneAt(c, path)
	if err != nil {
		return err
	}
	return g.withHost(ctx, alone, func(r *remote) error { return use(r, alone.Models[0].ID) })
}

// aloneAt is the configuration of a host that serves a checkpoint and nothing else. What models.toml says of plugins and devices
// holds, if there is one.
func (g *global) aloneAt(c *config.Config, path string) (*config.Config, error) {
	alone, err := config.Alone(config.Expand(path), g.plugin, c, []string{pluginDir()})
	if err != nil {
		return nil, &codeError{exitUsage, err}
	}
	g.note(alone.Notes)
	return alone, nil
}

// checkpoint is the folder that a path of the command line means, for a plugin to judge.
func (g *global) checkpoint(path string) string {
	path = config.Expand(path)
	folder, err := config.Checkpoint(path)
	if err == nil && folder != path {
		g.note([]config.Problem{{Text: fmt.Sprintf("%s is a hub cache; the revision %s is used", path, folder)}})
	}
	if err != nil {
		return path
	}
	return folder
}

// pluginDir is where plugins are if no file says so: where `+"`make build`"+` puts them, seen from here or from the program.
func pluginDir() string {
	here, err := filepath.Abs("bin/plugins")
	if err == nil && isFolder(here) {
		return here
	}
	if program, err := os.Executable(); err == nil {
		return filepath.Join(filepath.Dir(program), "plugins")
	}
	return here
}

// note says on stderr how paths were understood.
func (g *global) note(notes []config.Problem) {
	for _, n := range notes {
		fmt.Fprintln(g.std.err, n.Text)
	}
}

func unknownModel(model string, c *config.Config) error {
	var names []string
	for _, m := range c.Models {
		names = append(append(names, m.ID), m.Aliases...)
	}
	if isFolder(model) {
		return fmt.Errorf("no model %q in %s; the folder of that name is ./%s", model, c.File, model)
	}
	return unknown(model, c.File, names, ids(c))
}

// unknown says that there is no model of that name in place, and which was meant: names are all there are, ids those to list.
func unknown(model, place string, names, ids []string) error {
	switch meant := nearest(model, names); {
	case meant != "":
		return fmt.Errorf("no model %q in %s; did you mean %s?", model, place, meant)
	case len(ids) == 0:
		return fmt.Errorf("no model %q in %s; it has none", model, place)
	}
	return fmt.Errorf("no model %q in %s; it has %s", model, place, strings.Join(ids, ", "))
}

func ids(c *config.Config) []string {
	var list []string
	for _, m := range c.Models {
		list = append(list, m.ID)
	}
	return list
}

func servedNames(list []listedModel, aliases bool) []string {
	var names []string
	for _, m := range list {
		names = append(names, m.ID)
		if aliases {
			names = append(names, m.Aliases...)
		}
	}
	return names
}

// withHost runs a host of our own for the length of use. Only this user can reach it.
func (g *global) withHost(ctx context.Context, c *config.Config, use func(*remote) error) error {
	quiet := *g
	if quiet.logLevel == "info" { // the answer is what matters here; --log-level debug still shows all
		quiet.logLevel = "error"
	}
	log, err := quiet.logger()
	if err != nil {
		return err
	}
	came := make(chan schedule.Status, 1) // ready, or given up
	host, err := newHost(ctx, c, log, telemetry.New(sdk.Version), nil, func(s schedule.Status) {
		g.console.show(progressLine(s))
		if s.State == schedule.StateReady || s.State == schedule.StateQuarantined {
			select {
			case came <- s:
			default:
			}
		}
	})
	if err != nil {
		return err
	}
	running := start(host)
	defer func() {
		ended, cancel := context.WithCancel(context.Background())
		cancel() // the question has been answered or given up: nothing to wait for
		host.Close(ended)
		<-running
	}()
	if err := g.awaitReady(ctx, came); err != nil {
		return err
	}
	r, closeServer, err := private(api.New(host, apiOptions(c, log)))
	if err != nil {
		return err
	}
	defer closeServer()
	return use(r)
}

// awaitReady waits for the first of came, or the end of ctx.
func (g *global) awaitReady(ctx context.Context, came <-chan schedule.Status) error {
	defer g.console.show("")
	select {
	case s := <-came:
		if s.State == schedule.StateQuarantined {
			return &codeError{exitLoad, fmt.Errorf("the model %s could not be loaded: %s", s.ID, s.Reason)}
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// private serves h on a unix socket in a folder that only this user can enter.
func private(h http.Handler) (*remote, func(), error) {
	dir, err := os.MkdirTemp("", "piohost-") // mode 0700
	if err != nil {
		return nil, nil, fmt.Errorf("no place for the private socket: %w", err)
	}
	socket := filepath.Join(dir, "api")
	l, err := net.Listen("unix", socket)
	if err != nil {
		os.RemoveAll(dir)
		return nil, nil, fmt.Errorf("no private socket: %w", err)
	}
	server := newServer(h)
	go func() { _ = server.Serve(l) }() // ends with Close
	return overUnix(socket), func() {
		_ = server.Close()
		os.RemoveAll(dir)
	}, nil
}
