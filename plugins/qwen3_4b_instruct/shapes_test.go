package main

import "testing"

// FP8 in blocks that end inside rows and columns, some matrices left in bf16, scales in another shard than their matrix, odd widths, a
// stray lm_head.weight beside a tied head, a yarn rope, biases: the numbers are those of another implementation (see make.py there).
func TestUnusualShapesAreTheReferences(t *testing.T) { suite.Shapes(t, "testdata/shapes/*", 3) }
