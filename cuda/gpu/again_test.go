//go:build cuda && cgo

package gpu

import (
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/kernels/sim"
)

// step is a list of sums and products of three vectors: c = a + b or a * b by their numbers.
type step [][4]int

func randomStep(r *rand.Rand, n int) (s step) {
	for range n {
		s = append(s, [4]int{r.IntN(2), r.IntN(3), r.IntN(3), r.IntN(3)})
	}
	return s
}

// changed is a step that is another somewhere: in an op, behind its end, or cut.
func (s step) changed(r *rand.Rand) step {
	s = append(step(nil), s...)
	switch r.IntN(3) {
	case 0:
		s[r.IntN(len(s))] = randomStep(r, 1)[0]
	case 1:
		s = append(s, randomStep(r, 1+r.IntN(3))...)
	default:
		s = s[:max(1, len(s)-1-r.IntN(3))]
	}
	return s
}

func (s step) op(i int, x []cuda.Tensor) *cuda.Op {
	code := cuda.OpAdd
	if s[i][0] == 1 {
		code = cuda.OpMul
	}
	return cuda.NewOp(code).Gives(x[s[i][3]]).Takes(x[s[i][1]], x[s[i][2]])
}

func (s step) compute(x [3]float32) [3]float32 {
	for _, o := range s {
		if o[0] == 1 {
			x[o[3]] = x[o[1]] * x[o[2]]
		} else {
			x[o[3]] = x[o[1]] + x[o[2]]
		}
	}
	return x
}

// Steps that come again, that begin as one before and go on otherwise, that end earlier or later, in any order: what comes out is what was
// told, and nothing is planned that was told before.
func TestStepsThatComeAgain(t *testing.T) {
	atEveryPace(t, func(t *testing.T, _ *sim.Driver) {
		r := rand.New(rand.NewPCG(5, 6))
		b := newBoard(t, open(t, Options{}))
		const n = 4
		x := []cuda.Tensor{b.tensor(n), b.tensor(n), b.tensor(n)}
		steps, heard := []step{randomStep(r, 30)}, 0
		for range 120 {
			s := steps[r.IntN(len(steps))]
			if r.IntN(4) == 0 {
				s = s.changed(r)
				steps = append(steps[max(0, len(steps)-2):], s)
			}
			var in [3]float32
			for i := range in {
				in[i] = float32(r.IntN(5)-2) / 4
				b.q.CopyIn(x[i], host(t, []float32{in[i], in[i], in[i], in[i]}))
			}
			for i := range s {
				b.q.Run(s.op(i, x))
			}
			var got [3][n]float32
			for i := range got {
				b.q.CopyOut(host(t, got[i][:]), x[i])
			}
			if b.q.again.whole() != nil {
				if heard++; b.q.list.Len() > 0 {
					t.Error("a list that was told before was made again")
				}
			}
			b.sync()
			for i, want := range s.compute(in) {
				if got[i][0] != want && (want == want || got[i][0] == got[i][0]) {
					t.Fatalf("vector %d is %v, not %v", i, got[i], want)
				}
			}
		}
		if heard < 20 {
			t.Errorf("%d of 120 steps were told before", heard)
		}
	})
}

// A step means something else once its memory for parts of sums lies elsewhere.
func TestAStepAfterItsScratchHasMoved(t *testing.T) {
	software(t)
	b := newBoard(t, open(t, Options{}))
	x, y := b.tensor(8), b.tensor(8)
	run := func(rounds int) {
		for range rounds {
			b.q.CopyIn(x, host(t, []float32{1, 2, 3, 4, 5, 6, 7, 8}))
			for range 20 {
				b.q.Run(add(y, x, x))
			}
			b.sync()
		}
	}
	run(3)
	if err := b.q.Room(1 << 20); err != nil {
		t.Fatal(err)
	}
	b.q.Run(add(y, x, x))
	if b.q.again.mode == toldAgain {
		t.Error("what was told before the room was another is taken for the same")
	}
	b.sync()
	run(3)
	b.q.Run(add(y, x, x))
	b.sync()
}

// Experts that are the same but for their table, which has moved, are told apart, and no table is kept by what was told.
func TestTablesAreToldApart(t *testing.T) {
	software(t)
	b := newBoard(t, open(t, Options{}))
	brought := func(*cuda.ExpertTable, any, []int) any { return &table{} }
	mixture := &cuda.ExpertTable{}
	mixture.Native(brought)
	op := *cuda.NewOp(cuda.OpExperts)
	op.Experts = mixture
	a := &b.q.again
	a.mode, a.list = toldAnew, &a.lists[0]
	b.q.write(copied{}, &op, 1)
	w, other := &a.list.words[0], op
	other.Experts = new(cuda.ExpertTable)
	other.Experts.Native(brought)
	if !w.same(copied{}, &op) || w.same(copied{}, &other) {
		t.Error("another table is the same, or the same another")
	}
	if mixture.Native(nil).(*table).form++; w.same(copied{}, &op) {
		t.Error("a table of another form is the same")
	}
	runtime.KeepAlive(mixture)
	op.Experts, mixture = nil, nil
	for range 3 {
		runtime.GC()
	}
	if w.table.Value() != nil {
		t.Error("the table is kept")
	}
	a.forget()
	a.mode = toldNothing
}
