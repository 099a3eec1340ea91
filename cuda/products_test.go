package cuda_test

// products_test.go is what queues are told of products that follow each other.

import (
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
)

// told is a CPU whose queue notes what products are told of the ops before them.
type told struct {
	cuda.Device
	products []int32
}

func (d *told) NewQueue() cuda.Queue { return &toldQueue{d.Device.NewQueue(), d} }

type toldQueue struct {
	cuda.Queue
	device *told
}

func (q *toldQueue) Run(op *cuda.Op) {
	if op.Code == cuda.OpMatMul {
		q.device.products = append(q.device.products, op.Ints[0])
	}
	q.Queue.Run(op)
}

// TestProductsOfOneThing: a product is told that the op before it is one of the same rows, and of none that only lie where those did, or that have changed since.
func TestProductsOfOneThing(t *testing.T) {
	c := cpu.New(1)
	defer c.Close()
	m := &cuda.Module{ID: "layers.0"}
	weight := cuda.NewWeight(2, 2)
	weight.Bind("w", m, scaled(t, 2, 2, cuda.F32))
	d := &told{Device: c}
	s := cuda.NewStep([]cuda.Device{d}, []*cuda.Module{m}, nil)
	mine, err := cuda.FromF32([]float32{3, 4}, 1, 2)
	must(t, err)
	pass := func(s *cuda.Step) {
		x := s.InputF32([]float32{1, 2}, 1, 2)
		s.EnterLayer(0)
		y := s.Add(x, x)
		s.MatMul(x, weight) // 0
		s.MatMul(x, weight) // 1
		s.MatMul(y, weight) // 0: others
		s.MatMul(x, weight) // 0: these were not the last
		s.MatMul(x, weight) // 1
		s.Add(x, x)
		s.MatMul(x, weight) // 0: something may have changed them
		mark := s.Mark()
		y = s.Add(x, x)
		s.MatMul(y, weight) // 0
		s.Rewind(mark)
		y = s.Columns(x, 0, 2)
		s.MatMul(y, weight)    // 0: at the same place
		s.MatMul(mine, weight) // 0
		s.MatMul(mine, weight) // 0: what is not the step's own somebody else may have changed
	}
	sizes, err := s.Measure(pass)
	must(t, err)
	must(t, s.Reserve(0, sizes))
	defer s.Release(0)
	s.Begin()
	pass(s)
	must(t, s.End())
	if want := []int32{0, 1, 0, 0, 1, 0, 0, 0, 0, 0}; !slices.Equal(d.products, want) {
		t.Errorf("products were told %v, not %v", d.products, want)
	}
}
