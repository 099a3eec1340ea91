package cpu_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/cuda/cpu"
)

// The linear maps of one layer of Qwen3-0.6B, and its head: (out, in).
var layer06 = [][2]int{{2048, 1024}, {1024, 1024}, {1024, 1024}, {1024, 2048}, {3072, 1024}, {3072, 1024}, {1024, 3072}}

// BenchmarkMatMulDecode goes through eight layers' maps, 250 MB in bf16 and half of that in FP8, with one row: more than any
// cache keeps. In turn with it the same bytes are only read, so that whatever else the machine does weighs on both.
func BenchmarkMatMulDecode(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	x, y := random(rng, 4096), make([]float32, 4096)
	for _, typ := range []cpu.Type{cpu.BF16, cpu.F8E4M3} {
		ws, raw := maps06(typ)
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/threads=%d", typeName(typ), threads), func(b *testing.B) {
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
}

// maps06 are the maps of eight layers one behind the other, and their bytes. FP8 has one factor for 128 x 128.
func maps06(typ cpu.Type) (ws []cpu.Matrix, raw []byte) {
	elements := 0
	for _, s := range layer06 {
		elements += 8 * s[0] * s[1]
	}
	raw = slices.Repeat([]byte{0x38}, elements*typ.Size()) // written to: untouched pages are all one page of zeros
	factors := slices.Repeat([]float32{0.5}, 3072*1024/(128*128))
	for at := 0; at < len(raw); {
		s := layer06[len(ws)%len(layer06)]
		ws = append(ws, cpu.Matrix{Ptr: pointerTo(raw[at:]), Type: typ, Rows: s[0], Cols: s[1],
			Scale: cpu.Scale{Ptr: pointerTo(factors), Rows: 128, Cols: 128}})
		at += s[0] * s[1] * typ.Size()
	}
	return ws, raw
}

// BenchmarkMatMulPrefill multiplies blocks of rows by one layer's maps, in turn with arithmetic in registers alone.
func BenchmarkMatMulPrefill(b *testing.B) {
	rng := rand.New(rand.NewPCG(2, 2))
	for _, rows := range []int{2, 4, 8, 16, 64, 512} {
		for _, typ := range []cpu.Type{cpu.BF16, cpu.F8E4M3} {
			b.Run(fmt.Sprintf("%s/rows=%d", typeName(typ), rows), func(b *testing.B) {
				p := newPool(b, 0, cpu.Tables()[0])
				all, _ := maps06(typ)
				ws, flops := all[:len(layer06)], 0
				for _, w := range ws {
					flops += 2 * rows * w.Rows * w.Cols
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
}

// BenchmarkAttention is one layer of Qwen3-0.6B: decode steps and chunks of a prompt at a context.
func BenchmarkAttention(b *testing.B) {
	for _, c := range []struct{ context, rows int }{{1024, 1}, {4096, 1}, {1024, 256}, {4096, 128}} {
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
