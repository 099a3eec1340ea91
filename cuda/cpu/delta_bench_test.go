package cpu_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// BenchmarkDeltaRule times one layer of Qwen3-Coder-Next's shape on all cores: a prompt's rows in chunks against the machine's f32
// peak, and rows after it one by one, which read and write 2 MiB of matrices each.
func BenchmarkDeltaRule(b *testing.B) {
	d := newDevice(b, 0, timedTable())
	peak := d.PeakFLOPS()
	for _, form := range []int32{0, 1} {
		for _, rows := range []int{1, 64, 256} {
			b.Run(fmt.Sprintf("form=%d/rows=%d", form, rows), func(b *testing.B) {
				j := newJourney(rand.New(rand.NewPCG(1, 1)), deltaShape{16, 32, 128, 128}, 1, 0, rows, rows*int(1-form))
				y := make([]float32, len(j.V))
				op := deltaRule(y, j.state, j.Delta)
				for b.Loop() {
					d.run(b, op)
				}
				perRow := b.Elapsed().Seconds() / float64(b.N) / float64(rows)
				flops := 2 * 32 * (3*128*128 + 2*32*128 + 2*32*128.0) // of a row in a full chunk
				b.ReportMetric(perRow*1e6, "us/row")
				b.ReportMetric(100*flops/perRow/peak, "%peak")
			})
		}
	}
}

// BenchmarkCausalConv is the convolution before it.
func BenchmarkCausalConv(b *testing.B) {
	d := newDevice(b, 0, timedTable())
	for _, rows := range []int{1, 256} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			c := newConvolution(rand.New(rand.NewPCG(1, 1)), "bf16", 8192, 4, rows)
			y := make([]float32, len(c.x))
			op := causalConv(y, c.x, c.w, c.state, c.rows)
			for b.Loop() {
				d.run(b, op)
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/float64(rows)*1e6, "us/row")
		})
	}
}
