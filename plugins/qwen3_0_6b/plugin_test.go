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

// BenchmarkLoad loads the whole model:
//
//	go test ./plugins/qwen3_0_6b -run '^$' -bench Load
func BenchmarkLoad(b *testing.B) { plugin.Load(b, []byte(published), 0) }

// What the model writes in <think> is reasoning, and JSON in <tool_call> a call.
func TestChatsOfTheReferenceThroughTheContract(t *testing.T) {
	plugin.Chats(t, func(t testing.TB, g servetest.Case, a servetest.Answer) {
		written, reasoning := g.Written(), ""
		if thought, thinks := strings.CutPrefix(written, "<think>"); thinks { // it may not come to an end
			reasoning, written, _ = strings.Cut(thought, "</think>")
			reasoning, written = strings.Trim(reasoning, "\n"), strings.TrimLeft(written, "\n")
		}
		var calls []servetest.Call
		if before, _, called := strings.Cut(written, "<tool_call>"); called {
			written, calls = before, []servetest.Call{{Name: "get_weather", Arguments: `{"city": "Oslo"}`}}
		}
		if a.Reasoning != reasoning || a.Text != written || !slices.Equal(a.Calls, calls) {
			t.Errorf("reasons %q, says %q, calls %v; the reference writes %q", a.Reasoning, a.Text, a.Calls, g.GreedyText)
		}
	})
}
