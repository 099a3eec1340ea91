package schedule

import (
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
)

// The rate of a load is that of the last seconds, whatever was before, and begins anew with each stage.
func TestHowALoadComesOn(t *testing.T) {
	var a advance
	start := time.Unix(1000, 0)
	for i, c := range []struct {
		stage   string
		seconds float64
		done    int64
		rate    float64
		left    time.Duration
	}{
		{"quantize", 0, 0, 0, 0}, // one message says nothing
		{"quantize", 2, 100, 50, 18 * time.Second},
		{"quantize", 4, 400, 100, 6 * time.Second},
		{"quantize", 12, 440, 440.0 / 12, 15 * time.Second}, // 560 bytes more
		{"quantize", 20, 480, 80.0 / 16, 104 * time.Second}, // since the fourth second
		{"quantize", 20, 490, 90.0 / 16, 91 * time.Second},
		{"quantize", 30, 1000, 560.0 / 18, 0},
		{"plan", 31, 500, 0, 0},
		{"plan", 32, 900, 400, 0}, // a quarter of a second
		{"plan", 33, 100, 0, 0},   // it has begun again
		{"plan", 33, 200, 0, 0},   // no time has passed
	} {
		p := sdk.Progress{Stage: c.stage, Done: c.done, Total: 1000}
		got := a.rate(p, start.Add(time.Duration(c.seconds*float64(time.Second))))
		if got != c.rate {
			t.Errorf("message %d: %v bytes a second, not %v", i, got, c.rate)
		}
		if left := (Status{Progress: p, LoadRate: got}).Left(); left != c.left {
			t.Errorf("message %d: %v are left, not %v", i, left, c.left)
		}
	}
	if left := (Status{Progress: sdk.Progress{Total: 1 << 62}, LoadRate: 1e-9}).Left(); left != 1000*time.Hour {
		t.Errorf("of what never ends %v are left", left)
	}
}
