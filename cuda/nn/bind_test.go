package nn

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// toy has every kind of part a model can have.
type toy struct {
	Embed  Embedding  `weight:"embed_tokens"`
	Layers []toyLayer `weight:"layers"`
	Norm   RMSNorm    `weight:"norm"`
	Head   Linear     `weight:"lm_head,root"`
	size   int        // no tag, not looked at
}

type toyLayer struct {
	Q    Linear       `weight:"self_attn.q_proj"`
	Bias *cuda.Weight `weight:"self_attn.q_proj.bias,optional"`
	FF   feedForward  `weight:"mlp"` // dense or sparse
	Conv *convolution `weight:"conv"`
}

type feedForward interface{ name() string }

type dense struct {
	Up Linear `weight:"up_proj"`
}

type sparse struct {
	Gate    Linear  `weight:"gate"`
	Experts []dense `weight:"experts"`
}

type convolution struct {
	W *cuda.Weight `weight:"kernel"` // a name without .weight
}

func (*dense) name() string  { return "dense" }
func (*sparse) name() string { return "sparse" }

func newToy(tied bool) *toy {
	m := &toy{Embed: NewEmbedding(10, 4), Norm: NewRMSNorm(4, 1e-6), Head: NewLinear(10, 4), size: 4}
	if tied {
		m.Head = m.Embed.Tied()
	}
	up := func() dense { return dense{NewLinear(6, 4)} }
	first := up()
	m.Layers = []toyLayer{
		{Q: NewLinear(4, 4), Bias: cuda.NewWeight(4), FF: &first},
		{Q: NewLinear(4, 4), FF: &sparse{Gate: NewLinear(2, 4), Experts: []dense{up(), up()}}, Conv: &convolution{cuda.NewWeight(3, 4)}},
	}
	return m
}

// toyNames are the tensors of newToy(false) with their shapes.
var toyNames = map[string][]int{
	"model.embed_tokens.weight": {10, 4}, "model.layers.0.self_attn.q_proj.weight": {4, 4}, "model.layers.0.self_attn.q_proj.bias": {4},
	"model.layers.0.mlp.up_proj.weight": {6, 4}, "model.layers.1.self_attn.q_proj.weight": {4, 4}, "model.layers.1.mlp.gate.weight": {2, 4},
	"model.layers.1.mlp.experts.0.up_proj.weight": {6, 4}, "model.layers.1.mlp.experts.1.up_proj.weight": {6, 4}, "model.layers.1.conv.kernel": {3, 4},
	"model.norm.weight": {4}, "lm_head.weight": {10, 4},
}

// table is a source of bf16 zeros; a type can be given as "F64" before the shape.
type table map[string]weights.View

func newTable(names map[string][]int) table {
	t := table{}
	for name, shape := range names {
		n := 2
		for _, d := range shape {
			n *= d
		}
		t[name] = weights.View{Format: "BF16", DType: cuda.BF16, Known: true, Shape: shape, Data: make([]byte, n)}
	}
	return t
}

func (t table) Get(name string, _ []int) (weights.View, bool) { v, ok := t[name]; return v, ok }

func (t table) Names() []string {
	var names []string
	for n := range t {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

func ids(modules []*cuda.Module) string {
	var list []string
	for _, m := range modules {
		list = append(list, fmt.Sprintf("%s@%d:%d", m.ID, m.Layer, len(m.Weights)))
	}
	return strings.Join(list, " ")
}

func TestBindFillsEveryWeightAndNamesTheModules(t *testing.T) {
	m := newToy(false)
	b, err := Bind(m, newTable(toyNames), BindOptions{Prefix: "model."})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := ids(b.Modules), "embed_tokens@-1:1 layers.0@0:3 layers.1@1:3 layers.1.mlp.experts.0@1:1 layers.1.mlp.experts.1@1:1 norm@-1:1 lm_head@-1:1"; got != want {
		t.Errorf("modules\n %s\nwant\n %s", got, want)
	}
	if got, want := ids(b.Layers), "layers.0@0:3 layers.1@1:3"; got != want {
		t.Errorf("layers %s, want %s", got, want)
	}
	if want := int64(40 + 16 + 4 + 24 + 16 + 8 + 24 + 24 + 12 + 4 + 40); b.Parameters != want {
		t.Errorf("%d parameters, want %d", b.Parameters, want)
	}
	if w := m.Layers[1].Q.W; w.Name != "model.layers.1.self_attn.q_proj.weight" || w.Module != b.Layers[1] || w.File().IsZero() || w.File().Layout != cuda.Plain(cuda.BF16) {
		t.Errorf("q of layer 1 is %+v", w)
	}
}

func TestTiedHeadIsOneWeight(t *testing.T) {
	names := newTable(toyNames)
	delete(names, "lm_head.weight")
	m := newToy(true)
	b, err := Bind(m, names, BindOptions{Prefix: "model."})
	if err != nil {
		t.Fatal(err)
	}
	if m.Head.W != m.Embed.W || m.Head.W.Module.ID != "embed_tokens" || strings.Contains(ids(b.Modules), "lm_head") {
		t.Errorf("head %+v in modules %s", m.Head.W, ids(b.Modules))
	}
	if want := int64(172); b.Parameters != want {
		t.Errorf("%d parameters, want %d", b.Parameters, want)
	}
}

func TestAllThatDoesNotFitIsInOneError(t *testing.T) {
	src := newTable(toyNames)
	delete(src, "model.layers.1.mlp.gate.weight")
	delete(src, "model.norm.weight")
	src["model.layers.0.mlp.up_proj.weight"] = weights.View{Format: "BF16", DType: cuda.BF16, Known: true, Shape: []int{4, 6}, Data: make([]byte, 48)}
	src["lm_head.weight"] = weights.View{Format: "F64", Shape: []int{10, 4}, Data: make([]byte, 320)}
	src["model.embed_tokens.weight"] = weights.View{Format: "I32", DType: cuda.I32, Known: true, Shape: []int{10, 4}, Data: make([]byte, 160)}
	src["model.layers.0.self_attn.k_proj.weight"] = src["model.layers.0.self_attn.q_proj.weight"]
	src["model.layers.2.rotary_emb.inv_freq"] = src["model.layers.0.self_attn.q_proj.weight"]

	_, err := Bind(newToy(false), src, BindOptions{Prefix: "model.", Ignore: func(name string) bool { return strings.HasSuffix(name, "inv_freq") }})
	var report *BindError
	if !errors.As(err, &report) {
		t.Fatalf("error %v", err)
	}
	for what, pair := range map[string][2][]string{
		"missing": {report.Missing, {"model.layers.1.mlp.gate.weight (2, 4)", "model.norm.weight (4)"}},
		"shapes":  {report.Shapes, {"model.layers.0.mlp.up_proj.weight is (4, 6), not (6, 4)"}},
		"types":   {report.Types, {"model.embed_tokens.weight is I32", "lm_head.weight is F64"}},
		"extra":   {report.Extra, {"model.layers.0.self_attn.k_proj.weight"}},
	} {
		if !slices.Equal(pair[0], pair[1]) {
			t.Errorf("%s: %q, want %q", what, pair[0], pair[1])
		}
	}
	for _, part := range []string{"it lacks model.layers.1.mlp.gate.weight (2, 4), model.norm.weight (4)", "of another shape", "lm_head.weight is F64", "unknown to this model: model.layers.0.self_attn.k_proj.weight"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q\ndoes not say %q", err, part)
		}
	}
}

func TestLongListsAreCutInTheMessageOnly(t *testing.T) {
	src := newTable(toyNames)
	for i := range 100 {
		src[fmt.Sprintf("extra.%03d", i)] = src["model.norm.weight"]
	}
	_, err := Bind(newToy(false), src, BindOptions{Prefix: "model."})
	var report *BindError
	if !errors.As(err, &report) || len(report.Extra) != 100 {
		t.Fatalf("error %v", err)
	}
	if text := err.Error(); !strings.HasSuffix(text, "extra.015 and 84 more") {
		t.Errorf("message %q", text)
	}
}

// scaledTable is newTable with one matrix in FP8: (6, 4) in blocks of 4 x 3 has scales (2, 2).
func scaledTable(scale weights.View) (table, string) {
	const name = "model.layers.0.mlp.up_proj.weight"
	src := newTable(toyNames)
	src[name] = weights.View{Format: "F8_E4M3", DType: cuda.F8E4M3, Known: true, Shape: []int{6, 4}, Data: make([]byte, 24)}
	if scale.Shape != nil {
		src[name+"_scale_inv"] = scale
	}
	return src, name
}

func TestFP8MatricesAreBoundWithTheirScales(t *testing.T) {
	for _, scale := range []weights.View{
		{Format: "F32", DType: cuda.F32, Known: true, Shape: []int{2, 2}, Data: make([]byte, 16)},
		{Format: "BF16", DType: cuda.BF16, Known: true, Shape: []int{2, 2}, Data: make([]byte, 8)},
	} {
		src, name := scaledTable(scale)
		m := newToy(false)
		b, err := Bind(m, src, BindOptions{Prefix: "model.", FP8Block: [2]int{4, 3}})
		if err != nil {
			t.Fatal(err)
		}
		w := m.Layers[0].FF.(*dense).Up.W
		want, err := cuda.BlockScaled(4, 3, scale.DType)
		if err != nil {
			t.Fatal(err)
		}
		if f := w.File(); w.Name != name || !f.Layout.Equal(want) || f.Rows != 6 || f.Cols != 4 {
			t.Errorf("%s is %v in blocks %v", w.Name, f, f.Layout.Planes)
		}
		if want := int64(24 + len(scale.Data)); w.Bytes() != want || b.Layers[0].WeightBytes() != 2*(16+4)+want {
			t.Errorf("%d bytes in a module of %d", w.Bytes(), b.Layers[0].WeightBytes())
		}
		if want := int64(40 + 16 + 4 + 24 + 16 + 8 + 24 + 24 + 12 + 4 + 40); b.Parameters != want { // scales are none
			t.Errorf("%d parameters, want %d", b.Parameters, want)
		}
	}
}

func TestFP8ThatDoesNotFit(t *testing.T) {
	block := [2]int{4, 3}
	f32 := func(shape ...int) weights.View {
		return weights.View{Format: "F32", DType: cuda.F32, Known: true, Shape: shape, Data: make([]byte, 4*shape[0]*shape[1])}
	}
	vector, _ := scaledTable(f32(2, 2))
	vector["model.norm.weight"] = weights.View{Format: "F8_E4M3", DType: cuda.F8E4M3, Known: true, Shape: []int{4}, Data: make([]byte, 4)}
	stray := newTable(toyNames)
	stray["model.layers.0.self_attn.q_proj.weight_scale_inv"] = f32(1, 2)
	tests := []struct {
		src   table
		block [2]int
		want  string
	}{
		{first(scaledTable(weights.View{})), block, "it lacks model.layers.0.mlp.up_proj.weight_scale_inv (2, 2)"},
		{first(scaledTable(f32(1, 1))), block, "model.layers.0.mlp.up_proj.weight_scale_inv is (1, 1), not (2, 2)"},
		{first(scaledTable(f32(2, 2))), [2]int{}, "model.layers.0.mlp.up_proj.weight_scale_inv is (2, 2), not (1, 1)"}, // 128 x 128
		{first(scaledTable(weights.View{Format: "F16", DType: cuda.F16, Known: true, Shape: []int{2, 2}, Data: make([]byte, 8)})), block, "weight_scale_inv is F16"},
		{first(scaledTable(weights.View{Format: "F8_E8M0", Shape: []int{2, 2}, Data: make([]byte, 4)})), block, "weight_scale_inv is F8_E8M0"},
		{vector, block, "model.norm.weight is F8_E4M3"},
		{stray, block, "unknown to this model: model.layers.0.self_attn.q_proj.weight_scale_inv"},
		{newTable(toyNames), [2]int{0, 3}, "blocks of 0 x 3 elements are impossible"},
	}
	for _, tt := range tests {
		_, err := Bind(newToy(false), tt.src, BindOptions{Prefix: "model.", FP8Block: tt.block})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v\nwant %s", err, tt.want)
		}
	}
}

func first(t table, _ string) table { return t }

func TestModelsThatCannotBeBound(t *testing.T) {
	type unexported struct {
		//lint:ignore U1000 found by reflection
		q Linear `weight:"q"`
	}
	type misTagged struct {
		N int `weight:"n"`
	}
	var none *toy
	tests := []struct {
		model any
		want  string
	}{
		{toy{}, "a pointer to a struct, not nn.toy"},
		{none, "a pointer to a struct"},
		{nil, "a pointer to a struct"},
		{&struct {
			Q Linear `weight:"q"`
		}{}, "the model has no shape for model.q.weight"},
		{&unexported{}, "is not exported"},
		{&misTagged{}, "n is tagged as a weight and is a int"},
	}
	for _, tt := range tests {
		if _, err := Bind(tt.model, newTable(nil), BindOptions{Prefix: "model."}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%T: error %v, want %q", tt.model, err, tt.want)
		}
	}
}

func TestOutlineAgreesWithBind(t *testing.T) {
	bound, err := Bind(newToy(false), newTable(toyNames), BindOptions{Prefix: "model."})
	if err != nil {
		t.Fatal(err)
	}
	outline, elements, err := Outline(newToy(false), "model.")
	if err != nil {
		t.Fatal(err)
	}
	if outline.Parameters != bound.Parameters || len(outline.Modules) != len(bound.Modules) || len(outline.Layers) != 2 {
		t.Fatalf("outline %s, %d parameters", ids(outline.Modules), outline.Parameters)
	}
	for i, m := range bound.Modules {
		if o := outline.Modules[i]; o.ID != m.ID || o.Layer != m.Layer || 2*elements[m.ID] != m.WeightBytes() {
			t.Errorf("module %s has %d bytes; the outline says %s with %d elements", m.ID, m.WeightBytes(), o.ID, elements[m.ID])
		}
	}
}

func TestManyLayersStayInTheirOrder(t *testing.T) {
	m := newToy(true)
	for range 11 { // layers.10 sorts before layers.2 as text
		ff := dense{NewLinear(6, 4)}
		m.Layers = append(m.Layers, toyLayer{Q: NewLinear(4, 4), FF: &ff})
	}
	b, err := Bind(m, weights.Dummy(1, cuda.BF16), BindOptions{Prefix: "model."})
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range b.Layers {
		if l.Layer != i || l.ID != fmt.Sprintf("layers.%d", i) {
			t.Errorf("layer %d is %s", i, l.ID)
		}
	}
	if len(b.Layers) != 13 {
		t.Errorf("%d layers", len(b.Layers))
	}
}
