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

// BenchmarkLoad loads the dense layer and one of the 46 mixtures, with all of its 64 experts:
//
//	go test ./plugins/glm_4_7_flash -run '^$' -bench Load
func BenchmarkLoad(b *testing.B) { plugin.Load(b, []byte(published), 2) }

// The prompt opens inside <think>, so what comes before </think> is reasoning.
func TestChatsOfTheReferenceThroughTheContract(t *testing.T) {
	plugin.Chats(t, func(t testing.TB, g servetest.Case, a servetest.Answer) {
		written := g.Written()
		reasoning, content, thinks := strings.Cut(written, "</think>")
		if !thinks {
			reasoning, content = "", written
		}
		var calls []servetest.Call
		if before, _, called := strings.Cut(content, "<tool_call>"); called {
			content, calls = before, []servetest.Call{{Name: "get_weather", Arguments: `{"city": "Oslo"}`}}
		}
		if a.Reasoning != reasoning || a.Text != content || !slices.Equal(a.Calls, calls) {
			t.Errorf("reasons %q, says %q, calls %v; the reference writes %q", a.Reasoning, a.Text, a.Calls, g.GreedyText)
		}
	})
}

// A second device has room for the layers, their latents and a third of the experts.
func TestAThirdOfTheExpertsElsewhereChangesNoToken(t *testing.T) {
	plugin.ExpertsElsewhere(t, servetest.Elsewhere{Bytes: 5700 << 10, Layers: 4, Experts: 24, Least: 4, Most: 12})
}
