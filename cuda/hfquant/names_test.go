package hfquant

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// counted is a tensor of the numbers 0, 1, 2, .. in bf16.
func counted(shape ...int) weights.View {
	data := []byte{}
	for i := range elements(shape) {
		b := cuda.NearestBF16(float32(i))
		data = append(data, byte(b), byte(b>>8))
	}
	return weights.View{Format: "BF16", DType: cuda.BF16, Known: true, Shape: shape, Data: data}
}

func numbersOf(t *testing.T, src weights.Source, name string) []float32 {
	t.Helper()
	v, ok := src.Get(name, nil)
	numbers, read := weights.Numbers(v)
	if !ok || !read {
		t.Fatalf("%s: %+v; there are %q", name, v, src.Names())
	}
	list := make([]float32, elements(v.Shape))
	numbers.Widen(list, 0)
	return list
}

// What mlx-lm changes is undone also where nothing is quantised: norms have one less where their layers have the sign, but that behind the delta rule.
func TestNormsHaveOneLessWhereItWasAdded(t *testing.T) {
	all := map[string]weights.View{
		"model.norm.weight": counted(2), "model.layers.0.input_layernorm.weight": counted(2), "model.layers.0.linear_attn.norm.weight": counted(2),
		"model.layers.1.self_attn.q_norm.weight": counted(2), "model.layers.0.linear_attn.conv1d.weight": counted(2, 3, 1), "lm_head.weight": counted(2, 1),
	}
	src, err := Open([]byte(`{}`), named{all})
	if err != nil {
		t.Fatal(err)
	}
	for name, first := range map[string]float32{"model.norm.weight": -1, "model.layers.0.input_layernorm.weight": -1, "model.layers.0.linear_attn.norm.weight": 0,
		"model.layers.1.self_attn.q_norm.weight": -1, "lm_head.weight": 0} {
		if got := numbersOf(t, src, name); got[0] != first || got[1] != first+1 {
			t.Errorf("%s is %v", name, got)
		}
	}
	if v, _ := src.Get("model.layers.0.linear_attn.conv1d.weight", nil); !slices.Equal(v.Shape, []int{2, 1, 3}) {
		t.Errorf("the convolution is %v", v.Shape)
	}
	all["model.layers.0.linear_attn.conv1d.weight"] = counted(2, 1, 3) // as the release has it
	if src, err = Open([]byte(`{}`), named{all}); err != nil || numbersOf(t, src, "model.norm.weight")[0] != 0 {
		t.Errorf("norms of the release are changed, %v", err)
	}
	all["model.layers.0.mlp.switch_mlp.up_proj.weight"] = counted(2, 1, 1) // the other sign
	if src, err = Open([]byte(`{}`), named{all}); err != nil || numbersOf(t, src, "model.norm.weight")[0] != -1 {
		t.Errorf("norms beside joined experts are not changed, %v", err)
	}
	for name := range all {
		if strings.Contains(name, "linear_attn") {
			delete(all, name)
		}
	}
	if src, err = Open([]byte(`{}`), named{all}); err != nil || numbersOf(t, src, "model.norm.weight")[0] != 0 {
		t.Errorf("norms of a model without the delta rule are changed, %v", err)
	}
}

// Halves of kv_b_proj are joined: of each head the rows of keys, transposed, and the rows of values.
func TestHalvesOfLatentHeadsAreJoined(t *testing.T) {
	src, err := Open([]byte(`{}`), named{map[string]weights.View{"a.embed_q.weight": counted(2, 3, 2), "a.unembed_out.weight": counted(2, 1, 3)}})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(numbersOf(t, src, "a.kv_b_proj.weight")), "[0 2 4 1 3 5 0 1 2 6 8 10 7 9 11 3 4 5]"; got != want || len(src.Names()) != 1 {
		t.Errorf("%s, not %s; %q", got, want, src.Names())
	}
	if _, err := Open([]byte(`{}`), named{map[string]weights.View{"a.embed_q.weight": counted(2, 3, 2)}}); err == nil || !strings.Contains(err.Error(), "a.embed_q.weight") {
		t.Errorf("with one half: %v", err)
	}
}

// A model that sees is refused without its tower; that of mlx-vlm is called otherwise, and its window has colours last.
func TestTowersOfMLX(t *testing.T) {
	const sees = `{"vision_config": {"depth": 1}}`
	all := map[string]weights.View{"language_model.model.norm.weight": counted(2)}
	if _, err := Open([]byte(sees), named{all}); err == nil || !strings.Contains(err.Error(), "no vision tower") {
		t.Error(err)
	}
	if _, err := Open([]byte(`{}`), named{all}); err != nil {
		t.Error(err)
	}
	all["vision_tower.patch_embed.proj.weight"] = weights.View{Format: "I16", Shape: []int{1, 1, 2, 1, 3}, Data: make([]byte, 12)} // of no size that is known
	if _, err := Open([]byte(sees), named{all}); err != nil {
		t.Error(err)
	}
	all["vision_tower.patch_embed.proj.weight"] = counted(1, 1, 2, 1, 3)
	src, err := Open([]byte(sees), named{all})
	if err != nil {
		t.Fatal(err)
	}
	const name = "visual.patch_embed.proj.weight"
	if got := fmt.Sprint(numbersOf(t, src, name)); got != "[0 3 1 4 2 5]" {
		t.Errorf("the window is %s", got)
	}
	if v, _ := src.Get(name, nil); !slices.Equal(v.Shape, []int{1, 3, 1, 2, 1}) {
		t.Errorf("the window is %v", v.Shape)
	}
}
