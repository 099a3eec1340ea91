package main

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
)

// The decoder in Q8_0 and the tower in BF16, in two files as llama.cpp's converter writes them: what is seen is the reference's, and each layer
// is as near as weights within 1/254 of the largest of 32 allow. How many pixels a picture may have is not in the files: it is the folder's here.
func TestInGGUF(t *testing.T) {
	file, src := nntest.OpenGGUF(t, &inGGUF, "testdata/gguf/tiny-Q8_0.gguf")
	m, b := bind(t, file.Config, 0, src)
	if err := m.ReadPreprocessor(file.Preprocessor); err != nil {
		t.Fatal(err)
	}
	fromFile := m.look
	if err := m.ReadPreprocessor(read(t, tiny, "preprocessor_config.json")); err != nil {
		t.Fatal(err)
	}
	fromFile.MinPixels, fromFile.MaxPixels = m.look.MinPixels, m.look.MaxPixels
	if fromFile != m.look {
		t.Errorf("pictures are made to %+v, by the folder to %+v", fromFile, m.look)
	}
	r := newRunner(t, m, b, nntest.Limits{Rows: 1024, Sequences: 1, Positions: 1024})
	sc := full(t).scene(t, m)
	compareFeatures(t, sc, openGolden(t, tiny))
	how, err := r.SeeingLayers(tiny, 0.05, func([]int32) nntest.Chunk { return sc.chunk(0, len(sc.ids)) })
	if err != nil {
		t.Error(err)
	}
	t.Log(how)
}

func FuzzGGUF(f *testing.F) { plugin.FuzzFile(f) }
