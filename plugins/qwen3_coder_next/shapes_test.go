package main

import "testing"

// Key heads shared by several value heads of another dim, other convolutions and patterns of layers, dense layers, routers that do
// not normalize, projections and experts in their other spelling, f32 and f16, shards, a tied head with a stray copy, a yarn rope
// over part of a head: the numbers are those of another implementation (see make.py there), which computes prompts one token
// after the other.
func TestUnusualShapesAreTheReferences(t *testing.T) { suite.Shapes(t, "testdata/shapes/*", 3) }
