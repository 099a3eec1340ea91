package main

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda/serve/servetest"
)

// tiny is a small model of the class with what the reference computes.
const tiny = "testdata/tiny"

var (
	plugin = servetest.Plugin{Family: family, Checkpoints: []string{tiny}}
	suite  = plugin.Suite()
)

func TestEveryLayerIsTheReferences(t *testing.T)             { suite.EveryLayer(t) }
func TestGreedyTokensAreTheReferences(t *testing.T)          { suite.Greedy(t) }
func TestPerplexityIsTheReferences(t *testing.T)             { suite.Perplexity(t) }
func TestPortableKernelsComputeTheReferenceToo(t *testing.T) { suite.Portable(t) }
func TestChunkedPromptIsTheWholePrompt(t *testing.T)         { suite.Chunked(t) }
func TestPromptsAroundTheBorders(t *testing.T)               { suite.Borders(t) }
func TestSequencesDoNotFeelEachOther(t *testing.T)           { suite.Company(t) }
func TestWhatIsGeneratedIsAsPrompted(t *testing.T)           { suite.Forms(t, 0) }
