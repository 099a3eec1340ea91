package nntest

import (
	"slices"
	"strings"
	"testing"
)

// A row is compared with itself, however large others are; what is not rounded has the smaller bound; nothing is forgiven for being no number.
func TestEachLayerIsComparedRowByRow(t *testing.T) {
	largeAndSmall := func(name string, off float32) shown { return shown{name, []float32{1000, -3, 1 + off, 0.5}, 2} }
	for _, c := range []struct {
		name string
		off  float32
		bad  bool
	}{
		{"layer.0", 0x1p-8, false}, {"layer.0", 0x1p-6, true}, {"logits", 0x1p-8, true}, {"final.0", 1e-5, false}, {"embeddings.0", 1e-3, true},
	} {
		want, got := []shown{largeAndSmall("", 0), largeAndSmall("", 0)}, []shown{largeAndSmall("layer.7", 0), largeAndSmall(c.name, c.off)}
		worst, most, err := eachByItself(want, got)
		if worst != c.name || !(most > 0) || (err != nil) != c.bad || err != nil && !strings.Contains(err.Error(), c.name+": row 1 of 2") {
			t.Errorf("%s %g apart: %s %g, %v", c.name, c.off, worst, most, err)
		}
	}
	zero := float32(0)
	if _, _, err := eachByItself([]shown{{"layer.0", []float32{1, 1}, 1}}, []shown{{"layer.0", []float32{1, zero / zero}, 1}}); err == nil {
		t.Error("what is no number is let pass")
	}
	if _, _, err := eachByItself(make([]shown, 2), make([]shown, 1)); err == nil {
		t.Error("a tensor that is missing is let pass")
	}
	if off := byRow(shown{"", []float32{4, 2}, 1}, shown{"", []float32{3, 2}, 1}); !slices.Equal(off, []float64{0.25, 0}) || mean(off) != 0.125 {
		t.Errorf("rows are %v apart, %v in the mean", off, mean(off))
	}
}

// A device is asked once for what a model shows twice in a row.
func TestWhatIsShownTwiceIsOne(t *testing.T) {
	list := show(nil, "embeddings.0", []float32{1, 2}, 2)
	list = show(list, "input.0", []float32{1, 2}, 2)
	list = show(list, "layer.0", []float32{1, 3}, 2)
	list = show(list, "input.1", []float32{1, 2}, 2) // what was shown before that is another
	var names []string
	for _, s := range list {
		names = append(names, s.name)
	}
	if !slices.Equal(names, []string{"embeddings.0", "layer.0", "input.1"}) {
		t.Errorf("shown are %v", names)
	}
}
