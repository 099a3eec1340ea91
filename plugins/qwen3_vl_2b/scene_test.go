package main

import (
	"context"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
	"github.com/inference-pio/inference-pio/cuda/serve"
)

// scene is a prompt with its pictures, as a model is given it in parts.
type scene struct {
	m        *Model
	ids      []int32
	placed   []serve.Placed
	features [][]float32 // of all pictures, one behind the other: (tokens of pictures, hidden) each
}

// newScene has the model look at picture files, which stand where runs of the pad token are.
func newScene(t testing.TB, m *Model, ids []int32, files ...string) *scene {
	t.Helper()
	sc := &scene{m: m, ids: ids, features: make([][]float32, m.Features())}
	at := 0
	for _, file := range files {
		p := lookAt(t, m, read(t, file))
		for i, f := range see(t, m, p) {
			sc.features[i] = append(sc.features[i], f...)
		}
		for at < len(ids) && ids[at] != m.PadToken() {
			at++
		}
		sc.placed = append(sc.placed, serve.Placed{At: at, Picture: p})
		at += p.Tokens()
	}
	if at > len(ids) || slices.Contains(ids[at:], m.PadToken()) {
		t.Fatalf("%d pictures do not fill the pads of %v", len(files), ids)
	}
	return sc
}

// chunk is the tokens from..to-1.
func (sc *scene) chunk(from, to int) nntest.Chunk {
	c := nntest.Chunk{Tokens: sc.ids[from:to]}
	sc.show(&c, from)
	return c
}

// show is the Sight of the prompt and of what comes after it.
func (sc *scene) show(c *nntest.Chunk, from int) {
	c.Axes, c.Features = make([]int32, 3*len(c.Tokens)), make([][]float32, len(sc.features))
	at := make([]int32, len(c.Tokens))
	for i := range at {
		at[i] = int32(from + i)
	}
	sc.m.Axes(sc.placed, at, c.Axes)
	row, hidden := 0, sc.m.cfg.Text.HiddenSize // row of the features
	for _, one := range sc.placed {
		for i := range one.Picture.Tokens() {
			if p := one.At + i; p >= from && p < from+len(c.Tokens) {
				c.Visible = append(c.Visible, int32(p-from))
				for f := range c.Features {
					c.Features[f] = append(c.Features[f], sc.features[f][row*hidden:(row+1)*hidden]...)
				}
			}
			row++
		}
	}
}

// story is the prompt with what there is to see in it.
func (sc *scene) story() nntest.Story { return nntest.Story{Prompt: sc.ids, Sight: sc.show} }

// generate continues greedily by n tokens, after the prompt went in chunks of that many.
func (sc *scene) generate(t testing.TB, r *nntest.Runner, chunk, n int) []int32 {
	t.Helper()
	ids, err := r.Continue(0, sc.story(), chunk, n)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// all runs the prompt in chunks and returns the logits of every row.
func (sc *scene) all(t testing.TB, r *nntest.Runner, seq, chunk int) [][]float32 {
	t.Helper()
	return r.Rows(t, seq, sc.story(), chunk, 1)
}

func lookAt(t testing.TB, m *Model, file []byte) *Picture {
	t.Helper()
	p, err := m.Look(context.Background(), file)
	if err != nil {
		t.Fatal(err)
	}
	return p.(*Picture)
}

// see runs all pieces of the tower and returns the features as rows are given them: that for the embedding first.
func see(t testing.TB, m *Model, p *Picture) [][]float32 {
	t.Helper()
	features, _ := seeOn(t, m, p, tower(t)...)
	return features
}

// tower is what the tower's steps have: the CPU alone, but where tests have its weights elsewhere.
var tower = func(t testing.TB) []cuda.Device { return []cuda.Device{newCPU(t)} }

// seeOn is see over some devices, the first of which is the CPU; it also counts the pieces.
func seeOn(t testing.TB, m *Model, p *Picture, devices ...cuda.Device) (features [][]float32, pieces int) {
	t.Helper()
	s := cuda.NewStep(devices, nil, nil)
	var x []float32
	for done := false; !done; pieces++ {
		look := func(s *cuda.Step) (next cuda.Tensor, seen []cuda.Tensor) {
			in := cuda.Tensor{}
			if pieces > 0 {
				in = s.InputF32(x, p.patches(), m.cfg.Vision.HiddenSize)
			}
			next, seen, done = m.See(s, p, in, pieces)
			return next, seen
		}
		sizes, err := s.Measure(func(s *cuda.Step) { look(s) })
		if err != nil {
			t.Fatal(err)
		}
		for dev := range devices {
			if err := s.Reserve(dev, sizes); err != nil {
				t.Fatal(err)
			}
		}
		s.Begin()
		next, seen := look(s)
		for i, f := range seen {
			seen[i] = s.ToHost(f)
		}
		if !done {
			next = s.ToHost(next)
		}
		if err := s.End(); err != nil {
			t.Fatal(err)
		}
		for _, f := range seen { // only now they are there
			features = append(features, slices.Clone(f.F32()))
		}
		x = slices.Clone(next.F32())
		for dev := range devices {
			s.Release(dev)
		}
	}
	last := len(features) - 1
	return append(features[last:last+1:last+1], features[:last]...), pieces
}
