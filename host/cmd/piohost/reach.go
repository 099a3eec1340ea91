// reach.go finds a host that has a model: the one at the configured address, or else one of our own that nobody else can
// reach.
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/inference-pio/inference-pio/host/internal/api"
	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/host/internal/schedule"
	"github.com/inference-pio/inference-pio/host/internal/telemetry"
	"github.com/inference-pio/inference-pio/sdk"
)

// reach calls use with a host that has the model.
func (g *global) reach(ctx context.Context, c *config.Config, model string, use func(*remote) error) error {
	if r := overTCP(c.Server.Listen); r.has(ctx, model) {
		return use(r)
	}
	entry, ok := c.Model(model)
	if !ok {
		return &codeError{exitUsage, unknownModel(model, c)}
	}
	alone := *c
	alone.Models = []config.Model{entry}
	return g.withHost(ctx, &alone, use)
}

func unknownModel(model string, c *config.Config) error {
	var names []string
	for _, m := range c.Models {
		names = append(append(names, m.ID), m.Aliases...)
	}
	if meant := nearest(model, names); meant != "" {
		return fmt.Errorf("no model %q in %s; did you mean %s?", model, c.File, meant)
	}
	return fmt.Errorf("no model %q in %s; it has %s", model, c.File, modelNames(c))
}

func modelNames(c *config.Config) string {
	var names []string
	for _, m := range c.Models {
		names = append(names, m.ID)
	}
	return strings.Join(names, ", ")
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
	host, err := newHost(ctx, c, log, telemetry.New(sdk.Version), func(s schedule.Status) {
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
