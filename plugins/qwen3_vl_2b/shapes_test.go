package main

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/golden"
	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
)

// Other patches, frames and groups, tables of positions that are no square or have one entry, DeepStack out of order, none of
// it, and more of it than decoder layers, heads that no vector length divides, f32 and f16 weights, shards, older names: the
// numbers are those of another implementation (see make.py there).
func TestUnusualShapesAreTheReferences(t *testing.T) {
	dirs, err := filepath.Glob("testdata/shapes/*/config.json")
	if err != nil || len(dirs) != 3 {
		t.Fatalf("%d checkpoints, %v", len(dirs), err)
	}
	for _, config := range dirs {
		dir := filepath.Dir(config)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			m, b := bind(t, read(t, config), 0, checkpoint(t, dir))
			m.look.MinPixels = 1 // the pictures are as small as the model
			f := openGolden(t, dir)
			pictures, err := filepath.Glob(dir + "/*.png")
			if err != nil || len(pictures) == 0 {
				t.Fatalf("%d pictures, %v", len(pictures), err)
			}
			sc := newScene(t, m, idsOf(t, f), pictures...)
			comparePatches(t, m, f, pictures)
			compareFeatures(t, sc, f)
			comparePositions(t, sc, f)
			r := newRunner(t, m, b, nntest.Limits{Rows: 256, Sequences: 2, Positions: 256})
			how, err := r.SeeingLayers(dir, bound, func([]int32) nntest.Chunk { return sc.chunk(0, len(sc.ids)) })
			if err != nil {
				t.Error(err)
			}
			t.Log(how)
			sameBits(t, "chunked", sc.all(t, r, 1, 64), sc.all(t, r, 0, len(sc.ids)))
			sameBits(t, "in odd chunks", sc.all(t, r, 1, 7), sc.all(t, r, 0, len(sc.ids)))
		})
	}
}

func idsOf(t testing.TB, f golden.File) (ids []int32) {
	t.Helper()
	list, err := f.I64("input_ids")
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range list {
		ids = append(ids, int32(id))
	}
	return ids
}

func comparePatches(t *testing.T, m *Model, f golden.File, files []string) {
	t.Helper()
	var got []float32
	for _, file := range files {
		p := lookAt(t, m, read(t, file))
		got = append(got, p.values(0, p.patches())...)
	}
	if d := golden.Compare(got, goldenF32(t, f, "pixel_values")); d.MaxAbs > 1e-6 {
		t.Errorf("pixel_values: %+v", d)
	}
}

func compareFeatures(t *testing.T, sc *scene, f golden.File) {
	t.Helper()
	for i, got := range sc.features {
		name := "vision.features"
		if i > 0 {
			name = "vision.deepstack." + string(rune('0'+i-1))
		}
		d := golden.Compare(got, goldenF32(t, f, name))
		if d.Rel > bound {
			t.Errorf("%s: %+v", name, d)
		}
		t.Logf("%s %.1e", name, d.Rel)
	}
}

func comparePositions(t *testing.T, sc *scene, f golden.File) {
	t.Helper()
	want, err := f.I64("position_ids") // (3, rows)
	if err != nil {
		t.Fatal(err)
	}
	got, n := sc.chunk(0, len(sc.ids)).Axes, len(sc.ids)
	if len(want) != 3*n {
		t.Fatalf("%d positions for %d rows", len(want), n)
	}
	for i := range n {
		if w := []int64{want[i], want[n+i], want[2*n+i]}; !slices.EqualFunc(got[3*i:3*i+3], w, func(a int32, b int64) bool { return int64(a) == b }) {
			t.Fatalf("row %d is at %v, the reference's at %v", i, got[3*i:3*i+3], w)
		}
	}
}
