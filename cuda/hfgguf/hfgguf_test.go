package hfgguf

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/weights"
	"github.com/inference-pio/inference-pio/internal/gguf/gguftest"
)

// count is a tensor of numbers from a first one on.
func count(name string, first int, shape ...int) gguftest.Tensor {
	numbers := make([]float32, product(shape))
	for i := range numbers {
		numbers[i] = float32(first + i)
	}
	return gguftest.F32(name, shape, numbers...)
}

// numbers are those of a tensor, whatever they are kept as.
func numbers(t *testing.T, m *Model, name string) []float32 {
	t.Helper()
	v, ok := m.Source.Get(name, nil)
	if !ok {
		t.Fatalf("there is no %s among %q", name, m.Source.Names())
	}
	rows, _, ok := plain(v)
	if !ok {
		t.Fatalf("%s is %+v", name, v)
	}
	list := make([]float32, product(v.Shape))
	rows.Widen(list, 0)
	return list
}

func upTo(from, to int) (list []float32) {
	for i := from; i < to; i++ {
		list = append(list, float32(i))
	}
	return list
}

// keys are those that every file of an architecture has.
func keys(arch string, more map[string]any) map[string]any {
	k := map[string]any{"general.architecture": arch}
	for key, v := range map[string]any{"embedding_length": uint32(4), "block_count": uint32(2), "context_length": uint32(64), "attention.head_count": uint32(2),
		"attention.head_count_kv": uint32(1), "attention.key_length": uint32(3), "attention.layer_norm_rms_epsilon": float32(1e-6)} {
		k[arch+"."+key] = v
	}
	for key, v := range more {
		k[arch+"."+key] = v
	}
	return k
}

// arch is an architecture with all rules that are shared.
var arch = Architecture{Name: "some",
	Config: func(k *Keys) Config {
		c := k.Decoder("SomeForCausalLM", "some")
		if k.Has("expert_count") {
			c.Mixture(k)
		}
		return c
	},
	Rules: func(k *Keys) Rules {
		return With(Embeddings("model."), Norms("model.", "blk.N.ffn_norm.weight"), k.Attention("model."), DenseMLP("model."), Mixture("model.", "shared")).Only(k.Layers())
	},
}

func open(t *testing.T, a Architecture, f gguftest.File) (*Model, error) {
	t.Helper()
	m, err := a.Open(f.Write(t, "m.gguf"))
	if err == nil {
		t.Cleanup(func() { m.Checkpoint.Close() })
	}
	return m, err
}

func opened(t *testing.T, a Architecture, f gguftest.File) (*Model, map[string]any) {
	t.Helper()
	m, err := open(t, a, f)
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(m.Config, &c); err != nil {
		t.Fatal(err)
	}
	return m, c
}

var embedding = count("token_embd.weight", 0, 5, 4)

func TestNumbersOfAnyType(t *testing.T) {
	_, c := opened(t, arch, gguftest.File{Tensors: []gguftest.Tensor{embedding}, Keys: keys("some", map[string]any{
		"attention.head_count": []int32{2, 2}, "feed_forward_length": []int32{0, 6}, "attention.head_count_kv": int32(1), "rope.freq_base": uint32(10000)})})
	for key, want := range map[string]any{"num_attention_heads": 2.0, "num_key_value_heads": 1.0, "intermediate_size": 6.0, "vocab_size": 5.0, "rope_theta": 10000.0,
		"rms_norm_eps": 1e-6, "tie_word_embeddings": true, "num_hidden_layers": 2.0, "attention_bias": false} {
		if c[key] != want {
			t.Errorf("%s is %v, not %v", key, c[key], want)
		}
	}
	_, c = opened(t, arch, gguftest.File{Tensors: []gguftest.Tensor{embedding, count("output.weight", 0, 5, 4)}, Keys: keys("some", map[string]any{
		"nextn_predict_layers": uint32(1), "rope.scaling.type": "yarn", "rope.scaling.factor": float32(4), "rope.scaling.original_context_length": uint32(16),
		"rope.scaling.yarn_beta_fast": float32(31.5)})})
	if got, want := fmt.Sprint(c["rope_scaling"], " ", c["num_hidden_layers"], " ", c["tie_word_embeddings"]),
		"map[beta_fast:31.5 factor:4 original_max_position_embeddings:16 rope_type:yarn] 1 false"; got != want {
		t.Errorf("%s, not %s", got, want)
	}
}

// All that is wrong is told at once, by its key or tensor.
func TestWhatIsWrongIsTold(t *testing.T) {
	k := keys("some", map[string]any{"attention.head_count": []int32{2, 3}, "context_length": "long", "rope.scaling.type": "longrope", "expert_count": uint32(1)})
	delete(k, "some.embedding_length")
	_, err := open(t, arch, gguftest.File{Keys: k, Tensors: []gguftest.Tensor{count("blk.0.attn_qkv.weight", 0, 11, 4), count("blk.0.ffn_gate_exps.weight", 0, 3, 4)}})
	for _, want := range []string{"m.gguf: ", "key some.embedding_length is missing", "key some.attention.head_count is 2 for one layer and 3 for another", `key some.context_length is "long"`,
		`key some.rope.scaling.type is "longrope", which is not built`, "tensor token_embd.weight is missing", "[11 4] does not hold [9 3 3] rows of model.layers.0.self_attn.q_proj.weight",
		"[3 4] does not hold experts' model.layers.0.mlp.experts.E.gate_proj.weight", "key some.expert_used_count is missing"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %q", err, want)
		}
	}
	_, err = open(t, arch, gguftest.File{Keys: keys("other", nil)})
	if other := (*ErrOther)(nil); !errors.As(err, &other) || other.Has != "other" || other.Want != "some" {
		t.Errorf("another architecture: %v", err)
	}
}

func TestJoinedRows(t *testing.T) {
	m, c := opened(t, arch, gguftest.File{Keys: keys("some", map[string]any{"attention.value_length": uint32(2)}), Tensors: []gguftest.Tensor{embedding,
		count("blk.1.attn_qkv.weight", 0, 6+3+2, 4), count("blk.1.attn_qkv.bias", 0, 6+3+2), count("blk.0.attn_qkv.bias", 0, 11)}})
	at := 0
	for _, part := range []struct {
		name string
		rows int
	}{{"q_proj", 6}, {"k_proj", 3}, {"v_proj", 2}} {
		name := "model.layers.1.self_attn." + part.name
		if got := numbers(t, m, name+".weight"); !slices.Equal(got, upTo(4*at, 4*(at+part.rows))) {
			t.Errorf("%s.weight is %v", name, got)
		}
		if got := numbers(t, m, name+".bias"); !slices.Equal(got, upTo(at, at+part.rows)) {
			t.Errorf("%s.bias is %v", name, got)
		}
		at += part.rows
	}
	if c["attention_bias"] != true {
		t.Error("a file with biases is read as if it had none")
	}
}

func TestExpertsAreCut(t *testing.T) {
	m, _ := opened(t, arch, gguftest.File{Keys: keys("some", nil), Tensors: []gguftest.Tensor{embedding,
		count("blk.0.ffn_gate_up_exps.weight", 0, 3, 2*2, 4), count("blk.0.ffn_down_exps.weight", 0, 3, 4, 2)}})
	for e := range 3 {
		for i, part := range []string{"gate_proj", "up_proj"} {
			if got := numbers(t, m, fmt.Sprintf("model.layers.0.mlp.experts.%d.%s.weight", e, part)); !slices.Equal(got, upTo(16*e+8*i, 16*e+8*i+8)) {
				t.Errorf("%s of expert %d is %v", part, e, got)
			}
		}
		if got := numbers(t, m, fmt.Sprintf("model.layers.0.mlp.experts.%d.down_proj.weight", e)); !slices.Equal(got, upTo(8*e, 8*e+8)) {
			t.Errorf("down_proj of expert %d is %v", e, got)
		}
	}
}

// Tensors without elements take no bytes of a file, and are cut into no more than a model has; of what is wrong so often the first is told.
func TestExpertsThatAreEmpty(t *testing.T) {
	f := gguftest.File{Keys: keys("some", map[string]any{"block_count": uint32(1000)}), Tensors: []gguftest.Tensor{embedding}}
	for i := range weights.MaxCut/weights.MaxExperts + 20 {
		f.Tensors = append(f.Tensors, gguftest.F32(fmt.Sprintf("blk.%d.ffn_down_exps.weight", i), []int{weights.MaxExperts, 0, 2}))
	}
	_, err := arch.Open(f.Write(t, "m.gguf"))
	if err == nil || !strings.Contains(err.Error(), "more than 262144 matrices of experts are in the file") || !strings.HasSuffix(err.Error(), "and 4 more") {
		t.Errorf("%.500v", err)
	}
}

// The slices of a window are of one shape, whichever of its sides are as long as another's.
func TestSlicesOfOneShape(t *testing.T) {
	for _, shape := range [][]int{{2, 3, 4, 8}, {2, 3, 8, 4}, {2, 4, 3, 8}, {3, 2, 4, 8}, {2, 3, 32}, {2, 3, 4, 7}} {
		a := Architecture{Name: "some", Config: func(*Keys) Config { return Config{} }, Rules: func(*Keys) Rules { return nil }, Finish: func(_ *Keys, t *Table) {
			first, _ := t.Take("a")
			second, _ := t.Take("b")
			t.Slices("window", first, second)
		}}
		path := gguftest.File{Keys: map[string]any{"general.architecture": "some"}, Tensors: []gguftest.Tensor{count("a", 0, 2, 3, 4, 8), count("b", 0, shape...)}}.Write(t, "m.gguf")
		m, err := a.Open(path)
		if same := slices.Equal(shape, []int{2, 3, 4, 8}); (err == nil) != same {
			t.Errorf("%v: %v", shape, err)
		}
		if err == nil {
			numbers(t, m, "window")
			m.Checkpoint.Close()
		}
	}
}

func TestLayersWithoutARouterAreDense(t *testing.T) {
	_, c := opened(t, arch, gguftest.File{Tensors: []gguftest.Tensor{embedding, count("blk.1.ffn_gate_inp.weight", 0, 3, 4)}, Keys: keys("some", map[string]any{
		"block_count": uint32(3), "expert_count": uint32(3), "expert_used_count": uint32(1), "expert_feed_forward_length": uint32(2)})})
	if got := fmt.Sprint(c["mlp_only_layers"]); got != "[0 2]" {
		t.Errorf("dense are %s", got)
	}
}

// A tensor that no rule knows keeps its name, so that Bind tells it; those of layers that guess further tokens are left out.
func TestTensorsThatNobodyKnows(t *testing.T) {
	m, _ := opened(t, arch, gguftest.File{Keys: keys("some", map[string]any{"nextn_predict_layers": uint32(1)}), Tensors: []gguftest.Tensor{embedding,
		count("blk.0.attn_sinks.weight", 0, 2), count("blk.1.attn_norm.weight", 0, 4), count("blk.1.nextn.enorm.weight", 0, 4), count("rope_freqs.weight", 0, 2)}})
	if got := m.Source.Names(); !slices.Equal(got, []string{"blk.0.attn_sinks.weight", "model.embed_tokens.weight"}) {
		t.Errorf("the tensors are %q", got)
	}
}

// The halves of a latent attention's matrix, in any types, are one: worked out by the definition.
func TestHeadsOfLatents(t *testing.T) {
	const heads, latent, key, value = 3, 4, 2, 5
	keys, values := count("k", 0, heads, latent, key), count("v", 1000, heads, value, latent)
	half := keys
	half.Type, half.Data = 1, nil
	for i := range heads * latent * key {
		half.Data = binary.LittleEndian.AppendUint16(half.Data, halfOf(float32(i)))
	}
	for _, k := range []gguftest.Tensor{keys, half} {
		m, _ := opened(t, Architecture{Name: "some", Config: func(*Keys) Config { return Config{} }, Rules: func(*Keys) Rules { return nil },
			Finish: func(_ *Keys, t *Table) {
				a, _ := t.Take("k")
				b, _ := t.Take("v")
				t.HeadsOf("joined", a, b)
			}}, gguftest.File{Keys: map[string]any{"general.architecture": "some"}, Tensors: []gguftest.Tensor{k, values}})
		v, _ := m.Source.Get("joined", nil)
		if v.DType != cuda.F32 || !slices.Equal(v.Shape, []int{heads * (key + value), latent}) {
			t.Fatalf("%+v", v)
		}
		got := numbers(t, m, "joined")
		for h := range heads {
			for r := range key + value {
				for c := range latent {
					want := float32(h*latent*key + c*key + r)
					if r >= key {
						want = float32(1000 + h*value*latent + (r-key)*latent + c)
					}
					if x := got[(h*(key+value)+r)*latent+c]; x != want {
						t.Fatalf("head %d, row %d, column %d is %v, not %v", h, r, c, x, want)
					}
				}
			}
		}
		part := make([]float32, 2*latent) // from the middle of a head on
		v.Coded.Widen(part, key+value+1)
		if !slices.Equal(part, got[(key+value+1)*latent:(key+value+3)*latent]) {
			t.Errorf("rows from the middle on are %v", part)
		}
	}
}

// The same of halves in blocks, as files in Q8_0 and Q4_0 have them: any numbers of either are where the definition has them.
func TestHeadsOfLatentsInBlocks(t *testing.T) {
	const heads, latent, key, value = 2, 32, 64, 3
	inBlocks := func(name string, kind uint32, bytes int, shape ...int) gguftest.Tensor {
		x := gguftest.Tensor{Name: name, Type: kind, Shape: shape}
		for i := range product(shape) / 32 {
			x.Data = binary.LittleEndian.AppendUint16(x.Data, halfOf(float32(1+i%7)))
			for j := range bytes - 2 {
				x.Data = append(x.Data, byte(i*31+j*17))
			}
		}
		return x
	}
	for _, kind := range []struct {
		number uint32
		bytes  int
	}{{8, 34}, {2, 18}} {
		tensors := []gguftest.Tensor{inBlocks("k", kind.number, kind.bytes, heads, latent, key), inBlocks("v", kind.number, kind.bytes, heads, value, latent)}
		a := Architecture{Name: "some", Config: func(*Keys) Config { return Config{} }, Rules: func(*Keys) Rules { return nil }, Finish: func(_ *Keys, t *Table) {
			t.HeadsOf("joined", t.views["k"], t.views["v"])
		}}
		m, _ := opened(t, a, gguftest.File{Keys: map[string]any{"general.architecture": "some"}, Tensors: tensors})
		keys, values, got := numbers(t, m, "k"), numbers(t, m, "v"), numbers(t, m, "joined")
		for h := range heads {
			for r := range key + value {
				for c := range latent {
					want := keys[(h*latent+c)*key+min(r, key-1)]
					if r >= key {
						want = values[(h*value+r-key)*latent+c]
					}
					if x := got[(h*(key+value)+r)*latent+c]; x != want {
						t.Fatalf("type %d: head %d, row %d, column %d is %v, not %v", kind.number, h, r, c, x, want)
					}
				}
			}
		}
	}
}

// halfOf is a small whole number in half precision.
func halfOf(x float32) uint16 {
	b := math.Float32bits(x)
	if x == 0 {
		return 0
	}
	return uint16(b>>23-112)<<10 | uint16(b>>13&1023)
}

func TestTowersAreFoundBesideTheirModels(t *testing.T) {
	f := gguftest.File{}
	path := f.Write(t, "model-Q4_K_M.gguf")
	if _, err := TowerOf(path); err == nil || !strings.Contains(err.Error(), "mmproj-*.gguf, which is not beside it") {
		t.Error(err)
	}
	dir := strings.TrimSuffix(path, "model-Q4_K_M.gguf")
	for _, name := range []string{"mmproj-Q8_0.gguf", "other.mmproj.gguf", "mmproj-F16.gguf", "mmproj-model-BF16.gguf", "model-Q4_K_M.mmproj.gguf"} {
		writeFile(t, dir+name)
		want := dir + name
		if name == "other.mmproj.gguf" {
			want = dir + "mmproj-Q8_0.gguf"
		}
		if got, err := TowerOf(path); err != nil || got != want {
			t.Errorf("after %s it is %s, %v", name, got, err)
		}
	}
}

func writeFile(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("GGUF"), 0o600); err != nil {
		t.Fatal(err)
	}
}
