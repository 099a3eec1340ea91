package main

import (
	"regexp"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
	"github.com/inference-pio/inference-pio/cuda/serve"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

var number = regexp.MustCompile(`\.[0-9]+\.`)

// invented are weights of which those that differ only in the number of their layer or block have the same bytes, so that the whole
// model fits in the memory of one of each.
func invented() weights.Source {
	return nntest.Alike(func(name string) string { return number.ReplaceAllString(name, ".0.") }, nntest.InFP8(nil))
}

// The published model at its full depth sees a small picture and says three tokens.
func TestThePublishedShapeGenerates(t *testing.T) {
	generates(t, []byte(published), 2_127_532_032, 28, 2048)
}

// Qwen3-VL-4B-Instruct, which is wider and deeper behind the same tower.
func TestQwen3VLOf4B(t *testing.T) {
	config := with(t, `"text_config.hidden_size": 2560, "text_config.intermediate_size": 9728, "text_config.num_attention_heads": 32, "text_config.num_hidden_layers": 36,
		"vision_config.out_hidden_size": 2560`)
	generates(t, config, 4_437_815_808, 36, 2560)
}

func generates(t *testing.T, config []byte, parameters int64, layers, hidden int) {
	m, b := bind(t, config, 0, invented())
	if b.Parameters != parameters || len(b.Layers) != layers {
		t.Errorf("%d parameters in %d layers", b.Parameters, len(b.Layers))
	}
	m.look.MinPixels = 1024 // 256 x 256 pixels would take a while
	p := painted(m, 1, 2)
	sc := &scene{m: m, features: see(t, m, p), placed: []serve.Placed{{At: 1, Picture: p}}, ids: []int32{151652, 151655, 151655, 151653, 3838}}
	for i, f := range sc.features {
		if len(f) != 2*hidden || slices.ContainsFunc(f, func(x float32) bool { return x != x || x > 1e9 || x < -1e9 }) {
			t.Errorf("feature %d has %d elements, or some that are no numbers", i, len(f))
		}
	}
	r := newRunner(t, m, b, nntest.Limits{Rows: 16, Sequences: 1, Positions: 64})
	if ids := sc.generate(t, r, 16, 3); len(ids) != 3 {
		t.Errorf("%v", ids)
	}
}

// What a picture of 1024 x 1024 needs for its activations, as the README says.
func TestActivationsOfAPicture(t *testing.T) {
	m, _ := bind(t, []byte(published), 0, invented())
	p := painted(m, 32, 32)
	s := cuda.NewStep([]cuda.Device{newCPU(t)}, nil, nil)
	for piece := range 2 {
		sizes, err := s.Measure(func(s *cuda.Step) {
			x := cuda.Tensor{}
			if piece > 0 {
				x = s.Empty(p.patches(), 1024)
			}
			m.See(s, p, x, piece)
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("piece %d: %d bytes for each patch", piece, sizes.Step/int64(p.patches()))
		if each := sizes.Step / int64(p.patches()); each > 60_000 {
			t.Errorf("%d bytes for each patch", each)
		}
	}
}
