package main

import "testing"

// Dense layers by either key, odd widths, five, six and thirteen experts, weights that are not normalized, all experts at once,
// experts joined in one tensor, f32 and f16 weights, shards: the numbers are those of another implementation (see make.py there).
func TestUnusualShapesAreTheReferences(t *testing.T) { suite.Shapes(t, "testdata/shapes/*", 3) }
