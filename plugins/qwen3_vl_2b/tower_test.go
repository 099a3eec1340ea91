package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/golden"
)

// The pictures of the full case, one behind the other, as its tensors have them.
func fullPictures(t *testing.T, m *Model) (list []*Picture) {
	t.Helper()
	for _, name := range full(t).Images {
		list = append(list, lookAt(t, m, read(t, tiny, name)))
	}
	return list
}

func TestPatchesAreTheReferences(t *testing.T) {
	m, _ := loadTiny(t, "config.json")
	var got []float32
	for _, p := range fullPictures(t, m) {
		got = append(got, p.values(0, p.patches())...)
	}
	if d := golden.Compare(got, goldenF32(t, "pixel_values")); d.MaxAbs > 1e-6 {
		t.Errorf("pixel_values: %+v", d)
	}
}

func TestFeaturesAreTheReferences(t *testing.T) {
	for _, config := range []string{"config.json", "config.v5.json"} {
		m, _ := loadTiny(t, config)
		sc := full(t).scene(t, m)
		names := []string{"vision.features", "vision.deepstack.0", "vision.deepstack.1", "vision.deepstack.2"}
		for i, name := range names {
			d := golden.Compare(sc.features[i], goldenF32(t, name))
			if d.Rel > bound {
				t.Errorf("%s: %s: %+v", config, name, d)
			}
			t.Logf("%s: %s %.1e", config, name, d.Rel)
		}
	}
}

func TestPositionsAreTheReferences(t *testing.T) {
	m, _ := loadTiny(t, "config.json")
	want, err := goldenFile(t).I64("position_ids") // (3, rows)
	if err != nil {
		t.Fatal(err)
	}
	c := full(t)
	got, n := c.scene(t, m).chunk(0, len(c.IDs)).Axes, len(c.IDs)
	if len(want) != 3*n {
		t.Fatalf("%d positions for %d rows", len(want), n)
	}
	for i := range n {
		for axis := range 3 {
			if int64(got[3*i+axis]) != want[axis*n+i] {
				t.Fatalf("row %d is at %v, the reference's at %d, %d, %d", i, got[3*i:3*i+3], want[i], want[n+i], want[2*n+i])
			}
		}
	}
}

var _ = fmt.Sprint
var _ = filepath.Join
var _ = slices.Max[[]int]
