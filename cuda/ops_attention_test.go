package cuda_test

import (
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
)

// latentLayer is a layer with a matrix of 2 heads of 3 keys and 2 values from latents of 4, vectors and a paged cache, in a step.
type latentLayer struct {
	s           *cuda.Step
	up, row     *cuda.Weight // (10, 4), (4)
	other       *cuda.Weight // (5)
	cache, many *cuda.State  // (2, 1, 64, 6), (2, 2, 64, 6)
	zeros       func(shape ...int) cuda.Tensor
	ints        func(shape ...int) cuda.Tensor
	pages       func(rows int) cuda.Pages
}

func newLatentLayer(t *testing.T) *latentLayer {
	t.Helper()
	c := cpu.New(1)
	t.Cleanup(func() { c.Close() })
	m := &cuda.Module{ID: "layers.0"}
	l := &latentLayer{s: cuda.NewStep([]cuda.Device{c}, []*cuda.Module{m}, nil)}
	l.zeros = func(shape ...int) cuda.Tensor { return tensor(t, make([]float32, product(shape)), shape...) }
	l.ints = func(shape ...int) cuda.Tensor { return l.s.Input(make([]int32, product(shape)), shape...) }
	l.pages = func(rows int) cuda.Pages { // a sequence whose first position alone was written
		return l.s.Pages(make([]int32, rows), make([]int32, rows), []int32{0}, 1, 2, 64)
	}
	weight := func(name string, shape ...int) *cuda.Weight {
		return bind(t, name, m, l.zeros(shape...))
	}
	l.up, l.row, l.other = weight("kv_b_proj.weight", 10, 4), weight("norm.weight", 4), weight("other.weight", 5)
	l.cache, l.many = cuda.NewState("latent", m, l.zeros(2, 1, 64, 6)), cuda.NewState("k", m, l.zeros(2, 2, 64, 6))
	must(t, l.s.Reserve(0, cuda.Sizes{Step: 1 << 12, Even: 1 << 14, Odd: 64}))
	return l
}

func product(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// TestShapesThatDoNotFitAreToldByTheirOp: the step says which op, and its result is no tensor that later ops would take.
func TestShapesThatDoNotFitAreToldByTheirOp(t *testing.T) {
	l := newLatentLayer(t)
	s, z, i, none := l.s, l.zeros, l.ints, cuda.Tensor{}
	acc := func() cuda.Tensor { return s.AttendStart(2, 2, 3) }
	for want, call := range map[string]func() cuda.Tensor{
		"latent_query by kv_b_proj.weight: shapes do not fit: f32 (2, 3, 4)":                                func() cuda.Tensor { return s.LatentQuery(z(2, 3, 4), l.up, 3) },
		"latent_query by kv_b_proj.weight: 6 elements of a query":                                           func() cuda.Tensor { return s.LatentQuery(z(2, 2, 8), l.up, 6) },
		"latent_query by kv_b_proj.weight: 3 elements of a query":                                           func() cuda.Tensor { return s.LatentQuery(z(2, 2, 2), l.up, 3) },
		"latent_value by kv_b_proj.weight: shapes do not fit: f32 (2, 2, 5)":                                func() cuda.Tensor { return s.LatentValue(z(2, 2, 5), l.up, 3) },
		"latent_value by kv_b_proj.weight: keys of 5 elements leave no values":                              func() cuda.Tensor { return s.LatentValue(z(2, 2, 4), l.up, 5) },
		"latent_attention: shapes do not fit: f32 (2, 2, 5) on cpu with f32 (2, 1,":                         func() cuda.Tensor { return s.LatentAttention(z(2, 2, 5), l.cache, 4, l.pages(2), 1) },
		"latent_attention: shapes do not fit: f32 (2, 2, 6) on cpu with f32 (2, 2,":                         func() cuda.Tensor { return s.LatentAttention(z(2, 2, 6), l.many, 4, l.pages(2), 1) },
		"latent_attention: shapes do not fit: f32 (2, 3, 6)":                                                func() cuda.Tensor { return s.LatentAttention(z(2, 3, 6), l.cache, 4, l.pages(3), 1) },
		"latent_attention: values of 7 elements":                                                            func() cuda.Tensor { return s.LatentAttention(z(2, 2, 6), l.cache, 7, l.pages(2), 1) },
		"cache_read: positions 60 to 69 of sequence 0 are outside tables i32 (1, 1)":                        func() cuda.Tensor { return s.CacheRead(l.cache, l.pages(2), 0, 60, 10) },
		"cache_read: positions 0 to 9 of sequence 1 are outside":                                            func() cuda.Tensor { return s.CacheRead(l.cache, l.pages(2), 1, 0, 10) },
		"cache_read: positions 0 to -1 of":                                                                  func() cuda.Tensor { return s.CacheRead(l.cache, l.pages(2), 0, 0, 0) },
		"heads_first: elements 1 to 5 of f32 (2, 2, 4)":                                                     func() cuda.Tensor { return s.HeadsFirst(z(2, 2, 4), 1, 5, none) },
		"heads_first: shapes do not fit":                                                                    func() cuda.Tensor { return s.HeadsFirst(z(2, 2, 4), 1, 4, z(3, 1, 2)) },
		"attend_tile: a tile begins at position 63, which is no multiple of 64":                             func() cuda.Tensor { s.AttendTile(acc(), z(2, 2, 4), z(1, 5, 4), z(1, 5, 3), i(2), 63, 1); return none },
		"attend_tile: shapes do not fit: f32 (2, 2, 5) on cpu with f32 (2, 2, 4) on cpu with f32 (1, 5, 5)": func() cuda.Tensor { s.AttendTile(acc(), z(2, 2, 4), z(1, 5, 5), z(1, 5, 3), i(2), 0, 1); return none },
		"attend_tile: shapes do not fit: f32 (2, 2, 5) on cpu with f32 (2, 2, 4) on cpu with f32 (1, 5, 4)": func() cuda.Tensor { s.AttendTile(acc(), z(2, 2, 4), z(1, 5, 4), z(1, 6, 3), i(2), 0, 1); return none },
		"attend_tile: shapes do not fit: f32 (2, 2, 5) on cpu with f32 (2, 2, 4) on cpu with f32 (2, 5, 4)": func() cuda.Tensor { s.AttendTile(acc(), z(2, 2, 4), z(2, 5, 4), z(2, 5, 3), i(3), 0, 1); return none },
		"attend_done: shapes do not fit":                                                                    func() cuda.Tensor { return s.AttendDone(z(2, 2, 1)) },
		"add_row by norm.weight: shapes do not fit":                                                         func() cuda.Tensor { return s.AddRow(z(2, 5), l.row) },
		"layernorm by norm.weight: shapes do not fit":                                                       func() cuda.Tensor { return s.LayerNorm(z(2, 4), l.row, l.other, 1) },
		"gelu: shapes do not fit":                                                                           func() cuda.Tensor { return s.GELU(i(2), cuda.GELUErf) },
		"copy: shapes do not fit":                                                                           func() cuda.Tensor { s.Copy(s.Empty(2, 3), z(3, 2)); return none },
		"shape [-1] is impossible":                                                                          func() cuda.Tensor { return s.Empty(-1) },
		"angles: shapes do not fit":                                                                         func() cuda.Tensor { return s.AnglesByAxis(i(2, 3), []float32{1, 2}, []int32{0}, 1) },
		"angles: shapes do not fit: i32 (2, 3)":                                                             func() cuda.Tensor { return s.AnglesByAxis(i(2, 3), []float32{1, 2}, []int32{0, 3}, 1) },
		"rotate: shapes do not fit":                                                                         func() cuda.Tensor { return s.RotateFrom(z(2, 1, 4), 1, z(2, 2, 2), cuda.Half) },
	} {
		s.Begin()
		s.EnterLayer(0)
		y := call()
		if err := s.End(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v\nwant layer 0: %s ...", err, want)
		}
		if z := s.Add(y, y); !z.IsZero() {
			t.Errorf("after %q an op went on", want)
		}
	}
}

// TestRowsOfCodes: a cache of them has as many bytes as dim numbers take, and no other; ops see the numbers.
func TestRowsOfCodes(t *testing.T) {
	l := newLatentLayer(t)
	s := l.s
	for dim, bytes := range map[int]int{1: 5, 6: 10, 63: 67, 64: 68, 65: 73, 128: 136, 576: 612} {
		if got := cuda.Q8Row.RowLen(dim); got != bytes {
			t.Errorf("%d numbers take %d bytes, not %d", dim, got, bytes)
		}
	}
	state := func(heads, bytes int) *cuda.State {
		x, err := cuda.HostTensor(make([]byte, 2*heads*64*bytes), cuda.Q8Row, 2, heads, 64, bytes)
		must(t, err)
		return cuda.NewState("k", &cuda.Module{ID: "layers.0"}, x)
	}
	s.Begin()
	k, v := state(2, 73), state(2, 10)
	s.CacheWrite(k, l.zeros(1, 2, 65), l.pages(1))
	if y := s.Attention(l.zeros(1, 4, 65), k, v, l.pages(1), 1); y.Dim(1) != 4 || y.Dim(2) != 6 {
		t.Errorf("attention gives %v", y)
	}
	if y := s.LatentAttention(l.zeros(1, 4, 65), state(1, 73), 65, l.pages(1), 1); y.Dim(2) != 65 {
		t.Errorf("latent attention gives %v", y)
	}
	if y := s.CacheRead(k, l.pages(1), 0, 0, 1); y.Dim(2) != 65 || y.DType() != cuda.F32 {
		t.Errorf("what is read back is %v", y)
	}
	must(t, s.End())
	for what, call := range map[string]func(){
		"more numbers":         func() { s.CacheWrite(k, l.zeros(1, 2, 66), l.pages(1)) },
		"as many as bytes":     func() { s.CacheWrite(k, l.zeros(1, 2, 73), l.pages(1)) },
		"a factor and no code": func() { s.CacheRead(state(1, 4), l.pages(1), 0, 0, 1) },
		"two factors for 64":   func() { s.CacheRead(state(1, 72), l.pages(1), 0, 0, 1) },
		"longer queries":       func() { s.Attention(l.zeros(1, 4, 66), k, v, l.pages(1), 1) },
		"values in another form": func() {
			s.Attention(l.zeros(1, 4, 65), k, cuda.NewState("v", k.Module, l.zeros(2, 2, 64, 6)), l.pages(1), 1)
		},
		"values of no length": func() { s.Attention(l.zeros(1, 4, 65), k, state(2, 69), l.pages(1), 1) },
		"too long a value":    func() { s.LatentAttention(l.zeros(1, 4, 65), state(1, 73), 66, l.pages(1), 1) },
		"activations":         func() { s.Add(state(1, 73).Tensor(), state(1, 73).Tensor()) },
	} {
		s.Begin()
		if call(); s.End() == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}
