package nntest

import (
	"fmt"
	"math"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/golden"
	"github.com/inference-pio/inference-pio/cuda/nn"
)

// quantised.go has the tests of a Suite that quantise the checkpoints' weights: what that costs against a reference that did not, and
// that a quantised model agrees with itself.

// precision is what quantised weights may cost.
type precision struct {
	form       string
	perplexity float64 // times the reference's
	// logits is how far a logit may be from the checkpoint's own weights', in parts of the largest. A token that differs from the
	// reference's must have been less than twice as far from the next best.
	logits float64
}

// precisions: a code of 8 bits is within 1/254 of its row's largest weight, one of 4 bits within 1/15.
var precisions = []precision{{cuda.Q8, 1.005, 0.05}, {cuda.Q4, 1.05, 0.5}}

// Quantised runs what a quantised model must pass, in each form, exactly and fast.
func (s Suite) Quantised(t *testing.T) {
	for _, p := range precisions {
		s.Quantise = p.form
		t.Run(p.form, func(t *testing.T) {
			for _, s.Numerics = range []string{cpu.Exact, cpu.Fast} {
				t.Run(s.Numerics, func(t *testing.T) { s.quantised(t, p) })
			}
		})
	}
}

func (s Suite) quantised(t *testing.T, p precision) {
	t.Run("Perplexity", func(t *testing.T) {
		s.each(t, func(t testing.TB, dir string) { s.costs(t, dir, p) })
	})
	t.Run("Greedy", func(t *testing.T) {
		s.each(t, func(t testing.TB, dir string) { s.nearly(t, dir, p) })
	})
	t.Run("Chunked", s.Chunked)
	t.Run("Borders", s.Borders)
	t.Run("Company", s.Company)
	if s.Forms > 0 { // rounding to 8 bits makes more of a difference in the last bits
		s.Forms = p.logits
	}
	t.Run("Forms", s.SameForms)
}

// cache is the type that goes with the numerics.
func (s Suite) cache() cuda.DType {
	if s.Numerics == cpu.Fast {
		return cuda.BF16
	}
	return cuda.F32
}

// costs compares the perplexity with the reference's.
func (s Suite) costs(t testing.TB, dir string, p precision) {
	want, err := ReadPerplexity(dir)
	if err != nil {
		t.Fatal(err)
	}
	ratio := s.openWith(t, dir, "config.json", s.cache()).measured(t, want) / math.Exp(want.NLL/float64(want.Tokens))
	if !(ratio <= p.perplexity) {
		t.Errorf("%s, %s: the perplexity is %.5f times the reference's, more than %v", p.form, s.Numerics, ratio, p.perplexity)
	}
	t.Logf("%s, %s: the perplexity is %.5f times the reference's", p.form, s.Numerics, ratio)
}

// nearly gives the reference's answers to a quantised model and to one with the checkpoint's weights, and compares all logits on the way.
func (s Suite) nearly(t testing.TB, dir string, p precision) {
	o := s.openWith(t, dir, "config.json", s.cache())
	s.Quantise, s.Numerics = "", ""
	whole := s.open(t, dir, "config.json")
	tokens, other, most := 0, 0, 0.0
	for _, c := range o.cases(t) {
		y := o.story(t, c)
		got, want := o.Rows(t, 0, y, 512, 1), whole.Rows(t, 0, y, 512, 1)
		for i, next := range c.Greedy {
			row := len(c.Prompt) - 1 + i
			largest, d := largestOf(want[row]), golden.Compare(got[row], want[row])
			most = max(most, d.Rel)
			tokens++
			if Argmax(got[row]) == next {
				continue
			}
			other++
			if margin := marginOf(want[row], next) / largest; !(margin <= 2*p.logits) {
				t.Errorf("%s: token %d is %d and not %d, which was %.2f of the largest logit ahead", c.Name, i, Argmax(got[row]), next, margin)
			}
		}
	}
	how := fmt.Sprintf("%s, %s: %d of %d greedy tokens are others; logits are at most %.4f of the largest apart", p.form, o.suite.Numerics, other, tokens, most)
	if !(most <= p.logits) {
		t.Errorf("%s, more than %v", how, p.logits)
	}
	t.Log(how)
}

func largestOf(logits []float32) (largest float64) {
	for _, x := range logits {
		largest = max(largest, math.Abs(float64(x)))
	}
	return largest
}

// marginOf is how far a token's logit is ahead of all others.
func marginOf(logits []float32, token int32) float64 {
	next := math.Inf(-1)
	for i, x := range logits {
		if i != int(token) {
			next = max(next, float64(x))
		}
	}
	return float64(logits[token]) - next
}

// quantise makes the weights that a model was bound without, until the test ends.
func quantise(t testing.TB, b *nn.Bound, c *cpu.Device) {
	t.Helper()
	made, err := b.Quantise(nn.Quantiser{Device: c})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, m := range made {
			c.Free(m)
		}
	})
}
