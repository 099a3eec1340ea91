package nntest

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// average attends with equal scores: a row's output depends on all tokens of its sequence up to it, and on no other's.
type average struct {
	Embed nn.Embedding `weight:"embed_tokens"`
	Layer []nn.RMSNorm `weight:"layers"`
}

func (*average) Caches() []nn.CacheSpec { return []nn.CacheSpec{nn.KeysValues(1, 4, 4)} }

func (m *average) Forward(s *cuda.Step, b *nn.Batch) cuda.Tensor {
	x := m.Embed.Forward(s, b.Tokens)
	s.EnterLayer(0)
	x = m.Layer[0].Forward(s, x).Heads(4)
	return s.Gather(nn.Attend(s, x, x, x, b, b.Caches[0], 0).Flat(), b.Outputs)
}

func (*average) Unembed(_ *cuda.Step, x cuda.Tensor) cuda.Tensor { return x }

func newAverage(t *testing.T, l Limits) *Runner {
	t.Helper()
	m := &average{Embed: nn.NewEmbedding(50, 4), Layer: []nn.RMSNorm{nn.NewRMSNorm(4, 1e-6)}}
	bound, err := nn.Bind(m, weights.Dummy(1, cuda.F32), nn.BindOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c := cpu.New(1)
	t.Cleanup(func() {
		if used := c.Usage().Used; used != 0 {
			t.Errorf("%d bytes were not given back", used)
		}
		c.Close()
	})
	r, err := NewRunner(m, bound, c, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func TestSequencesKeepToTheirOwnBlocks(t *testing.T) {
	r := newAverage(t, Limits{Rows: 160, Sequences: 2, Positions: 130})
	first, second := slices.Repeat([]int32{3}, 70), slices.Repeat([]int32{9}, 80)
	logits, err := r.Run(Chunk{Seq: 1, Tokens: second}, Chunk{Seq: 0, Tokens: first, All: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(logits) != 71 {
		t.Fatalf("%d rows", len(logits))
	}
	// The average of equal rows is the row.
	for i, row := range logits[1:] {
		for j := range row {
			if math.Abs(float64(row[j]-logits[1][j])) > 1e-6 {
				t.Fatalf("row %d of the first sequence is %v, not %v", i, row, logits[1])
			}
		}
	}
	if slices.Equal(logits[0], logits[1]) {
		t.Error("sequences of different tokens give the same")
	}
}

func TestFullSequencesAreRefusedUntilReset(t *testing.T) {
	r := newAverage(t, Limits{Rows: 64, Sequences: 1, Positions: 100}) // two blocks: 128 positions
	if err := r.Extend(0, 127); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Run(Chunk{Tokens: []int32{1, 2}}); err == nil || !strings.Contains(err.Error(), "sequence 0 is full at 128 positions") {
		t.Errorf("error %v", err)
	}
	for range 3 { // blocks come back
		r.Reset(0)
		if _, err := r.Run(Chunk{Tokens: []int32{1, 2}}); err != nil {
			t.Error(err)
		}
	}
}

func TestFilledCachesAreAttendedTo(t *testing.T) {
	r := newAverage(t, Limits{Rows: 64, Sequences: 1, Positions: 128})
	last := func() []float32 {
		t.Helper()
		r.Reset(0)
		if err := r.Extend(0, 100); err != nil {
			t.Fatal(err)
		}
		logits, err := r.Run(Chunk{Tokens: []int32{1}})
		if err != nil {
			t.Fatal(err)
		}
		return slices.Clone(logits[0])
	}
	empty := last()
	if err := r.Fill(); err != nil {
		t.Fatal(err)
	}
	if got := last(); slices.Equal(got, empty) {
		t.Errorf("%v with and without them", got)
	}
}

func TestArgmaxTakesTheFirstOfTheLargest(t *testing.T) {
	if got := Argmax([]float32{1, 3, 2, 3}); got != 1 {
		t.Errorf("index %d", got)
	}
}
