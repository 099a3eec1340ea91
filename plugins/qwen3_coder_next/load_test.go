package main

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
	"github.com/inference-pio/inference-pio/cuda/weights"
	"github.com/inference-pio/inference-pio/sdk"
)

// invented are weights for the published config: bf16, or with fp8 what the FP8 release has in FP8. Only a few experts of a layer have
// bytes of their own, which the others share, and so do layers if they shall: a layer has three gigabytes of experts.
type invented struct {
	fp8         bool
	own         int // experts of a layer with bytes of their own
	shareLayers bool
	made        map[string]weights.View
}

func (*invented) Names() []string { return nil }

func (w *invented) Get(name string, shape []int) (weights.View, bool) {
	pieces := strings.Split(name, ".")
	for i, p := range pieces[:len(pieces)-1] {
		switch n, number := index(pieces[i+1]); {
		case number && p == "layers" && w.shareLayers:
			pieces[i+1] = "0"
		case number && p == "experts":
			pieces[i+1] = string(rune('a' + n%w.own))
		}
	}
	dtype := cuda.BF16
	if w.fp8 && inFP8(name, shape) {
		dtype = cuda.F8E4M3
	}
	key := strings.Join(append(pieces, dtype.String()), ".")
	if name == "lm_head.weight" && w.shareLayers {
		key = "model.embed_tokens.weight." + dtype.String() // half a gigabyte less to fill
	}
	v, ok := w.made[key]
	if !ok {
		v, ok = weights.Dummy(1, dtype).Get(name, shape)
		w.made[key] = v
	}
	return v, ok
}

func index(piece string) (n int, ok bool) {
	for _, r := range piece {
		if r < '0' || r > '9' {
			return 0, false
		}
		n = 10*n + int(r-'0')
	}
	return n, piece != ""
}

// inFP8 says what an FP8 release quantizes: matrices but embeddings, head, routers, gates and b a; and their scales.
func inFP8(name string, shape []int) bool {
	for _, plain := range []string{"embed_tokens.", "lm_head.", "mlp.gate.", "shared_expert_gate.", "in_proj_ba.", "in_proj_a.", "in_proj_b."} {
		if strings.Contains(name, plain) {
			return false
		}
	}
	return len(shape) == 2
}

const (
	publishedParameters = 79_674_391_296
	expertParameters    = 3 * 512 * 2048
	sharedByAll         = 512*2048 + expertParameters + 2048 + 2*2048                             // router, shared expert and its gate, two norms
	deltaParameters     = 12288*2048 + 64*2048 + 8192*4 + 32 + 32 + 128 + 2048*4096 + sharedByAll // without experts
	gatedParameters     = 8192*2048 + 2*512*2048 + 2048*4096 + 2*256 + sharedByAll                // without experts
	deltaState          = (3*8192 + 32*128*128) * 4                                               // bytes of a sequence
	gatedState          = 2 * 2 * 256 * 4                                                         // bytes of a position
)

// The layer table that a host plans with adds up, at the published shape and for the tiny checkpoint.
func TestLayerTableAddsUp(t *testing.T) {
	c, stop, err := startPlugin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(published), 0o600); err != nil {
		t.Fatal(err)
	}
	const four = 2*151936*2048 + 2048 + 3*deltaParameters + gatedParameters + 4*512*expertParameters
	for _, tt := range []struct {
		req                            sdk.InspectRequest
		fit                            sdk.Fit
		parameters, position, sequence int64
		modules                        int
	}{
		{sdk.InspectRequest{Path: dir, Weights: "dummy"}, sdk.FitExact, publishedParameters, 12 * gatedState, 36 * deltaState, 3 + 48 + 48*512},
		{sdk.InspectRequest{Path: dir, Weights: "dummy", Layers: 4}, sdk.FitExact, four, gatedState, 3 * deltaState, 3 + 4 + 4*512},
		{sdk.InspectRequest{Path: tiny}, sdk.FitFamily, elements(t, tiny), 2 * 64 * 4, 3 * (3*256 + 4*32*32) * 4, 3 + 4 + 4*8},
	} {
		in, err := c.Inspect(t.Context(), tt.req)
		if err != nil {
			t.Fatal(err)
		}
		var bytes, position, sequence int64
		for _, m := range in.Table.Modules {
			bytes, position, sequence = bytes+m.WeightBytes, position+m.StateBytesToken, sequence+m.StateBytesSeq
		}
		if in.Fit != tt.fit || in.Table.Parameters != tt.parameters || bytes != 2*tt.parameters || position != tt.position || sequence != tt.sequence || len(in.Table.Modules) != tt.modules {
			t.Errorf("%+v: fit %v, %d parameters, %d bytes, %d a position, %d a sequence, %d modules; want %+v", tt.req, in.Fit, in.Table.Parameters, bytes, position, sequence, len(in.Table.Modules), tt)
		}
	}
}

// elements counts what the headers of a checkpoint in bf16 list.
func elements(t *testing.T, dir string) (n int64) {
	t.Helper()
	entries, err := weights.ReadHeaders(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		n += (e.To - e.From) / 2
	}
	return n
}

// Four layers of the published width, one pattern, in bf16 and in FP8: parameters, and it generates.
func TestPublishedShapeGenerates(t *testing.T) {
	src := invented{own: 1, shareLayers: true, made: map[string]weights.View{}}
	for _, src.fp8 = range []bool{false, true} {
		r, bound := load(t, []byte(published), 4, &src, nntest.Limits{Rows: 8, Sequences: 1, Positions: 64})
		if want := int64(2*151936*2048 + 2048 + 3*deltaParameters + gatedParameters + 4*512*expertParameters); bound.Parameters != want {
			t.Errorf("%d parameters, not %d", bound.Parameters, want)
		}
		chunk := nntest.Chunk{Tokens: []int32{151643, 0, 151935}}
		for range 2 {
			logits, err := r.Run(chunk)
			if err != nil {
				t.Fatal(err)
			}
			variance := 0.0
			for _, x := range logits[0] {
				variance += float64(x) * float64(x) / float64(len(logits[0]))
			}
			// Dummy weights keep the size of what passes through, and the last norm doubles it: 1 + w with w near 1.
			if len(logits[0]) != 151936 || !(variance > 2 && variance < 8) {
				t.Errorf("%d logits with variance %v", len(logits[0]), variance)
			}
			chunk = nntest.Chunk{Tokens: []int32{nntest.Argmax(logits[0])}, Form: nn.Decode}
		}
	}
}

// edited opens the tiny checkpoint with tensors added, replaced or (with a nil entry) removed.
type edited struct {
	weights.Source
	changes map[string]*weights.View
}

func (e edited) Get(name string, shape []int) (weights.View, bool) {
	if v, ok := e.changes[name]; ok {
		if v == nil {
			return weights.View{}, false
		}
		return *v, true
	}
	return e.Source.Get(name, shape)
}

func (e edited) Names() []string {
	names := slices.DeleteFunc(slices.Clone(e.Source.Names()), func(n string) bool { _, changed := e.changes[n]; return changed })
	for n, v := range e.changes {
		if v != nil {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names
}

func bf16(shape ...int) *weights.View {
	n := 2
	for _, d := range shape {
		n *= d
	}
	return &weights.View{Format: "BF16", DType: cuda.BF16, Known: true, Shape: shape, Data: make([]byte, n)}
}

// bindTiny binds the tiny model, with keys of its config changed, to its checkpoint, with tensors changed.
func bindTiny(t *testing.T, keys map[string]string, changes map[string]*weights.View) (*Model, error) {
	t.Helper()
	config := string(read(t, tiny, "config.json"))
	for from, to := range keys {
		if !strings.Contains(config, from) {
			t.Fatalf("config.json has no %s", from)
		}
		config = strings.Replace(config, from, to, 1)
	}
	c, err := ParseConfig([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	src := edited{checkpoint(t, tiny), changes}
	m := New(c, 0, spelling(c, has(src)))
	_, err = nn.Bind(m, m.Respell(src), nn.BindOptions{Prefix: "model.", Ignore: m.IgnoreTensor})
	return m, err
}

func TestMissingExtraAndMisshapenTensorsAreOneError(t *testing.T) {
	_, err := bindTiny(t, nil, map[string]*weights.View{
		"model.layers.3.self_attn.q_proj.weight":         nil,
		"model.layers.1.linear_attn.A_log":               nil,
		"model.layers.0.linear_attn.conv1d.weight":       bf16(256, 4),
		"model.layers.2.linear_attn.in_proj_qkvz.weight": bf16(320, 128),
		"model.layers.1.mlp.experts.7.down_proj.weight":  bf16(64, 128),
		"model.layers.0.linear_attn.in_proj_qkvz.bias":   bf16(384),
		"model.layers.2.mlp.experts.8.down_proj.weight":  bf16(128, 64),
		"model.layers.2.mlp.shared_expert_gate.weight":   {Format: "I8", Shape: []int{1, 128}, Data: make([]byte, 128)},
		"mtp.fc.weight": bf16(128, 256), // known, and not needed
		"model.layers.3.self_attn.rotary_emb.inv_freq": bf16(8),
	})
	var report *nn.BindError
	if !errors.As(err, &report) {
		t.Fatalf("error %v", err)
	}
	want := nn.BindError{
		Missing: []string{"model.layers.1.linear_attn.A_log (4)", "model.layers.3.self_attn.q_proj.weight (512, 128)"},
		Shapes: []string{"model.layers.0.linear_attn.conv1d.weight is (256, 4), not (256, 1, 4)",
			"model.layers.1.mlp.experts.7.down_proj.weight is (64, 128), not (128, 64)",
			"model.layers.2.linear_attn.in_proj_qkvz.weight is (320, 128), not (384, 128)"},
		Types: []string{"model.layers.2.mlp.shared_expert_gate.weight is I8"},
		Extra: []string{"model.layers.0.linear_attn.in_proj_qkvz.bias", "model.layers.2.mlp.experts.8.down_proj.weight"},
	}
	if err.Error() != want.Error() {
		t.Errorf("error %s\nwant  %s", err, want.Error())
	}
}

// A tied head is the embedding, and a copy of it in the file is not read; an untied one must be there.
func TestHeads(t *testing.T) {
	tied := map[string]string{`"tie_word_embeddings": false`: `"tie_word_embeddings": true`}
	for name, stray := range map[string]*weights.View{"without a copy": nil, "with a copy": bf16(7, 7)} { // not even of the right shape
		m, err := bindTiny(t, tied, map[string]*weights.View{"lm_head.weight": stray})
		if err != nil || m.Head.W != m.Embed.W {
			t.Errorf("%s: head %p, embedding %p, %v", name, m.Head.W, m.Embed.W, err)
		}
	}
	if _, err := bindTiny(t, nil, map[string]*weights.View{"lm_head.weight": nil}); err == nil || !strings.Contains(err.Error(), "it lacks lm_head.weight (960, 128)") {
		t.Errorf("error %v", err)
	}
}

// The spelling is seen in the first layer that has a delta rule, for each of the two matrices.
func TestSpellingIsSeenInTheFirstDeltaLayer(t *testing.T) {
	c, err := ParseConfig(with(t, `"num_hidden_layers": 3, "layer_types": ["full_attention", "linear_attention", "linear_attention"]`))
	if err != nil {
		t.Fatal(err)
	}
	const first = "model.layers.1.linear_attn."
	for want, names := range map[Spelling][]string{
		{}:                               {first + "in_proj_qkvz.weight", first + "in_proj_ba.weight", "model.layers.0.linear_attn.in_proj_qkv.weight"},
		{SplitQKVZ: true}:                {first + "in_proj_qkv.weight", first + "in_proj_ba.weight"},
		{SplitBA: true}:                  {first + "in_proj_qkvz.weight", first + "in_proj_b.weight"},
		{SplitQKVZ: true, SplitBA: true}: {first + "in_proj_qkv.weight", first + "in_proj_b.weight"},
	} {
		if got := spelling(c, func(name string) bool { return slices.Contains(names, name) }); got != want {
			t.Errorf("%v: %+v", names, got)
		}
	}
	if got := spelling(c, nil); got != (Spelling{}) {
		t.Errorf("without a checkpoint %+v", got)
	}
	if got := slices.Sorted(maps.Keys(weightNames(t, c, Spelling{SplitQKVZ: true, SplitBA: true}))); !slices.Contains(got, "in_proj_z") || slices.Contains(got, "in_proj_qkvz") {
		t.Errorf("the split model asks for %v", got)
	}
}

// weightNames is the projections that a model asks a checkpoint for.
func weightNames(t *testing.T, c Config, sp Spelling) map[string]bool {
	t.Helper()
	asked := recorder{weights.Dummy(1, cuda.BF16), map[string]bool{}}
	c.HiddenSize, c.VocabSize, c.NumExperts = 8, 8, 0
	m := New(c, 0, sp)
	if _, err := nn.Bind(m, asked, nn.BindOptions{Prefix: "model."}); err != nil {
		t.Fatal(err)
	}
	return asked.names
}

type recorder struct {
	weights.Source
	names map[string]bool
}

func (r recorder) Get(name string, shape []int) (weights.View, bool) {
	if _, rest, ok := strings.Cut(name, "linear_attn."); ok {
		r.names[strings.TrimSuffix(rest, ".weight")] = true
	}
	return r.Source.Get(name, shape)
}
