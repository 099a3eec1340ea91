// Package servetest tests a plugin through its contract, in this process: chats as a client sends them against what the reference
// renders, tokenizes and answers; answers that are resumed or whose modules move; layer tables; and the time to load. What concerns
// the numbers of a model is in package nntest; Plugin.Suite brings both together:
//
//	var plugin = servetest.Plugin{Family: family, Checkpoints: []string{"testdata/tiny"}}
//	var suite = plugin.Suite()
//
//	func TestConformance(t *testing.T)                   { plugin.Conformance(t) }
//	func TestGreedyTokensAreTheReferences(t *testing.T) { suite.Greedy(t) }
package servetest

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
	"github.com/inference-pio/inference-pio/cuda/serve"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
	"github.com/inference-pio/inference-pio/sdk/conformance"
	sdktest "github.com/inference-pio/inference-pio/sdk/serve/servetest"
)

// Plugin is a family under test.
type Plugin struct {
	Family serve.Family
	// Checkpoints are folders with a checkpoint and golden.json, which has what a reference renders, tokenizes and answers.
	Checkpoints []string
}

// Suite tests the numbers of the family's model on the same checkpoints.
func (p Plugin) Suite() nntest.Suite {
	return nntest.Suite{Checkpoints: p.Checkpoints, Open: func(config []byte, layers int, has func(string) bool) (nntest.Model, error) {
		m, err := p.Family.Open(config, serve.OpenOptions{Layers: layers, Has: has})
		if err != nil {
			return nil, err // a nil serve.Model would be no nil nntest.Model
		}
		return m, nil
	}}
}

// Start starts the plugin and gives the host's side of it.
func (p Plugin) Start(context.Context) (*client.Client, func(), error) {
	return sdktest.InProcess(serve.New(p.Family))
}

// Idle is a plugin that runs until the test ends.
func (p Plugin) Idle(t testing.TB) *client.Client {
	t.Helper()
	c, stop, err := p.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return c
}

// Loaded is a plugin that has loaded what is asked for.
func (p Plugin) Loaded(t testing.TB, req sdk.LoadRequest) *client.Client {
	t.Helper()
	c := p.Idle(t)
	if _, err := c.Load(t.Context(), req, func(sdk.Progress) {}); err != nil {
		t.Fatal(err)
	}
	return c
}

// With is a plugin that has loaded a checkpoint.
func (p Plugin) With(t testing.TB, dir string) *client.Client {
	t.Helper()
	return p.Loaded(t, sdk.LoadRequest{InspectRequest: sdk.InspectRequest{Path: dir}})
}

// Conformance runs the kit that every plugin must pass, whatever it is made with.
func (p Plugin) Conformance(t *testing.T) {
	p.Each(t, func(t *testing.T, dir string) {
		conformance.Run(t, conformance.Config{Start: p.Start, Model: dir})
	})
}

// Each runs a test with all checkpoints.
func (p Plugin) Each(t *testing.T, f func(t *testing.T, dir string)) {
	if len(p.Checkpoints) == 0 {
		t.Fatal(errors.New("the plugin names no checkpoints"))
	}
	for _, dir := range p.Checkpoints {
		t.Run(filepath.Base(dir), func(t *testing.T) { f(t, dir) })
	}
}
