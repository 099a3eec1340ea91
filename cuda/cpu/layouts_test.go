package cpu_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
)

// fill brings a matrix to a place of its own, in a layout, which held something else before.
func fill(t *testing.T, d *device, l *cuda.Layout, w cuda.Matrix) cuda.Matrix {
	t.Helper()
	mem, err := d.Alloc(l.DeviceBytes(w.Rows, w.Cols), cuda.ForWeights)
	must(t, err)
	t.Cleanup(func() { d.Free(mem) })
	to, err := l.Lay(d, mem, 0, w.Rows, w.Cols)
	must(t, err)
	for i := range l.Planes {
		for j := range to.Plane(i).Raw() {
			to.Plane(i).Raw()[j] = 0xff
		}
	}
	d.queue.Fill(to, w)
	must(t, d.queue.Sync())
	return to
}

// TestFillPacks a file's matrix into blocks of 16 by 32, with zeros where it ends before a block does.
func TestFillPacks(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(91, 1))
		for _, s := range [][2]int{{1, 1}, {8, 8}, {7, 9}, {130, 33}, {3, 1000}, {1000, 3}, {300, 1025}} {
			w := randomMatrix(rng, "bf16", s[0], s[1])
			n := len(w.Plane(0).Raw()) // what lies behind a matrix in its file is not read
			w = hostMatrix(w.Layout, s[0], s[1], append(slices.Clone(w.Plane(0).Raw()), bytes.Repeat([]byte{0x3f}, 16*s[1])...)[:n])
			if got, want := fill(t, d, packed, w), pack(w); !bytes.Equal(got.Plane(0).Raw(), want.Plane(0).Raw()) {
				t.Errorf("%v: other blocks than the definition's", s)
			}
		}
	})
}

// TestFillCopiesEqualLayouts plane by plane.
func TestFillCopiesEqualLayouts(t *testing.T) {
	d := newDevice(t, 2, cpu.Tables()[0])
	for _, layout := range layouts {
		w := randomMatrix(rand.New(rand.NewPCG(91, 2)), layout, 130, 33)
		to := fill(t, d, w.Layout, w)
		for i := range w.Layout.Planes {
			if !bytes.Equal(to.Plane(i).Raw(), w.Plane(i).Raw()) {
				t.Errorf("%s: plane %d changed", layout, i)
			}
		}
	}
}

// TestFillRefusesWhatItCannot bring into a form, with both forms in the error.
func TestFillRefusesWhatItCannot(t *testing.T) {
	d := newDevice(t, 1, cpu.Tables()[0])
	rng := rand.New(rand.NewPCG(91, 3))
	for want, c := range map[string][2]cuda.Matrix{
		"bf16 (2, 3) on cpu cannot be filled from bf16 (3, 2)":            {randomMatrix(rng, "bf16", 2, 3), randomMatrix(rng, "bf16", 3, 2)},
		"bringing bf16 (2, 3) on cpu into the form of f32 (2, 3) on cpu:": {randomMatrix(rng, "f32", 2, 3), randomMatrix(rng, "bf16", 2, 3)},
		"into the form of f8e4m3":                                         {randomMatrix(rng, "f8e4m3", 2, 3), randomMatrix(rng, "bf16", 2, 3)},
		"into the form of f8e4m3/f32 (4, 3)":                              {scaledBy(t, 2, 4, 3), scaledBy(t, 4, 4, 3)}, // whose blocks are of another size
	} {
		d.queue.Fill(c[0], c[1])
		if err := d.queue.Sync(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v\nwant ... %s", err, want)
		}
	}
}

// scaledBy is a matrix in blocks of so many rows by all columns.
func scaledBy(t *testing.T, block, rows, cols int) cuda.Matrix {
	l, err := cuda.BlockScaled(block, cols, cuda.F32)
	must(t, err)
	return hostMatrix(l, rows, cols, make([]byte, rows*cols), make([]byte, 4*rows/block))
}

// TestPackedIsTheFile: every op that takes weights gives the same bits with a matrix as it is in a file and with the same one packed, few
// rows and many.
func TestPackedIsTheFile(t *testing.T) {
	eachNumerics(t, func(t *testing.T, d *device) {
		for _, code := range cuda.OpCodes() {
			for _, rows := range []int{1, 2, 3, 5, 17, 130} {
				op := sample(rand.New(rand.NewPCG(92, 1)), code, rows)
				_, _, weights := op.Operands()
				other, takes := again(op), op.Experts != nil
				for i, w := range weights {
					if !w.IsZero() {
						other.Weights[i], takes = fill(t, d, packed, w), true
					}
				}
				if op.Experts != nil {
					other.Experts = &cuda.ExpertTable{}
					for _, e := range op.Experts.Experts {
						other.Experts.Experts = append(other.Experts.Experts,
							cuda.Expert{Gate: fill(t, d, packed, e.Gate), Up: fill(t, d, packed, e.Up), Down: fill(t, d, packed, e.Down)})
					}
				}
				if !takes {
					continue
				}
				file := again(op)
				d.run(t, file)
				if code == cuda.OpCausalConv { // whose matrix is a few numbers for each channel
					if err := d.do(other); err == nil || !strings.Contains(err.Error(), "a convolution whose weights are not in f32, bf16 or f16") {
						t.Errorf("a packed convolution: %v", err)
					}
					continue
				}
				d.run(t, other)
				sameResults(t, code.String()+shape(rows), other, file)
			}
		}
		rng := rand.New(rand.NewPCG(92, 2))
		for _, s := range [][3]int{{1, 515, 130}, {3, 1030, 65}, {17, 70, 33}, {130, 513, 70}} { // sizes that kernels cut
			x, w := random(rng, s[0]*s[1]), randomMatrix(rng, "bf16", s[2], s[1])
			got, want := make([]float32, s[0]*s[2]), make([]float32, s[0]*s[2])
			d.run(t, matmul(got, x, fill(t, d, packed, w)))
			d.run(t, matmul(want, x, w))
			sameBits(t, shape(s[:]...), got, want)
		}
	})
}
