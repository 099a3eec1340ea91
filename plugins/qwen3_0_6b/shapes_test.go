package main

import "testing"

// Odd widths, heads that no vector length divides, one kv head, f32 and f16 weights, shards, a stray lm_head.weight beside a
// tied head, a yarn rope: the numbers are those of another implementation (see make.py there).
func TestUnusualShapesAreTheReferences(t *testing.T) { suite.Shapes(t, "testdata/shapes/*", 4) }
