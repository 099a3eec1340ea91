// Package servetest tests a plugin through its contract, in this process: chats as a client sends them against what the reference
// renders, tokenizes and answers; answers that are resumed or whose modules move; layer tables; and the time to load. What concerns
// the numbers of a model is in package nntest; Plugin.Suite brings both together:
//
//	var plugin = servetest.Plugin{Family: family, Published: published, Checkpoints: []string{"testdata/tiny"}}
//	var suite = plugin.Suite(nntest.Suite{Shapes: 3})
//
//	func TestModel(t *testing.T)  { suite.Test(t) }
//	func TestPlugin(t *testing.T) { plugin.Test(t) }
package servetest

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/far"
	"github.com/inference-pio/inference-pio/cuda/hfconfig/configtest"
	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
	"github.com/inference-pio/inference-pio/cuda/serve"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
	"github.com/inference-pio/inference-pio/sdk/conformance"
	sdktest "github.com/inference-pio/inference-pio/sdk/serve/servetest"
)

// Plugin is a family under test, and what is known of it.
type Plugin struct {
	Family    serve.Family
	Published string // config.json of the published model
	// Checkpoints are folders with a checkpoint and golden.json, which has what a reference renders, tokenizes and answers.
	Checkpoints []string

	Call      Call                                      // what golden.json's answers with a tool call in them call
	Tables    []Table                                   // what layer tables add up to
	Rows      []sdk.Module                              // some of the published model's layer table, worked out by hand
	Elsewhere Elsewhere                                 // what is there of experts on a second device, of a model that has any
	Memory    func(m configtest.Sizes) map[string]int64 // rows of README.md's table besides those of every model

	pace far.Pace // of AtEveryPace
}

// Test runs every test that a plugin must pass, each by its name.
func (p Plugin) Test(t *testing.T) {
	t.Run("Conformance", p.Conformance)
	t.Run("Chats", p.Chats)
	t.Run("Resumed", p.Resumed)
	t.Run("Prefixes", p.Prefixes)
	t.Run("Spills", p.Spills)
	t.Run("Metamorphic", p.Metamorphic)
	t.Run("Comes", p.Comes)
	t.Run("Forward", p.Forward)
	t.Run("Chunks", p.Chunks)
	t.Run("Cores", p.Cores)
	t.Run("Shares", p.Shares)
	t.Run("Fast", p.Fast)
	t.Run("Packed", p.Packed)
	t.Run("Quantised", p.Quantised)
	t.Run("Kept", p.Kept)
	t.Run("Vocabulary", p.Vocabulary)
	t.Run("Readme", func(t *testing.T) { p.Readme(t) })
	t.Run("LayerTables", func(t *testing.T) { p.LayerTables(t) })
	t.Run("Rows", func(t *testing.T) { p.TableRows(t) })
	if p.Elsewhere.Bytes > 0 {
		t.Run("ExpertsElsewhere", p.ExpertsElsewhere)
	}
}

// Suite is a suite of the family's model, of the same checkpoints and published config.
func (p Plugin) Suite(s nntest.Suite) nntest.Suite {
	s.Checkpoints, s.Published.Config, s.GGUF = p.Checkpoints, p.Published, p.Family.GGUF
	s.Open = func(config []byte, layers int, has func(string) bool) (nntest.Model, error) {
		m, err := p.Family.Open(config, serve.OpenOptions{Layers: layers, Has: has})
		if err != nil {
			return nil, err // a nil serve.Model would be no nil nntest.Model
		}
		return m, nil
	}
	return s
}

// Fuzz reads any config.json: what is accepted can be built without a panic and describes a model of a sane size.
func (p Plugin) Fuzz(f *testing.F, seeds ...[]byte) {
	f.Add([]byte(p.Published))
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, config []byte) {
		m, err := p.Family.Open(config, serve.OpenOptions{Layers: 2})
		if err != nil {
			return
		}
		if s := m.Shape(); s.Context < 1 || s.Vocab < 1 || s.Hidden < 1 || len(m.Caches()) != s.Layers {
			t.Errorf("accepted: %+v with caches %v", s, m.Caches())
		}
		if m, ok := m.(interface{ FP8Block() [2]int }); ok && min(m.FP8Block()[0], m.FP8Block()[1]) < 0 {
			t.Errorf("accepted: blocks of %v", m.FP8Block())
		}
	})
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

// inspected is the layer table that a plugin gives of what it has not loaded.
func (p Plugin) inspected(t testing.TB, req sdk.InspectRequest) sdk.LayerTable {
	t.Helper()
	in, err := p.Idle(t).Inspect(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return in.Table
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
