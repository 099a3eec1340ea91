package serve

import (
	"testing"
	"time"
)

// What a load took is told with its rate where the file was read, and what became of it, or that this was kept.
func TestWhatALoadIsToldToHaveTaken(t *testing.T) {
	for want, got := range map[string]string{
		"loaded 1.20 GB in 0.80 s (1.5 GB/s, packed to 0.60 GB of q4 and q8)":      loadedText(1_200_000_000, 800*time.Millisecond, 600_000_000, false, []string{"q4", "q8"}),
		"loaded 1.20 GB in 0.46 s (0.60 GB of q4 and q8, kept by an earlier load)": loadedText(1_200_000_000, 460*time.Millisecond, 600_000_000, true, []string{"q4", "q8"}),
		"loaded 2.5 MB in 0.01 s (mapped)":                                         loadedText(2_500_000, 10*time.Millisecond, 0, false, nil),
		"loaded 0.0 MB in 0.00 s (0.0 GB/s, packed to 0.0 MB of q8)":               loadedText(0, 0, 1, false, []string{"q8"}),
	} {
		if got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}
