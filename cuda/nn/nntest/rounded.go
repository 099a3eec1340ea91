package nntest

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/golden"
)

// rounded.go compares a device of fast numerics with another that rounds the same numbers, and is trusted.

// RoundingBound is how far a layer's numbers may then be apart, in parts of the largest: two of bf16's steps at it. Sums of another order
// differ by some 1e-6; where such a sum lies that near the border between two numbers of bf16 it is rounded the other way, by 2^-8 of itself,
// and what is made of it moves by the share that it has in a sum of many.
const RoundingBound = 0x1p-7

// Rounded runs each checkpoint's golden prompt on the suite's device and on the one that reference opens, both fast, and compares every
// layer; then it generates the cases greedily: where the two choose differently the reference's choice was as good as no other's within
// the bound.
func (s Suite) Rounded(t *testing.T, reference func(t testing.TB, numerics string) cuda.Device) {
	s.Numerics, s.Cache = cpu.Fast, cuda.BF16
	r := s
	r.On = reference
	r.Numerics = cpu.Exact // of the CPU, whose kernels compute between the roundings
	s.each(t, func(t testing.TB, dir string) {
		got, want := s.open(t, dir, "config.json"), r.open(t, dir, "config.json")
		y := got.longest(t)
		worst, rel, err := apart(want.layers(t, y), got.layers(t, y), RoundingBound)
		if err != nil {
			t.Error(err)
		}
		t.Logf("gpu-sim: %s, fast: the worst layer is %s, %.1e of its largest from the same roundings, of %.1e that are allowed", dir, worst, rel, RoundingBound)
		for _, c := range got.cases(t) {
			got.follows(t, c, want)
		}
	})
}

// shown is a tensor of a pass.
type shown struct {
	name string
	x    []float32
}

// layers are those of one pass over a prompt, and the logits of its rows.
func (o opened) layers(t testing.TB, y Story) (list []shown) {
	t.Helper()
	o.Step.SetObserver(func(name string, i int, x cuda.Tensor) {
		list = append(list, shown{fmt.Sprintf("%s.%d", name, i), slices.Clone(x.F32())})
	})
	defer o.Step.SetObserver(nil)
	logits := o.Rows(t, 0, y, len(y.Prompt), 1)
	return append(list, shown{"logits", slices.Concat(logits...)})
}

// apart compares layer by layer and tells the worst, and which is the first beyond a bound.
func apart(want, got []shown, bound float64) (worst string, most float64, err error) {
	for i := range min(len(want), len(got)) {
		d := golden.Compare(got[i].x, want[i].x)
		if worst == "" || d.Rel > most {
			most, worst = d.Rel, want[i].name
		}
		if !(d.Rel <= bound) && err == nil {
			err = fmt.Errorf("%s is %.1e of its largest apart, more than %.1e", want[i].name, d.Rel, bound)
		}
	}
	if len(want) != len(got) {
		err = fmt.Errorf("%d tensors, not %d", len(got), len(want))
	}
	return worst, most, err
}

// follows generates a case and, where it leaves the reference's tokens, looks how near the two choices were in the reference's eyes.
func (o opened) follows(t testing.TB, c Case, want opened) {
	t.Helper()
	n := min(len(c.Greedy), 24)
	y := o.story(t, c) // both see the same
	got, err := o.Continue(0, y, 512, n)
	if err != nil {
		t.Fatal(err)
	}
	said, err := want.Continue(0, y, 512, n)
	if err != nil {
		t.Fatal(err)
	}
	i := 0
	for i < n && got[i] == said[i] {
		i++
	}
	if i == n {
		return
	}
	y.After = said[:i]
	rows := want.Rows(t, 0, y, len(y.Prompt), 1)
	row := rows[len(rows)-1]
	largest := 0.0
	for _, x := range row {
		largest = max(largest, math.Abs(float64(x)))
	}
	if margin := float64(row[said[i]] - row[got[i]]); margin > 2*RoundingBound*largest {
		t.Errorf("%s: token %d is %d, not %d, which was ahead by %.2g of %.2g", c.Name, i, got[i], said[i], margin, largest)
	}
}
