//go:build cuda && cgo

package gpu

import (
	"os"
	"testing"
)

// BenchmarkRates says what the machine's own GPU gives: what every other figure is to be held against.
func BenchmarkRates(b *testing.B) {
	if os.Getenv("PIO_GPU_HARDWARE") == "" {
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
