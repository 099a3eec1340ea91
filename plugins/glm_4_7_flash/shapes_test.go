package main

import "testing"

// Odd ranks and heads, queries that are not compressed, biases, groups, shared experts, a yarn rope that scales scores, joined
// experts, f32 and f16 weights, shards, a layer behind the last: the numbers are those of another implementation (see make.py there),
// with rms_norm_eps in the norms of latents as this plugin has by default.
func TestUnusualShapesAreTheReferences(t *testing.T) { suite.Shapes(t, "testdata/shapes/*", 3) }
