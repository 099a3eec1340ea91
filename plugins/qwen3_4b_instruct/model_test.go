package main

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda/serve/servetest"
)

// The same model in bf16, one file, and in FP8 with block scales, six shards; the reference computed both, the second with the
// dequantized weights.
const (
	tiny    = "testdata/tiny"
	tinyFP8 = "testdata/tiny-fp8"
)

var (
	plugin = servetest.Plugin{Family: family, Checkpoints: []string{tiny, tinyFP8}}
	each   = plugin.Each
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
