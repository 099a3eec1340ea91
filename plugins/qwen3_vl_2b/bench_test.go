package main

import (
	"bytes"
	"context"
	"image"
	"image/jpeg"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
	fit "github.com/inference-pio/inference-pio/cuda/picture"
	"github.com/inference-pio/inference-pio/cuda/weights"
	"github.com/inference-pio/inference-pio/sdk/picture"
)

// BenchmarkPicture times what a picture of 1030 x 1018 pixels costs before it is words, at the published shape with dummy
// weights: the file, its resize to 1024 x 1024, and the tower over its 4096 patches.
//
//	go test ./plugins/qwen3_vl_2b -run '^$' -bench Picture
//
// The tower is bound by arithmetic: %peak is its share of the f32 multiply-add rate, measured in the same run. The
// environment variable BLOCKS makes it shallower; ms are then those of so many blocks and all mergers.
func BenchmarkPicture(b *testing.B) {
	file := jpegOf(b, 1030, 1018)
	b.Run("decode", func(b *testing.B) {
		for b.Loop() {
			if _, err := picture.Decode(context.Background(), file, picture.Limits{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	decoded, err := picture.Decode(context.Background(), file, picture.Limits{})
	if err != nil {
		b.Fatal(err)
	}
	m := publishedTower(b)
	b.Run("resize", func(b *testing.B) {
		for b.Loop() {
			if _, err := m.look.Fit(fit.Image(*decoded), 1); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, numerics := range []string{cpu.Exact, cpu.Fast} {
		b.Run("tower/"+numerics, func(b *testing.B) { benchmarkTower(b, m, file, numerics) })
	}
}

func benchmarkTower(b *testing.B, m *Model, file []byte, numerics string) {
	cpu, err := cpu.Open(cpu.Options{Numerics: numerics})
	if err != nil {
		b.Fatal(err)
	}
	defer cpu.Close()
	peak := nntest.Rates(b).FLOPS
	for b.Loop() {
		p := lookAt(b, m, file)
		if f, _ := seeOn(b, m, p, cpu); len(f) != m.Features() || f[0][0] != f[0][0] {
			b.Fatal("what was seen is no number")
		}
	}
	perSecond := float64(b.N) * towerFLOPs(m.cfg.Vision, 4096) / b.Elapsed().Seconds()
	b.ReportMetric(perSecond/1e9, "GFLOP/s")
	b.ReportMetric(100*perSecond/peak, "%peak")
}

// towerFLOPs is the multiplications and additions of the tower's matrices and attention for n patches.
func towerFLOPs(c VisionConfig, n int) float64 {
	hidden, joined, group := float64(c.HiddenSize), float64(c.HiddenSize*c.group()), float64(c.group())
	rows := float64(n)
	block := 2*rows*(4*hidden*hidden+2*hidden*float64(c.IntermediateSize)) + 4*rows*rows*hidden
	merger := 2 * rows / group * (joined*joined + joined*float64(c.OutHiddenSize))
	return 2*rows*hidden*float64(c.patchValues()) + float64(c.Depth)*block + float64(1+len(c.DeepStackVisualIndexes))*merger
}

// publishedTower is the published model's, without a decoder.
func publishedTower(b *testing.B) *Model {
	c, err := ParseConfig([]byte(published))
	if err != nil {
		b.Fatal(err)
	}
	if n, err := strconv.Atoi(os.Getenv("BLOCKS")); err == nil && n >= len(c.Vision.DeepStackVisualIndexes) && n <= c.Vision.Depth {
		c.Vision.Depth = n
		for i := range c.Vision.DeepStackVisualIndexes {
			c.Vision.DeepStackVisualIndexes[i] = min(i, n-1)
		}
	}
	m := New(c, 0)
	src := m.Respell(weights.Dummy(1, cuda.BF16))
	if _, err := nn.Bind(&m.Tower, src, nn.BindOptions{Prefix: "model.visual."}); err != nil {
		b.Fatal(err)
	}
	return m
}

func jpegOf(b *testing.B, width, height int) []byte {
	m, r := image.NewYCbCr(image.Rect(0, 0, width, height), image.YCbCrSubsampleRatio420), rand.New(rand.NewPCG(1, 2))
	for i := range m.Y {
		m.Y[i] = uint8(i/width/4 + i%width/7 + r.IntN(16))
	}
	for i := range m.Cb {
		m.Cb[i], m.Cr[i] = uint8(i/900), uint8(i%515/2)
	}
	var file bytes.Buffer
	if err := jpeg.Encode(&file, m, nil); err != nil {
		b.Fatal(err)
	}
	return file.Bytes()
}

// BenchmarkText times the decoder at the published shape with invented bf16 weights, as its siblings' benchmarks do: a token reads every
// weight and the sequence's cache once, a prompt is bound by arithmetic.
//
//	go test ./plugins/qwen3_vl_2b -run '^$' -bench Text
func BenchmarkText(b *testing.B) {
	suite.Bench(b, nntest.Bench{Rows: 128, Key: nntest.Itself, Position: 28 * position, Attention: 4 * 16 * 128 * 28})
}
