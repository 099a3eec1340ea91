//go:build cuda && cgo

package gpu

import (
	"math"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/kernels/sim"
)

// Rates are what the device's own clock says, however busy this machine is.
func TestRates(t *testing.T) {
	atEveryPace(t, func(t *testing.T, _ *sim.Driver) {
		r := open(t, Options{Ordinal: 1}).Rates()
		if math.Abs(r.Copy-2e9) > 1e6 || math.Abs(r.Read-8e11) > 1e9 {
			t.Errorf("%.4g from the host and %.4g read, want 2e9 and 8e11", r.Copy, r.Read)
		}
	})
}

// BenchmarkRates says what the machine's own GPU gives: what every other figure is to be held against.
func BenchmarkRates(b *testing.B) {
	if !hardware() {
		software(b)
	}
	d, err := Open(Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	for b.Loop() {
		r := d.measure()
		b.ReportMetric(r.Copy/1e9, "GB/s_from_the_host")
		b.ReportMetric(r.Read/1e9, "GB/s_read_and_written")
	}
}
