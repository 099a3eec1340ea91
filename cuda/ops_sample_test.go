package cuda_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/far"
)

// head is a step whose only module is computed on a far device.
type head struct {
	step  *cuda.Step
	there *far.Device
	mod   *cuda.Module
}

func newHead(t *testing.T) *head {
	t.Helper()
	c := cpu.New(2)
	h := &head{there: far.New("far", 0, 0, 0, c), mod: &cuda.Module{ID: "lm_head", Layer: -1}}
	h.step = cuda.NewStep([]cuda.Device{c, h.there}, nil, nil)
	h.mod.Settle(1)
	for dev := range 2 {
		must(t, h.step.Reserve(dev, cuda.Sizes{Step: 1 << 22, Even: 64, Odd: 64}))
	}
	t.Cleanup(func() {
		h.step.Release(0)
		h.step.Release(1)
		h.step.Close()
		c.Close()
	})
	return h
}

// made is an activation that the far device has and the host has not; what follows runs on the CPU.
func (h *head) made(data []float32, n int) cuda.Tensor {
	s, all := h.step, make([]int32, len(data)/n)
	for i := range all {
		all[i] = int32(i)
	}
	s.EnterModule(h.mod)
	x := s.Gather(s.InputF32(data, len(all), n), s.Input(all))
	s.EnterModule(nil)
	return x
}

// TestArgmaxTellsWhetherAllAreNumbers, wherever in the row one is that is none, and where the logits lie.
func TestArgmaxTellsWhetherAllAreNumbers(t *testing.T) {
	const n = 40_003 // pieces of a row, and elements behind the last whole vector
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	plain := func(at int, v float32) []float32 {
		row := make([]float32, n)
		for i := range row {
			row[i] = float32(i % 1000)
		}
		row[at] = v
		return row
	}
	filled := func(v float32) []float32 { return slices.Repeat([]float32{v}, n) }
	cases := []struct {
		row   []float32
		index int32
		value float32
	}{
		{plain(0, 1), 999, 999}, {plain(n-1, 5000), n - 1, 5000}, {plain(7, -inf), 999, 999}, {plain(16384, inf), 16384, inf},
		{plain(0, nan), 999, nan}, {plain(999, nan), 1999, nan}, {plain(20_000, nan), 999, nan}, {plain(n-1, nan), 999, nan},
		{filled(nan), 0, nan}, {filled(-inf), 0, -inf},
	}
	h := newHead(t)
	var data []float32
	for _, c := range cases {
		data = append(data, c.row...)
	}
	for _, where := range []string{"cpu", "far"} {
		h.step.Begin()
		x := h.step.InputF32(data, len(cases), n)
		if where == "far" {
			x = h.made(data, n)
		}
		index, values := h.step.Argmax(x)
		if index.Place() != x.Place() {
			t.Errorf("the logits lie on %s; they were looked through on %s", x.Place(), index.Place())
		}
		index, values = h.step.RowsToHost(index), h.step.RowsToHost(values)
		must(t, h.step.End())
		for i, c := range cases {
			if got := values.F32()[i]; index.I32()[i] != c.index || got != c.value && (got == got || c.value == c.value) {
				t.Errorf("%s, row %d: %v at %d, want %v at %d", where, i, got, index.I32()[i], c.value, c.index)
			}
		}
	}
}

// TestSomeRowsComeAlone: only their bytes travel, while the step runs or after it, and once per call.
func TestSomeRowsComeAlone(t *testing.T) {
	h := newHead(t)
	s, data := h.step, []float32{0, 1, 2, 3, 4, 5, 6, 7}
	came := func(want int64, why string) {
		t.Helper()
		if n := h.there.Traffic().BytesOut; n != want {
			t.Errorf("%s: %d bytes came, want %d", why, n, want)
		}
	}
	s.Begin()
	x := h.made(data, 2)
	y := s.RowsToHost(x.Slice(1, 3))
	here := s.Add(y, y) // on the CPU, behind the copy
	must(t, s.End())
	if !slices.Equal(y.F32(), []float32{2, 3, 4, 5}) || !slices.Equal(here.F32(), []float32{4, 6, 8, 10}) {
		t.Errorf("rows 1 and 2 are %v, twice that is %v", y.F32(), here.F32())
	}
	came(16, "two rows of two")
	z := s.RowsToHost(x.Slice(3, 4))
	must(t, s.End())
	if !slices.Equal(z.F32(), []float32{6, 7}) {
		t.Errorf("after the step, row 3 is %v", z.F32())
	}
	came(24, "one more after the step")
	whole := s.ToHost(x)
	again := s.RowsToHost(x.Slice(0, 1))
	must(t, s.End())
	if !slices.Equal(whole.F32(), data) || !slices.Equal(again.F32(), data[:2]) {
		t.Errorf("all are %v, the first is %v", whole.F32(), again.F32())
	}
	came(24+64, "all, of which a row is one")
	s.Begin()
	if s.RowsToHost(x.Slice(0, 1)); s.Err() == nil || !strings.Contains(s.Err().Error(), "used after its memory was given to later ones") {
		t.Errorf("of a pass that is over: %v", s.Err())
	}
}
