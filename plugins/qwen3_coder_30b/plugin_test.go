package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/serve/servetest"
)

func TestConformance(t *testing.T)                  { plugin.Conformance(t) }
func TestResumedIsUninterrupted(t *testing.T)       { plugin.Resumed(t) }
func TestPrefixesAreComputedOnce(t *testing.T)      { plugin.Prefixes(t) }
func TestForwardAndEmbed(t *testing.T)              { plugin.Forward(t) }
func TestWherePiecesEndChangesNothing(t *testing.T) { plugin.Chunks(t) }
func TestSharesOfMemory(t *testing.T)               { plugin.Shares(t) }
func BenchmarkTinyInProcess(b *testing.B)           { plugin.TinyInProcess(b) }

// BenchmarkLoad loads one of the 48 layers, with all of its 128 experts:
//
//	go test ./plugins/qwen3_coder_30b -run '^$' -bench Load
func BenchmarkLoad(b *testing.B) { plugin.Load(b, []byte(published), 1) }

// The case with tools calls one in the family's tags, and types its arguments as the tool's schema does.
func TestChatsOfTheReferenceThroughTheContract(t *testing.T) {
	plugin.Chats(t, func(t testing.TB, g servetest.Case, a servetest.Answer) {
		text, _, called := strings.Cut(g.Written(), "<tool_call>")
		var calls []servetest.Call
		if called {
			calls = []servetest.Call{{Name: "read_file", Arguments: `{"path": "go.mod", "lines": 12}`}}
		}
		if a.Text != text || a.Reasoning != "" || !slices.Equal(a.Calls, calls) {
			t.Errorf("says %q (reasoning %q), calls %v; the reference writes %q", a.Text, a.Reasoning, a.Calls, g.GreedyText)
		}
	})
}

// A second device has room for the layers and a third of their experts.
func TestAThirdOfTheExpertsElsewhereChangesNoToken(t *testing.T) {
	plugin.ExpertsElsewhere(t, servetest.Elsewhere{Bytes: 5 << 20, Layers: 4, Experts: 32, Least: 6, Most: 16})
}
