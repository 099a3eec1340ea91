package nntest

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda/cpu"
)

// fast.go runs a model with the weights that its file has in fast numerics, with each table of kernels for them.

// fastPrecision is what fast numerics may cost by themselves: activations that are multiplied, and keys, values and latents that are kept, are
// rounded to bf16, each to within 2^-9 of itself. Logits may be as far off as by a cache in codes.
var fastPrecision = precision{"the file's weights", 1 + fastBound, cachePrecision.logits, cachePrecision.margin}

// Fast runs what a model must pass in fast numerics, with every table for them that this machine has. How a sequence is cut into chunks, where the
// prompt ends and who is computed beside it changes no bit with any of them.
func (s Suite) Fast(t *testing.T) {
	s.Numerics = cpu.Fast
	for _, table := range cpu.FastTables() {
		t.Run(table, func(t *testing.T) {
			t.Setenv(cpu.EnvKernels, table)
			s.quantised(t, fastPrecision)
		})
	}
}
