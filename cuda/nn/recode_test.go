package nn

import (
	"fmt"
	"math"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/spec"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// wholes is a matrix of whole numbers, the least and the greatest of a range among them, with a factor for 128 columns of a row.
type wholes struct{ cols, least, most int }

func (w wholes) code(row, col int) int { return w.least + (row*7+col*5)%(w.most-w.least+1) }

// factor is one that bf16 has, of any sign.
func (w wholes) factor(row, block int) float32 {
	return float32(1+(row+3*block)%127) / 1024 * float32(1-row%3)
}

func (w wholes) Range() (least, most int) { return w.least, w.most }
func (w wholes) File(int, int) []byte     { return nil }

func (w wholes) Widen(to []float32, row int) {
	for i := range to {
		to[i] = float32(w.code(row+i/w.cols, i%w.cols)) * w.factor(row+i/w.cols, i%w.cols/128)
	}
}

func (w wholes) Codes(to []int8, factors []float32, row int) {
	for i := range to {
		to[i] = int8(w.code(row+i/w.cols, i%w.cols))
	}
	for i := range factors {
		blocks := cuda.CodeBlocks(w.cols)
		factors[i] = w.factor(row+i/blocks, i%blocks)
	}
}

// ofWholes has any matrix as such.
type ofWholes struct{ least, most int }

func (ofWholes) Names() []string { return []string{} }

func (s ofWholes) Get(_ string, shape []int) (weights.View, bool) {
	return weights.View{DType: cuda.BF16, Known: true, Shape: shape, Coded: wholes{shape[1], s.least, s.most}}, true
}

// TestWholeNumbersAreKept: codes that a form has are the same in it, with their factors; -128, which none has, becomes -127. What it has not is rounded.
func TestWholeNumbersAreKept(t *testing.T) {
	c := cpu.New(2)
	defer c.Close()
	for _, tt := range []struct {
		least, most int
		form        string // by itself
		q8, q4      bool   // kept
	}{{-8, 7, cuda.Q4, true, true}, {-3, 3, cuda.Q4, true, true}, {-15, 15, cuda.Q8, true, false}, {-15, 7, cuda.Q8, true, false}, {-128, 127, cuda.Q8, true, false}, {-255, 255, cuda.Q8, false, false}} {
		src := ofWholes{tt.least, tt.most}
		if v, _ := src.Get("", []int{1, 1}); Repack(v) != tt.form {
			t.Errorf("%d to %d are packed to %s", tt.least, tt.most, Repack(v))
		}
		if tt.most > 127 { // there are no such codes
			continue
		}
		for _, shape := range [][2]int{{64, 256}, {16, 128}, {161, 1000}, {47, 1023}} {
			m := &struct {
				Embed Embedding `weight:"embed_tokens"`
			}{NewEmbedding(shape[0], shape[1])}
			for form, kept := range map[string]bool{cuda.Q8: tt.q8, cuda.Q4: tt.q4} {
				b, err := Bind(m, src, BindOptions{Coded: func(weights.View) string { return form }})
				if err != nil {
					t.Fatal(err)
				}
				made, err := b.Quantise(Quantiser{Device: c})
				if err != nil {
					t.Fatal(err)
				}
				if got := m.Embed.W.File().Layout.Name; got != form {
					t.Errorf("%v is in %s, not %s", shape, got, form)
				}
				if err := differs(m.Embed.W.File(), wholes{shape[1], tt.least, tt.most}); (err == nil) != kept {
					t.Errorf("%d to %d, %v in %s: %v", tt.least, tt.most, shape, form, err)
				}
				for _, mem := range made {
					c.Free(mem)
				}
			}
		}
	}
}

func differs(m cuda.Matrix, w wholes) error {
	for row := range m.Rows {
		for col := range m.Cols {
			want := float32(max(-127, w.code(row, col))) * w.factor(row, col/128)
			if got := spec.Element(m, row*m.Cols+col); math.Float32bits(got+0) != math.Float32bits(want+0) {
				return fmt.Errorf("row %d, column %d is %v, not %v", row, col, got, want)
			}
		}
	}
	return nil
}
