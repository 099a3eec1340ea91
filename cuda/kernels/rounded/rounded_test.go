package rounded_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/kernels/kerneltest"
	"github.com/inference-pio/inference-pio/cuda/kernels/rounded"
	. "github.com/inference-pio/inference-pio/cuda/optest"
	"github.com/inference-pio/inference-pio/cuda/spec"
)

// desk is the device with the operands of one op.
type desk struct {
	t   *testing.T
	d   *rounded.Device
	q   cuda.Queue
	put map[unsafe.Pointer]cuda.Tensor
}

func (k *desk) memory(bytes int64) cuda.Memory {
	mem, err := k.d.Alloc(bytes, cuda.ForScratch)
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { k.d.Free(mem) })
	return mem
}

func (k *desk) tensor(host cuda.Tensor) cuda.Tensor {
	if host.IsZero() {
		return host
	}
	if t, ok := k.put[host.Pointer()]; ok {
		return t
	}
	t, err := cuda.DeviceTensor(k.d, k.memory(host.Bytes()), 0, host.DType(), Dims(host)...)
	if err != nil {
		k.t.Fatal(err)
	}
	k.q.CopyIn(t, host)
	k.put[host.Pointer()] = t
	return t
}

func (k *desk) matrix(host cuda.Matrix) cuda.Matrix {
	if host.IsZero() {
		return host
	}
	m, err := host.Layout.Lay(k.d, k.memory(host.Layout.DeviceBytes(host.Rows, host.Cols)), 0, host.Rows, host.Cols)
	if err != nil {
		k.t.Fatal(err)
	}
	k.q.Fill(m, host)
	return m
}

// run is an op on the device that is told in Go; its first result is where the op says.
func run(t *testing.T, op *cuda.Op) {
	t.Helper()
	c := cpu.New(1)
	defer c.Close()
	k := &desk{t: t, d: rounded.New(c), put: map[unsafe.Pointer]cuda.Tensor{}}
	k.q = k.d.NewQueue()
	defer k.q.Close()
	there := *op
	out, in, weights := there.Operands()
	for _, list := range [][]cuda.Tensor{out, in} {
		for i := range list {
			list[i] = k.tensor(list[i])
		}
	}
	for i := range weights {
		weights[i] = k.matrix(weights[i])
	}
	if op.Experts != nil {
		there.Experts = &cuda.ExpertTable{}
		for _, e := range op.Experts.Experts {
			there.Experts.Experts = append(there.Experts.Experts, cuda.Expert{Gate: k.matrix(e.Gate), Up: k.matrix(e.Up), Down: k.matrix(e.Down)})
		}
	}
	k.q.Run(&there)
	for i, host := range out[:len(out):len(out)] {
		if !host.IsZero() {
			k.q.CopyOut(op.Out[i], host)
		}
	}
	if err := k.q.Sync(); err != nil {
		t.Fatal(err)
	}
}

// What is told here is what the kernels do: the same op on the same numbers, where only the order of sums differs. A sum that lies at the border of two
// numbers of bf16 is rounded the other way now and then; where something is rounded by one of them alone, hardly a number is the same.
func TestKernelsRoundTheSame(t *testing.T) {
	m := kerneltest.New(t, true, 8)
	rng := rand.New(rand.NewPCG(3, 4))
	pages := spec.Pages{Heads: 2, Size: 64, Width: 3, Blocks: 4, Tables: []int32{2, 0, 3}}
	for p := range 150 {
		pages.Positions, pages.Seqs = append(pages.Positions, int32(p)), append(pages.Seqs, 0)
	}
	few := pages // of which the last rows attend
	few.Positions, few.Seqs = pages.Positions[147:], pages.Seqs[147:]
	latent := few
	latent.Heads = 1
	random := func(n int) []float32 { return Random(rng, n) }
	halves := func(n int) []uint16 { return spec.Round(Random(rng, n)) }
	expert := func() cuda.Expert {
		return cuda.Expert{Gate: Plain(rng, cuda.BF16, 48, 64), Up: Plain(rng, cuda.BF16, 48, 64), Down: Plain(rng, cuda.BF16, 64, 48)}
	}
	scale := float32(0.2)
	experts := cuda.NewOp(cuda.OpExperts).Gives(cuda.Tensor{}, F32(make([]float32, 6*64), 64), F32(make([]float32, 2*6*48), 6, 48)).
		Takes(F32(random(3*64), 64), I32([]int32{0, 1, 2, 0, 1, 2}, 2), F32(random(6), 2))
	experts.Experts = &cuda.ExpertTable{Experts: []cuda.Expert{expert(), expert(), expert()}}
	acc := make([]float32, 3*4*(16+2))
	spec.AttendStart(acc, 16)
	for _, c := range []struct {
		name string
		of   int // which result
		op   *cuda.Op
	}{
		{"matmul", 0, cuda.NewOp(cuda.OpMatMul).Gives(F32(make([]float32, 3*40), 40)).Takes(F32(random(3*136), 136)).By(Plain(rng, cuda.BF16, 40, 136))},
		{"experts", 1, experts},
		{"attention", 0, cuda.NewOp(cuda.OpAttention).Gives(F32(make([]float32, 3*4*16), 4, 16)).
			Takes(F32(random(3*4*24), 4, 24), BF16(halves(4*2*64*24), 2, 64, 24), BF16(halves(4*2*64*16), 2, 64, 16)).Takes(Pages(few)...).With(scale)},
		{"latent attention", 0, cuda.NewOp(cuda.OpLatentAttention).Gives(F32(make([]float32, 3*4*32), 4, 32)).
			Takes(F32(random(3*4*40), 4, 40), BF16(halves(4*64*40), 1, 64, 40)).Takes(Pages(latent)...).With(scale)},
		{"a tile", 0, cuda.NewOp(cuda.OpAttendTile).Gives(F32(acc, 4, 16+2)).
			Takes(F32(random(3*4*24), 4, 24), F32(random(2*100*24), 100, 24), F32(random(2*100*16), 100, 16), I32([]int32{99, 40, 70})).With(scale).At(0)},
	} {
		before := append([]float32(nil), c.op.Out[c.of].F32()...)
		m.Run(t, c.op)
		got := append([]float32(nil), c.op.Out[c.of].F32()...)
		copy(c.op.Out[c.of].F32(), before)
		run(t, c.op)
		want := c.op.Out[c.of].F32()
		largest, far := 0.0, 0
		for _, x := range want {
			largest = max(largest, math.Abs(float64(x)))
		}
		for i := range want {
			if d := math.Abs(float64(got[i]) - float64(want[i])); !(d <= 1e-5*largest) {
				if far++; !(d <= 0x1p-7*largest) {
					t.Errorf("%s: element %d is %g, not %g", c.name, i, got[i], want[i])
				}
			}
		}
		if largest == 0 || far > len(want)/5 {
			t.Errorf("%s: %d of %d elements are further apart than sums of another order, the largest is %g", c.name, far, len(want), largest)
		}
	}
}

// A tensor that is asked for is shown before it goes, and what is left in it then goes on.
func TestATaughtDeviceGoesOnWithWhatItIsTold(t *testing.T) {
	c := cpu.New(1)
	defer c.Close()
	k := &desk{t: t, d: rounded.New(c), put: map[unsafe.Pointer]cuda.Tensor{}}
	k.q = k.d.NewQueue()
	defer k.q.Close()
	x, out := k.tensor(F32([]float32{1, 2, 3}, 3)), F32(make([]float32, 3), 3)
	asked := func() []float32 {
		k.q.CopyOut(out, x)
		if err := k.q.Sync(); err != nil {
			t.Fatal(err)
		}
		return out.F32()
	}
	var seen []float32
	k.d.Teach(func(x []float32) {
		seen = append(seen, x...)
		x[1] = 7
	})
	if got := asked(); !slices.Equal(got, []float32{1, 7, 3}) || !slices.Equal(seen, []float32{1, 2, 3}) {
		t.Errorf("told %v, it gives %v", seen, got)
	}
	k.d.Teach(nil)
	if got := asked(); !slices.Equal(got, []float32{1, 7, 3}) || len(seen) != 3 {
		t.Errorf("afterwards it gives %v", got)
	}
}
