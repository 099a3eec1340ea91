package cpu_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
)

// BenchmarkPack brings 8 million weights of each form into each that is packed: how fast weights are quantised when a model is loaded. They are
// normal, as those of models nearly are.
func BenchmarkPack(b *testing.B) {
	const rows, cols = 2048, 4096
	rng := rand.New(rand.NewPCG(6, 6))
	for _, from := range []string{"f32", "bf16", "f8e4m3"} {
		src := randomMatrix(rng, from, rows, cols)
		for _, to := range append(cpu.Layouts(), cuda.Quantised(cuda.Q8), cuda.Quantised(cuda.Q4)) {
			var planes [][]byte
			for _, p := range to.Planes {
				planes = append(planes, bytes.Repeat([]byte{1}, rows/p.Rows*(cols/p.Cols)*p.Bytes)) // written to: pages are there
			}
			dst := hostMatrix(to, rows, cols, planes...)
			for _, threads := range []int{1, 2} {
				b.Run(fmt.Sprintf("%s/%s/threads=%d", from, to.Name, threads), func(b *testing.B) {
					d := openDevice(b, cpu.Options{Threads: threads, Numerics: cpu.Fast})
					for b.Loop() {
						d.queue.Fill(dst, src)
					}
					must(b, d.queue.Sync())
					seconds := b.Elapsed().Seconds() / float64(b.N)
					b.ReportMetric(float64(src.Bytes())/seconds/1e6, "MB/s")
					b.ReportMetric(seconds/rows/cols*1e9, "ns/weight")
				})
			}
		}
	}
}
