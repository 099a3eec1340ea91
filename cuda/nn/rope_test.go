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

// The ends of the blended range, each worked out by hand: dimension(turns) = dim·ln(original / (2π·turns)) / (2·ln θ), rounded down
// for 32 turns and up for one, and then kept between 0 and dim-1. It is pairs that are blended, of which there are dim/2: the range
// may end behind the last.
func TestWhereYarnBlends(t *testing.T) {
	const theta, dim, factor = 10000, 64, 4
	for _, c := range []struct {
		original  float64
		low, high float64
	}{
		{4096, 10, 23},    // 64·ln(4096/201.06)/18.42 = 10.47, 64·ln(4096/6.283)/18.42 = 22.51
		{262144, 24, 37},  // 24.92 and 36.96: behind the last pair, which is number 31
		{1 << 27, 46, 59}, // 46.6 and 58.6: no pair is slowed
		{128, 0, 11},      // -1.57 and 10.47
	} {
		r := NewRope(theta, dim, &Yarn{Factor: factor, Original: c.original, BetaFast: 32, BetaSlow: 1, AttentionFactor: 1.5, Truncate: true})
		if r.scale != 1.5 {
			t.Errorf("original %v: cos and sin are scaled by %v", c.original, r.scale)
		}
		for i, f := range r.freqs {
			ramp := 0.0
			if float64(i) > c.low {
				ramp = min((float64(i)-c.low)/(c.high-c.low), 1)
			}
			want := math.Pow(theta, -2*float64(i)/dim) * (1 - ramp + ramp/factor)
			if off := math.Abs(float64(f)/want - 1); off > ropeBound {
				t.Errorf("original %v: frequency %d is %v, want %v", c.original, i, f, want)
			}
		}
	}
}

// A range of no width is a step: one pair keeps its frequency, the next is slowed whole.
func TestYarnWithoutARangeIsAStep(t *testing.T) {
	y := Yarn{Factor: 4, Original: 4096, BetaFast: 8, BetaSlow: 8, AttentionFactor: 1} // 64·ln(4096/50.27)/18.42 = 15.29
	for i, f := range NewRope(10000, 64, &y).freqs {
		want := math.Pow(10000, -float64(i)/32)
		if i > 15 {
			want /= 4
		}
		if math.Abs(float64(f)/want-1) > ropeBound {
			t.Errorf("frequency %d is %v, want %v", i, f, want)
		}
	}
	// A context that the slowest pair does not turn through has its range end where it begins, at pair 0.
	y = Yarn{Factor: 4, Original: 6, BetaFast: 32, BetaSlow: 1, AttentionFactor: 1, Truncate: true}
	for i, f := range NewRope(10000, 64, &y).freqs {
		want := math.Pow(10000, -float64(i)/32)
		if i > 0 {
			want /= 4
		}
		if !(math.Abs(float64(f)/want-1) < ropeBound) {
			t.Errorf("of a short context frequency %d is %v, want %v", i, f, want)
		}
	}
}

func TestNoStretchAsksForNoAttention(t *testing.T) {
	for _, c := range [][3]float64{{1, 1, 1}, {0.5, 1, 1}, {math.E, 1, 1.1}, {math.E, 0.5, 1.05}, {math.E, 0, 1}} {
		if got := YarnAttention(c[0], c[1]); math.Abs(got-c[2]) > 1e-15 {
			t.Errorf("factor %v, m %v: %v, want %v", c[0], c[1], got, c[2])
		}
	}
}
