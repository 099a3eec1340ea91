package nn

import (
	"encoding/json"
	"math"
	"os"
	"testing"
)

// The two implementations raise theta to a power with different functions, each right to a few units in the last place.
const ropeBound = 5e-7

func TestYarnIsTheReferences(t *testing.T) {
	text, err := os.ReadFile("testdata/yarn.json") // written by yarn.py
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Theta, Factor, Original, Fast, Slow, Attention float64
		Dim                                            int
		Wavelengths                                    []float64 // positions per radian
	}
	if err := json.Unmarshal(text, &cases); err != nil || len(cases) == 0 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	for _, c := range cases {
		r := NewRope(c.Theta, c.Dim, &Yarn{
			Factor: c.Factor, Original: c.Original, BetaFast: c.Fast, BetaSlow: c.Slow, AttentionFactor: YarnAttention(c.Factor, 1), Truncate: true,
		})
		if len(r.freqs) != len(c.Wavelengths) || math.Abs(float64(r.scale)/c.Attention-1) > ropeBound {
			t.Errorf("%+v: %d frequencies, scale %v", c, len(r.freqs), r.scale)
			continue
		}
		for i, f := range r.freqs {
			if off := math.Abs(float64(f)*c.Wavelengths[i] - 1); off > ropeBound {
				t.Errorf("theta %v dim %d factor %v: frequency %d is %v, the reference has %v (%.1e apart)", c.Theta, c.Dim, c.Factor, i, f, 1/c.Wavelengths[i], off)
			}
		}
	}
}

func TestPlainRopeIsThePowerOfTheta(t *testing.T) {
	r := NewRope(1e6, 128, nil)
	if len(r.freqs) != 64 || r.scale != 1 {
		t.Fatalf("%d frequencies, scale %v", len(r.freqs), r.scale)
	}
	for i, f := range r.freqs {
		if want := math.Pow(1e6, -float64(2*i)/128); math.Abs(float64(f)/want-1) > ropeBound {
			t.Errorf("frequency %d is %v, want %v", i, f, want)
		}
	}
}

// Without rounding to whole dimensions the blended range is narrower, and inside it frequencies differ.
func TestUntruncatedYarnBlendsByFractions(t *testing.T) {
	y := Yarn{Factor: 4, Original: 32768, BetaFast: 32, BetaSlow: 1, AttentionFactor: 1, Truncate: true}
	whole := NewRope(1e6, 128, &y)
	y.Truncate = false
	exact := NewRope(1e6, 128, &y)
	low, high := y.dimension(32, 1e6, 128), y.dimension(1, 1e6, 128)
	for i := range exact.freqs {
		inside := float64(i) > math.Floor(low) && float64(i) < math.Ceil(high)
		if same := exact.freqs[i] == whole.freqs[i]; same == inside {
			t.Errorf("frequency %d of a range %v to %v: equal is %v", i, low, high, same)
		}
	}
}
