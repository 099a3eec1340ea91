package main

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
	"github.com/inference-pio/inference-pio/cuda/serve/servetest"
)

// tiny is a small model of the class with what the reference computes.
const tiny = "testdata/tiny"

var (
	plugin = servetest.Plugin{Family: family, Checkpoints: []string{tiny}}
	suite  = inChunks(plugin.Suite())
)

// inChunks: the delta rule takes a prompt in chunks of 64, which begin where a step begins, and what is generated row by row.
func inChunks(s nntest.Suite) nntest.Suite {
	s.Cut, s.TwoForms = 64, true
	return s
}

func TestEveryLayerIsTheReferences(t *testing.T)             { suite.EveryLayer(t) }
func TestGreedyTokensAreTheReferences(t *testing.T)          { suite.Greedy(t) }
func TestPerplexityIsTheReferences(t *testing.T)             { suite.Perplexity(t) }
func TestPortableKernelsComputeTheReferenceToo(t *testing.T) { suite.Portable(t) }
func TestChunkedPromptIsTheWholePrompt(t *testing.T)         { suite.Chunked(t) }
func TestPromptsEndAnywhere(t *testing.T)                    { suite.Borders(t) }
func TestCompanyAndCutsChangeNothing(t *testing.T)           { suite.Company(t) }

// The two forms of the delta rule are one formula: a prompt computed token by token in the recurrent form gives the logits of the
// chunked form but for rounding.
func TestChunkedFormIsTheRecurrentForm(t *testing.T) { suite.Forms(t, 2e-5) }
