// Rotary position embeddings (Su et al., 2021) and the YaRN form for contexts longer than the training's (Peng et al., 2023).
//
// Frequencies are computed in float32, step by step as the reference implementation does: at position 100,000 one bit of a
// frequency turns an angle by a hundredth.

package nn

import (
	"math"

	"github.com/inference-pio/inference-pio/cuda"
)

// Rope turns pairs of a head's elements by angles that grow with the position.
type Rope struct {
	freqs []float32 // radians per position, one for each pair
	axis  []int32   // which of a row's positions each turns by; nil where there is one
	scale float32   // factor on cos and sin
}

// Yarn stretches a rope by a factor: dimensions that turn often within the trained context keep their frequency, slow ones are
// slowed down, those between are blended.
type Yarn struct {
	Factor          float64 // how many times longer than Original
	Original        float64 // positions of the training
	BetaFast        float64 // turns within Original from which a dimension keeps its frequency; usually 32
	BetaSlow        float64 // turns below which it is slowed by Factor; usually 1
	AttentionFactor float64 // on cos and sin, to sharpen attention; see YarnAttention
	Truncate        bool    // widen the blended range to whole dimensions
}

// YarnAttention is the attention factor that goes with a stretch by factor: 0.1·m·ln(factor) + 1 with m = 1, and 1 for no stretch.
func YarnAttention(factor, m float64) float64 {
	if factor <= 1 {
		return 1
	}
	return 0.1*m*math.Log(factor) + 1
}

// NewRope rotates the first dim elements of a head, with frequencies theta^(-2i/dim). yarn may be nil.
func NewRope(theta float64, dim int, yarn *Yarn) Rope {
	r := Rope{freqs: make([]float32, dim/2), scale: 1}
	for i := range r.freqs {
		r.freqs[i] = 1 / wavelength(theta, dim, i)
	}
	if yarn != nil {
		yarn.stretch(&r, theta, dim)
	}
	return r
}

// wavelength is theta^(2i/dim), rounded to float32 at each step.
func wavelength(theta float64, dim, i int) float32 {
	return float32(math.Pow(theta, float64(float32(2*i)/float32(dim))))
}

func (y *Yarn) stretch(r *Rope, theta float64, dim int) {
	low, high := y.dimension(y.BetaFast, theta, dim), y.dimension(y.BetaSlow, theta, dim)
	if y.Truncate {
		low, high = math.Floor(low), math.Ceil(high)
	}
	low, high = max(low, 0), min(high, float64(dim-1))
	if low == high {
		high += 0.001 // a step instead of a ramp, without dividing by zero
	}
	for i, keep := range r.freqs {
		slow := 1 / (float32(y.Factor) * wavelength(theta, dim, i))
		ramp := min(max((float32(i)-float32(low))/float32(high-low), 0), 1)
		r.freqs[i] = slow*ramp + keep*(1-ramp)
	}
	r.scale = float32(y.AttentionFactor)
}

// dimension is the (fractional) pair that turns so many times within the trained context.
func (y *Yarn) dimension(turns, theta float64, dim int) float64 {
	return float64(dim) * math.Log(y.Original/(turns*2*math.Pi)) / (2 * math.Log(theta))
}

// ByAxis is the rope for rows that have several positions: pair i turns by position axis[i].
func (r Rope) ByAxis(axis []int32) Rope {
	r.axis = axis
	return r
}

// Frequencies is a rope of these angles per position.
func Frequencies(freqs []float32) Rope { return Rope{freqs: freqs, scale: 1} }

// Angles is computed once for a step: positions (rows), by axis (rows, axes) -> (rows, dim/2, 2).
func (r Rope) Angles(s *cuda.Step, positions cuda.Tensor) cuda.Tensor {
	if r.axis != nil {
		return s.AnglesByAxis(positions, r.freqs, r.axis, r.scale)
	}
	return s.Angles(positions, r.freqs, r.scale)
}

// Apply rotates x (rows, heads, head_dim); element i is paired with i + dim/2.
func (r Rope) Apply(s *cuda.Step, x, angles cuda.Tensor) cuda.Tensor {
	return s.Rotate(x, angles, cuda.Half)
}
