package nntest

import (
	"fmt"
	"math"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/nn"
)

// quantised.go has the tests of a Suite that quantise the checkpoints' weights, or what is kept of positions: what that costs against a reference that did not, and
// that a quantised model agrees with itself.

// precision is what quantised weights, or a quantised cache, may cost.
type precision struct {
	form       string
	perplexity float64 // times the reference's
	logits     float64 // root mean square of what logits are off, in parts of theirs
	// margin is how far, in parts of the largest logit, a token of the reference's may have been ahead of the next where a quantised
	// model has another.
	margin float64
}

// precisions: a code of 8 bits is within 1/254 of the largest of its 128 weights, one of 4 bits within about 1/15 of that of its 32.
var precisions = []precision{{cuda.Q8, 1.005, 0.1, 0.02}, {cuda.Q4, 1.05, 0.2, 0.2}}

// cachePrecision: a code of keys, values and latents is within 1/254 of the largest of 64.
var cachePrecision = precision{"a cache in q8", 1.001, 0.05, 0.01}

// CacheInCodes runs it with the checkpoint's weights and a cache in codes of 8 bits.
func (s Suite) CacheInCodes(t *testing.T) {
	s.Cache, s.Numerics = cuda.Q8Row, cpu.Exact
	s.quantised(t, cachePrecision)
	t.Run("Chunked", s.Chunked)
	t.Run("Forms", s.SameForms)
}

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
	t.Run("Borders", s.Borders)
	t.Run("Company", s.Company)
	if s.Numerics == cpu.Fast { // as such a model is computed if nobody says otherwise
		t.Run("Chunked", s.Chunked)
	}
}

// cache is the suite's, or what goes with its numerics.
func (s Suite) cache() cuda.DType {
	if s.Cache == cuda.F32 && s.Numerics == cpu.Fast {
		return cuda.BF16
	}
	return s.Cache
}

// costs compares the perplexity with the reference's. On a device it is held to the CPU's of the same codes instead, over a tenth of the documents;
// where numerics are fast, to what the CPU makes of the checkpoint's weights.
func (s Suite) costs(t testing.TB, dir string, p precision) {
	want, err := ReadPerplexity(dir)
	if err != nil {
		t.Fatal(err)
	}
	if s.On != nil {
		same := s
		same.On, same.Numerics = nil, cpu.Exact
		bound := deviceBound
		if s.Numerics == cpu.Fast {
			same.Quantise, same.Cache, bound = "", cuda.F32, p.perplexity-1
		}
		s.beside(t, same, dir, want.tenth(), s.cache(), same.Cache, bound)
		return
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
	cases := o.cases(t)
	stories := make([]Story, len(cases)) // before the other model is opened, perhaps on a device of its own: pictures are seen on the one opened last
	for i, c := range cases {
		stories[i] = o.story(t, c)
	}
	s.Quantise, s.Numerics, s.Cache = "", "", cuda.F32
	whole := s.open(t, dir, "config.json")
	tokens, others, margin := 0, 0, 0.0
	var all, off float64
	for at, c := range cases {
		y := stories[at]
		got, want := o.Rows(t, 0, y, 512, 1), whole.Rows(t, 0, y, 512, 1)
		for i, next := range c.Greedy {
			row := len(c.Prompt) - 1 + i
			tokens++
			if Argmax(got[row]) != next {
				others++
				margin = max(margin, marginOf(want[row], next)/largestOf(want[row]))
			}
		}
		for i := range want {
			for j := range want[i] {
				d := float64(got[i][j]) - float64(want[i][j])
				all, off = all+float64(want[i][j])*float64(want[i][j]), off+d*d
			}
		}
	}
	rms := math.Sqrt(off / all)
	how := fmt.Sprintf("%s, %s: logits are %.5f off; %d of %d greedy tokens are others, which were at most %.4f ahead", p.form, o.suite.Numerics, rms, others, tokens, margin)
	if !(rms <= p.logits && margin <= p.margin) {
		t.Errorf("%s; %+v", how, p)
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
