package nntest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/golden"
)

// rounded.go compares a device of fast numerics with another that rounds the same numbers, and is trusted.
//
// Over a whole model two that round the same do not stay near each other. Sums of another order differ by some 1e-7; a sum that lies that near the
// border between two numbers of bf16 is rounded the other way by one of the two, and is a step away. What is made of it moves by its share in a
// sum of many, so that many more numbers lie on different sides of a border, and from layer to layer the two come apart until they are as far from
// each other as other roundings would be. So each layer is compared by itself: on the trusted device it begins with the bits that the other one
// had in front of it. And rows are compared by themselves, for one row in a prompt may be ten times as large as the others.

// RoundingBound is how far a row that a layer gives may be apart, in parts of the row's largest number: a step of bf16, which is at most 2^-7 of
// the number that is rounded the other way, as if all of the row were made of it. What is not rounded between two tensors has Bound.
const RoundingBound = 0x1p-7

// Taught is a device that rounds the same and can be told what to go on with: f may change each tensor that is asked for.
type Taught interface {
	cuda.Device
	Teach(f func(x []float32)) // x may be longer than the tensor
}

// Rounded runs each checkpoint's golden prompt in fast numerics on the suite's device and on the one that reference opens, and compares what each
// layer makes of the same rows. As wholes the two are to be nearer to each other than roundings bring the trusted one from exact numerics. Then it
// generates the cases greedily: where the two choose differently the reference's choice was as good as no other's within the bound.
func (s Suite) Rounded(t *testing.T, reference func(t testing.TB) Taught) {
	exact := s
	exact.On = nil
	s.Numerics, s.Cache = cpu.Fast, cuda.BF16
	r := s
	r.On = func(t testing.TB, _ string) cuda.Device { return reference(t) }
	r.Numerics = cpu.Exact // of the CPU, whose kernels compute between the roundings
	s.each(t, func(t testing.TB, dir string) {
		got, want, plain := s.open(t, dir, "config.json"), r.open(t, dir, "config.json"), exact.open(t, dir, "config.json")
		y := got.longest(t)
		computed := got.layers(t, y)
		worst, rel, err := eachByItself(want.taught(t, y, computed), computed)
		if err != nil {
			t.Error(err)
		}
		whole, unrounded := want.layers(t, y), plain.layers(t, y)
		end := len(computed) - 1
		off, rounding := mean(byRow(whole[end], computed[end])), mean(byRow(unrounded[end], whole[end]))
		if !(off <= rounding) || rounding < 1e-5 {
			t.Errorf("the logits are %.1e apart, and roundings make %.1e", off, rounding)
		}
		t.Logf("gpu-sim: %s, fast: the worst layer is %s, %.1e of its row's largest from the same roundings, of %.1e that are allowed; of the whole model the logits are %.1e apart, and exact numerics %.1e, a row",
			dir, worst, rel, RoundingBound, off, rounding)
		for _, c := range got.cases(t) {
			got.follows(t, c, want)
		}
	})
}

// eachByItself compares what layers made of the same rows. It tells the worst, and each that is beyond its bound.
func eachByItself(want, got []shown) (worst string, most float64, err error) {
	if len(want) != len(got) {
		return "", math.Inf(1), fmt.Errorf("%d tensors, not %d", len(got), len(want))
	}
	for i := range want {
		bound := Bound
		if strings.HasPrefix(got[i].name, "layer.") {
			bound = RoundingBound
		}
		off := byRow(want[i], got[i])
		row, rows := slices.Index(off, slices.Max(off)), len(off)
		if off[row] > most || worst == "" {
			most, worst = off[row], got[i].name
		}
		if !(off[row] <= bound) {
			sorted := slices.Sorted(slices.Values(off))
			err = errors.Join(err, fmt.Errorf("%s: row %d of %d is %.1e of its largest apart, more than %.1e; the next is %.1e, half of all are within %.1e", got[i].name, row, rows,
				off[row], bound, sorted[max(0, rows-2)], sorted[rows/2]))
		}
	}
	return worst, most, err
}

// byRow is how far each row is from another's, in parts of its largest number.
func byRow(want, got shown) []float64 {
	n := got.width
	off := make([]float64, len(got.x)/n)
	for i := range off {
		off[i] = golden.Compare(got.x[i*n:(i+1)*n], want.x[i*n:(i+1)*n]).Rel
	}
	return off
}

func mean(x []float64) (sum float64) {
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}

// shown is a tensor of a pass, rows of so many numbers.
type shown struct {
	name  string
	x     []float32
	width int
}

// last is the name of what a pass shows last.
const last = "final.0"

// layers are those of the passes over a story, its prompt in one and what is after it one by one, and the logits of all its rows.
func (o opened) layers(t testing.TB, y Story) (list []shown) {
	t.Helper()
	o.Step.SetObserver(func(name string, i int, x cuda.Tensor) {
		list = show(list, fmt.Sprintf("%s.%d", name, i), x.F32(), x.Dim(1))
	})
	defer o.Step.SetObserver(nil)
	logits := o.Rows(t, 0, y, len(y.Prompt), 1)
	return append(list, shown{"logits", slices.Concat(logits...), len(logits[0])})
}

// show adds a tensor. One that has just been shown under another name, as the input of a layer to which nothing was added, is brought from its device
// once, and is there once.
func show(list []shown, name string, x []float32, width int) []shown {
	if n := len(list); n > 0 && slices.Equal(list[n-1].x, x) {
		return list
	}
	return append(list, shown{name, slices.Clone(x), width})
}

// taught are those of a Taught device on which each layer begins with what other passes had in front of it.
func (o opened) taught(t testing.TB, y Story, other []shown) (list []shown) {
	t.Helper()
	d := o.dev.(Taught)
	logits := false // are asked for next
	d.Teach(func(x []float32) {
		i := len(list)
		if logits || i == len(other) || len(x) < len(other[i].x) {
			logits = false
			return
		}
		n := len(other[i].x)
		list = append(list, shown{other[i].name, slices.Clone(x[:n]), other[i].width})
		copy(x, other[i].x)
		logits = other[i].name == last
	})
	defer d.Teach(nil)
	own := o.layers(t, y)
	return append(list, own[len(own)-1])
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
