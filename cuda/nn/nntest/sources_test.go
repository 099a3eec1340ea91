package nntest

import (
	"bytes"
	"encoding/binary"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

func TestEditedSources(t *testing.T) {
	src := Edited(Tensors(map[string]weights.View{"a": *Zeros(1), "b": *Zeros(2), "c": *Zeros(3)}), map[string]*weights.View{
		"a": nil, "b": Zeros(5), "d": OfBytes(2, 3),
	})
	if got := src.Names(); !slices.Equal(got, []string{"b", "c", "d"}) {
		t.Errorf("names %v", got)
	}
	for name, bytes := range map[string]int{"a": -1, "b": 10, "c": 6, "d": 6, "e": -1} {
		if v, ok := src.Get(name, nil); ok != (bytes >= 0) || ok && len(v.Data) != bytes {
			t.Errorf("%s: %v, %d bytes", name, ok, len(v.Data))
		}
	}
}

func TestAlikeWeightsShareBytesOfOneKeyTypeAndShape(t *testing.T) {
	src := Alike(func(name string) string { return strings.Trim(name, "0123456789") }, func(name string, _ []int) cuda.DType {
		if strings.HasPrefix(name, "wide") {
			return cuda.F32
		}
		return cuda.BF16
	})
	get := func(name string, shape ...int) *byte {
		v, ok := src.Get(name, shape)
		if !ok || !slices.Equal(v.Shape, shape) {
			t.Fatalf("%s: %v, %v", name, v.Shape, ok)
		}
		return &v.Data[0]
	}
	if get("x1", 4) != get("x2", 4) || get("x1", 4) == get("y1", 4) || get("x1", 4) == get("x1", 5) || get("wide1", 4) != get("wide7", 4) {
		t.Error("the wrong weights are shared")
	}
}

// Two experts of a gate and an up of (2, 3) and a down of (3, 2), each filled with a number of its own.
func TestJoinedExpertsStandGateBeforeUp(t *testing.T) {
	all := map[string]weights.View{"norm": *Zeros(4)}
	fill := byte(1)
	for _, expert := range []string{"l.experts.0.", "l.experts.1."} {
		for _, name := range []string{"gate_proj.weight", "up_proj.weight", "down_proj.weight"} {
			v := *Zeros(2, 3)
			if strings.HasPrefix(name, "down") {
				v = *Zeros(3, 2)
			}
			v.Data = bytes.Repeat([]byte{fill}, 12)
			all[expert+name], fill = v, fill+1
		}
	}
	src := Joined(t, Tensors(all))
	if got := src.Names(); !slices.Equal(got, []string{"l.experts.down_proj", "l.experts.gate_up_proj", "norm"}) {
		t.Fatalf("names %v", got)
	}
	up, _ := src.Get("l.experts.gate_up_proj", nil)
	down, _ := src.Get("l.experts.down_proj", nil)
	if !slices.Equal(up.Shape, []int{2, 4, 3}) || string(up.Data) != strings.Repeat("\x01", 12)+strings.Repeat("\x02", 12)+strings.Repeat("\x04", 12)+strings.Repeat("\x05", 12) {
		t.Errorf("%v %v", up.Shape, up.Data)
	}
	if !slices.Equal(down.Shape, []int{2, 3, 2}) || string(down.Data) != strings.Repeat("\x03", 12)+strings.Repeat("\x06", 12) {
		t.Errorf("%v %v", down.Shape, down.Data)
	}
}

// A matrix of three rows and blocks of 2 x 2: the factors are 2, 3 in the first two rows and 5, 7 in the last.
func TestWidenedMatrices(t *testing.T) {
	var factors []byte
	for _, f := range []float32{2, 3, 5, 7} {
		factors = binary.LittleEndian.AppendUint32(factors, math.Float32bits(f))
	}
	const one, half, smallest = 0x38, 0x30, 0x01 // exponents 7 and 6; 2^-9
	n := 0
	src := Widened(Tensors(map[string]weights.View{
		"w":           {Format: "F8_E4M3", DType: cuda.F8E4M3, Known: true, Shape: []int{3, 3}, Data: []byte{one, one, half, one | 0x80, 0, half, smallest, one, one}},
		"w_scale_inv": {Format: "F32", DType: cuda.F32, Known: true, Shape: []int{2, 2}, Data: factors},
		"plain":       *Zeros(2),
	}), 2, 2, &n)
	v, ok := src.Get("w", []int{3, 3})
	for i, want := range []float32{2, 2, 1.5, -2, 0, 1.5, 5.0 / 512, 5, 7} {
		if got := math.Float32frombits(binary.LittleEndian.Uint32(v.Data[4*i:])); got != want {
			t.Errorf("element %d is %v, not %v", i, got, want)
		}
	}
	if plain, _ := src.Get("plain", []int{2}); !ok || v.DType != cuda.F32 || plain.DType != cuda.BF16 || n != 1 {
		t.Errorf("%v of type %v, plain %v, %d widened", ok, v.DType, plain.DType, n)
	}
}

func TestWrittenCheckpointsAreTheInventedWeights(t *testing.T) {
	dir := t.TempDir()
	n, err := toySuite(nil).Write(dir, []byte(`{"vocab_size": 11}`), 1)
	if err != nil || n != TensorBytes(t, dir) {
		t.Fatalf("%d bytes, %d in the file, %v", n, TensorBytes(t, dir), err)
	}
	src := Checkpoint(t, dir)
	if got := src.Names(); len(got) != 3 {
		t.Errorf("one layer has the tensors %v", got)
	}
	for _, name := range src.Names() {
		got, _ := src.Get(name, nil)
		want, _ := weights.Dummy(1, cuda.BF16).Get(name, got.Shape)
		if !bytes.Equal(got.Data, want.Data) {
			t.Errorf("%s differs", name)
		}
	}
	if err := WriteTensors(filepath.Join(dir, "x"), []weights.Entry{{Name: "x", To: 4}}, func(weights.Entry) []byte { return nil }); err == nil {
		t.Error("a tensor without its bytes was written")
	}
}

func TestCountsAreThoseOfTheWeights(t *testing.T) {
	s := toySuite(nil)
	_, b, err := s.Bind([]byte(`{"vocab_size": 11}`), 0, weights.Dummy(1, cuda.BF16))
	if err != nil {
		t.Fatal(err)
	}
	const layers, head = 3 * (8 + 64), 11 * 8
	if w := WeightsOf(b, 1); w != (Work{2 * (layers + head), 2 * layers, 2 * (layers + head)}) {
		t.Errorf("%+v", w)
	}
	want := Published{Config: `{"vocab_size": 11}`, Parameters: layers + head, Layers: 3, Modules: 4, Variance: 4} // layers add to the embedding
	generates := func(want Published) string {
		s.Published = want
		return Failures(t, func(t testing.TB) { s.generates(t, weights.Dummy(1, cuda.BF16), 2*(layers+head)) })
	}
	if said := generates(want); said != "" {
		t.Error(said)
	}
	want.Parameters++
	if said := generates(want); !strings.Contains(said, "304 parameters in 608 bytes, 3 layers in 4 modules") {
		t.Errorf("says %q", said)
	}
}

// The toy has one table for embedding and head; a twin of it reads lm_head though its config ties it, and another does without.
func TestMisfitsAndHeadsAreFound(t *testing.T) {
	dir := t.TempDir()
	headed := func(own func(tied bool) bool) Suite {
		s := toySuite(nil, dir)
		open := s.Open
		s.Open = func(config []byte, layers int, has func(string) bool) (Model, error) {
			m, err := open(config, layers, has)
			if err != nil {
				return nil, err
			}
			if own(!strings.Contains(string(config), `"tie_word_embeddings":false`)) {
				m.(*toy).Head = nn.NewLinear(11, toyWidth)
			}
			return m, nil
		}
		return s
	}
	right := headed(func(tied bool) bool { return !tied })
	if _, err := right.Write(dir, []byte(`{"vocab_size": 11}`), 0); err != nil {
		t.Fatal(err)
	}
	for what, tt := range map[string]struct {
		s    Suite
		want string
	}{
		"right":            {right, ""},
		"always its own":   {headed(func(bool) bool { return true }), "a tied head: the checkpoint does not fit the model: it lacks lm_head.weight (11, 8)"},
		"always the table": {headed(func(bool) bool { return false }), "without an untied head: error <nil>"},
	} {
		if said := Failures(t, func(t testing.TB) { tt.s.Heads(t) }); !strings.HasPrefix(said, tt.want) || tt.want == "" && said != "" {
			t.Errorf("%s: says %q", what, said)
		}
	}

	for what, tt := range map[string]struct {
		misfit Misfit
		want   string // "" is the error that Misfit asks for
	}{
		"all of it": {Misfit{Missing: []string{"model.layers.1.norm.weight"}, Shapes: map[string][]int{"model.layers.0.norm.weight": {2, 4}},
			Types: []string{"model.layers.0.out_proj.weight"}, Extra: []string{"model.x"}, Ignored: []string{"lm_head.weight"}}, ""},
		"told and not asked for": {Misfit{Missing: []string{"model.layers.1.norm.weight"}, Ignored: []string{"model.x"}}, "unknown to this model: model.x"},
		"asked for and not told": {Misfit{Extra: []string{"lm_head.weight"}}, "want  the checkpoint does not fit the model: unknown to this model: lm_head.weight"},
		"another shape":          {Misfit{Shapes: map[string][]int{"model.layers.0.norm.weight": {8}}}, "model.layers.0.norm.weight is (8), not (8)"},
		"nothing":                {Misfit{}, "error <nil>"},
		"not there":              {Misfit{Missing: []string{"model.y"}}, "the checkpoint has no model.y"},
	} {
		s := right
		s.Misfit = tt.misfit
		if said := Failures(t, func(t testing.TB) { s.Misfits(t) }); !strings.Contains(said, tt.want) || tt.want == "" && said != "" {
			t.Errorf("%s: says %q", what, said)
		}
	}
}

// By hand: of 300 parameters 3 matrices of 4 x 5 and one of 129 x 1, which takes two factors, are in FP8.
func TestBytesInFP8AreCounted(t *testing.T) {
	if got := FP8Bytes(300, Matrices{3, 4, 5}, Matrices{1, 129, 1}); got != 2*(300-60-129)+(60+3*4)+(129+2*4) {
		t.Errorf("%d bytes", got)
	}
}

// By hand: a row in the middle of 4 that bring a prompt to 10 has 8 positions before it.
func TestWorkBesideWeightsIsCounted(t *testing.T) {
	x := Bench{Rows: 4, Position: 3, Sequence: 7, Attention: 5}
	if x.bytes(10) != 3*10+7 || x.operations(10) != 5*8 {
		t.Errorf("%v bytes, %v operations", x.bytes(10), x.operations(10))
	}
	x.Others = func(context float64) float64 { return 2 * context }
	if x.operations(10) != 5*8+2*10 {
		t.Errorf("with others %v operations", x.operations(10))
	}
}
