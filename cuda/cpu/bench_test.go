package cpu_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/inference-pio/inference-pio/cuda/cpu"
)

// The linear maps of one layer of Qwen3-0.6B, and its head: (out, in).
var layer06 = [][2]int{{2048, 1024}, {1024, 1024}, {1024, 1024}, {1024, 2048}, {3072, 1024}, {3072, 1024}, {1024, 3072}}

// BenchmarkMatMulDecode goes through eight layers' maps, 250 MB in bf16, with one row: more than any cache keeps. In turn
// with it the same bytes are only read, so that whatever else the machine does weighs on both.
func BenchmarkMatMulDecode(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	var ws []cpu.Matrix
	elements := 0
	for range 8 {
		for _, s := range layer06 {
			elements += s[0] * s[1]
		}
	}
	data := slices.Repeat([]uint16{0x3f80}, elements) // written to: untouched pages are all one page of zeros
	for at := 0; at < elements; {
		s := layer06[len(ws)%len(layer06)]
		ws = append(ws, cpu.Matrix{Ptr: pointerTo(data[at:]), Type: cpu.BF16, Rows: s[0], Cols: s[1]})
		at += s[0] * s[1]
	}
	x, y := random(rng, 4096), make([]float32, 4096)
	raw := unsafe.Slice((*byte)(pointerTo(data)), 2*elements)
	for _, threads := range []int{1, 2} {
		b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) {
			p := newPool(b, threads, cpu.Tables()[0])
			var multiplying, reading time.Duration
			for b.Loop() {
				start := time.Now()
				for _, w := range ws {
					must(b, p.MatMul(y[:w.Rows], x[:w.Cols], w))
				}
				multiplying += time.Since(start)
				start = time.Now()
				p.Read(raw)
				reading += time.Since(start)
			}
			b.ReportMetric(float64(len(raw))*float64(b.N)/multiplying.Seconds()/1e9, "GB/s")
			b.ReportMetric(100*reading.Seconds()/multiplying.Seconds(), "%read")
		})
	}
}

// BenchmarkMatMulPrefill multiplies blocks of rows by one layer's maps, in turn with arithmetic in registers alone.
func BenchmarkMatMulPrefill(b *testing.B) {
	rng := rand.New(rand.NewPCG(2, 2))
	for _, rows := range []int{2, 4, 8, 16, 64, 512} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			p := newPool(b, 0, cpu.Tables()[0])
			var ws []cpu.Matrix
			flops := 0
			for _, s := range layer06 {
				ws, flops = append(ws, randomMatrix(rng, cpu.BF16, s[0], s[1])), flops+2*rows*s[0]*s[1]
			}
			x, y := random(rng, rows*4096), make([]float32, rows*4096)
			var multiplying time.Duration
			peak := 0.0
			for b.Loop() {
				start := time.Now()
				for _, w := range ws {
					must(b, p.MatMul(y[:rows*w.Rows], x[:rows*w.Cols], w))
				}
				multiplying += time.Since(start)
				peak += p.PeakFLOPS()
			}
			rate := float64(flops) * float64(b.N) / multiplying.Seconds()
			b.ReportMetric(rate/1e9, "GFLOP/s")
			b.ReportMetric(100*rate*float64(b.N)/peak, "%peak")
		})
	}
}

// BenchmarkAttention is one layer of Qwen3-0.6B: a decode step and a chunk of a prompt at a context.
func BenchmarkAttention(b *testing.B) {
	for _, c := range []struct{ context, rows int }{{1024, 1}, {4096, 1}, {1024, 256}} {
		b.Run(fmt.Sprintf("context=%d/rows=%d", c.context, c.rows), func(b *testing.B) {
			p := newPool(b, 0, cpu.Tables()[0])
			s := newScene(rand.New(rand.NewPCG(3, 3)), []int{c.context}, 8, 2, 128, 128, 64)
			g := s.g
			g.Positions, g.Seqs = g.Positions[c.context-c.rows:], g.Seqs[c.context-c.rows:]
			q, y := s.q[:c.rows*16*128], make([]float32, c.rows*16*128)
			for b.Loop() {
				must(b, p.Attention(y, q, s.k, s.v, g, 16, 128, 128, s.scale))
			}
			pairs := 0
			for _, at := range g.Positions {
				pairs += int(at) + 1
			}
			b.ReportMetric(float64(pairs*16*128*4)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			b.ReportMetric(float64(c.context*8*128*8)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GB/s")
		})
	}
}

// BenchmarkSmallOps are the ops between the large ones in a decode step.
func BenchmarkSmallOps(b *testing.B) {
	p := newPool(b, 0, cpu.Tables()[0])
	rng := rand.New(rand.NewPCG(4, 4))
	x, y, w := random(rng, 3072), make([]float32, 3072), randomMatrix(rng, cpu.BF16, 1, 1024)
	b.Run("rmsnorm", func(b *testing.B) {
		for b.Loop() {
			must(b, p.RMSNorm(y[:1024], x[:1024], w, 1e-6, 0))
		}
	})
	b.Run("swiglu", func(b *testing.B) {
		for b.Loop() {
			must(b, p.SwiGLU(y, x, x))
		}
	})
	b.Run("add", func(b *testing.B) {
		for b.Loop() {
			must(b, p.Add(y[:1024], x[:1024], x[:1024]))
		}
	})
}
