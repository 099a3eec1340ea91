package main

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
	"github.com/inference-pio/inference-pio/cuda/serve/servetest"
)

// tiny is a small model of the class with what the reference computes.
const tiny = "testdata/tiny"

var (
	plugin     = servetest.Plugin{Family: family, Checkpoints: []string{tiny}}
	suite      = twoForms(plugin.Suite())
	read       = nntest.Read
	checkpoint = nntest.Checkpoint
)

// twoForms: what is generated is computed among latents, what is prompted is expanded from them.
func twoForms(s nntest.Suite) nntest.Suite {
	s.TwoForms = true
	return s
}

// asReference has in the norms of latents what the reference has there; see Config.LatentNormEps.
func asReference(s nntest.Suite) nntest.Suite {
	s.Open = func(config []byte, layers int, _ func(string) bool) (nntest.Model, error) {
		c, err := ParseConfig(config)
		if err != nil {
			return nil, err
		}
		c.LatentNormEps = 1e-6
		return New(c, layers), nil
	}
	return s
}

func TestEveryLayerIsTheReferences(t *testing.T)             { asReference(suite).EveryLayer(t) }
func TestGreedyTokensAreTheReferences(t *testing.T)          { asReference(suite).Greedy(t) }
func TestPerplexityIsTheReferences(t *testing.T)             { asReference(suite).Perplexity(t) }
func TestPortableKernelsComputeTheReferenceToo(t *testing.T) { asReference(suite).Portable(t) }

// Wherever a prompt is cut, even where the engine never does, positions are expanded and attended to in the same tiles.
func TestChunkedPromptIsTheWholePrompt(t *testing.T) { suite.Chunked(t) }
func TestPromptsAroundTheBorders(t *testing.T)       { suite.Borders(t) }
func TestSequencesDoNotFeelEachOther(t *testing.T)   { suite.Company(t) }

// What is generated (absorbed) differs from the same tokens as a prompt (expanded) by rounding alone: sums of 64 latents instead of
// 48 elements.
func TestBothFormsOfAttention(t *testing.T) { suite.Forms(t, 1e-5) }

// What users get, with rms_norm_eps in the norms of latents, differs from the reference by some 1e-6 on this model and by no token.
func TestTheEpsOfLatentsHardlyMatters(t *testing.T) {
	suite.EveryLayer(t)
	suite.Greedy(t)
}
