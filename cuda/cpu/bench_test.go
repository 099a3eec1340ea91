package cpu_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
)

// The linear maps of one layer of Qwen3-0.6B, and its head: (out, in).
var layer06 = [][2]int{{2048, 1024}, {1024, 1024}, {1024, 1024}, {1024, 2048}, {3072, 1024}, {3072, 1024}, {1024, 3072}}

// timedTable is the table that benchmarks run: what PIO_CPU names, as tests name it ("avx512bf16-fast"), or the best exact one.
func timedTable() string { return cmp.Or(os.Getenv(cpu.EnvKernels), cpu.Tables()[0]) }

// BenchmarkMatMulDecode goes through eight layers' maps, 250 MB in bf16 and half of that in FP8, with one row: more than any
// cache keeps. In turn with it the same bytes are only read, so that whatever else the machine does weighs on both.
func BenchmarkMatMulDecode(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	x, y := random(rng, 4096), make([]float32, 4096)
	for _, form := range benchForms {
		ws, raw := maps06(b, form)
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/threads=%d", form, threads), func(b *testing.B) {
				d := openDevice(b, cpu.Options{Threads: threads, Numerics: cpu.Fast})
				var multiplying, reading time.Duration
				ops := products(ws, y, x, 1)
				for b.Loop() {
					start := time.Now()
					for _, op := range ops {
						d.run(b, op)
					}
					multiplying += time.Since(start)
					start = time.Now()
					d.Read(raw)
					reading += time.Since(start)
				}
				b.ReportMetric(float64(len(raw))*float64(b.N)/multiplying.Seconds()/1e9, "GB/s")
				b.ReportMetric(100*reading.Seconds()/multiplying.Seconds(), "%read")
			})
		}
	}
}

// benchForms are the forms of weights that products are timed with.
var benchForms = []string{"bf16", "f8e4m3", cuda.Q8, cuda.Q4, cuda.Q4K, cuda.Q6K}

// maps06 are the maps of eight layers one behind the other, and their bytes. FP8 has one factor for 128 x 128.
func maps06(b *testing.B, form string) (ws []cuda.Matrix, raw []byte) {
	typ := cuda.BF16
	switch form {
	case cuda.Q8, cuda.Q4, cuda.Q4K, cuda.Q6K:
		return coded06(form)
	case "f8e4m3":
		typ = cuda.F8E4M3
	}
	elements := 0
	for _, s := range layer06 {
		elements += 8 * s[0] * s[1]
	}
	raw = slices.Repeat([]byte{0x38}, elements*typ.Size()) // written to: untouched pages are all one page of zeros
	factors := slices.Repeat([]float32{0.5}, 3072*1024/(128*128))
	for at := 0; at < len(raw); {
		s := layer06[len(ws)%len(layer06)]
		elements := raw[at : at+s[0]*s[1]*typ.Size()]
		if typ == cuda.F8E4M3 {
			l, err := cuda.BlockScaled(128, 128, cuda.F32)
			must(b, err)
			ws = append(ws, hostMatrix(l, s[0], s[1], elements, bytesOf(factors[:s[0]/128*(s[1]/128)])))
		} else {
			ws = append(ws, hostMatrix(cuda.Plain(typ), s[0], s[1], elements))
		}
		at += len(elements)
	}
	return ws, raw
}

// coded06 are the maps of eight layers in codes, and their bytes.
func coded06(layout string) (ws []cuda.Matrix, raw []byte) {
	l, bytes := cuda.Quantised(layout), 0
	for _, s := range layer06 {
		for _, p := range l.Planes {
			bytes += 8 * s[0] / p.Rows * (s[1] / p.Cols) * p.Bytes
		}
	}
	raw = slices.Repeat([]byte{0x38}, bytes)
	for at := 0; at < len(raw); {
		s := layer06[len(ws)%len(layer06)]
		var planes [][]byte
		for _, p := range l.Planes {
			end := at + s[0]/p.Rows*(s[1]/p.Cols)*p.Bytes
			planes, at = append(planes, raw[at:end]), end
		}
		ws = append(ws, hostMatrix(l, s[0], s[1], planes...))
	}
	return ws, raw
}

// products are the ops that take rows of x through each of some maps.
func products(ws []cuda.Matrix, y, x []float32, rows int) []*cuda.Op {
	var ops []*cuda.Op
	for _, w := range ws {
		ops = append(ops, matmul(y[:rows*w.Rows], x[:rows*w.Cols], w))
	}
	return ops
}

// BenchmarkMatMulPrefill multiplies blocks of rows by one layer's maps, in turn with arithmetic in registers alone.
func BenchmarkMatMulPrefill(b *testing.B) {
	rng := rand.New(rand.NewPCG(2, 2))
	for _, rows := range []int{2, 4, 8, 16, 64, 512} {
		for _, form := range benchForms {
			b.Run(fmt.Sprintf("%s/rows=%d", form, rows), func(b *testing.B) {
				d := openDevice(b, cpu.Options{Numerics: cpu.Fast})
				all, _ := maps06(b, form)
				ws, flops := all[:len(layer06)], 0
				for _, w := range ws {
					flops += 2 * rows * w.Rows * w.Cols
				}
				x, y := random(rng, rows*4096), make([]float32, rows*4096)
				var multiplying time.Duration
				peak := 0.0
				ops := products(ws, y, x, rows)
				for b.Loop() {
					start := time.Now()
					for _, op := range ops {
						d.run(b, op)
					}
					multiplying += time.Since(start)
					peak += d.PeakFLOPS()
				}
				rate := float64(flops) * float64(b.N) / multiplying.Seconds()
				b.ReportMetric(rate/1e9, "GFLOP/s")
				b.ReportMetric(100*rate*float64(b.N)/peak, "%peak")
			})
		}
	}
}

// BenchmarkSmallOps are the ops between the large ones in a decode step.
func BenchmarkSmallOps(b *testing.B) {
	d := newDevice(b, 0, timedTable())
	rng := rand.New(rand.NewPCG(4, 4))
	x, y, w := random(rng, 3072), make([]float32, 3072), randomMatrix(rng, "bf16", 1, 1024)
	for _, op := range []*cuda.Op{
		cuda.NewOp(cuda.OpRMSNorm).Gives(f32(y[:1024], 1024)).Takes(f32(x[:1024], 1024)).By(w).With(1e-6, 0),
		cuda.NewOp(cuda.OpSwiGLU).Gives(f32(y)).Takes(f32(x), f32(x)),
		cuda.NewOp(cuda.OpAdd).Gives(f32(y[:1024])).Takes(f32(x[:1024]), f32(x[:1024])),
	} {
		b.Run(op.Code.String(), func(b *testing.B) {
			for b.Loop() {
				d.queue.Run(op) // without the kit, which takes longer
			}
			must(b, d.queue.Sync())
		})
	}
}
