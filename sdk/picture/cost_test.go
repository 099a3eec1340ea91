package picture

// cost_test.go compares what Cost says with what the decoders allocate in all, of which they hold the most at the end.

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/color/palette"
	"image/gif"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/image/bmp"
)

// allocated is how many bytes f allocates.
func allocated(f func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

func TestCostIsWhatDecodingTakes(t *testing.T) {
	files := map[string][]byte{}
	add := func(name string, encode func(w *bytes.Buffer) error) {
		var b bytes.Buffer
		if err := encode(&b); err != nil {
			t.Fatal(err)
		}
		files[name] = b.Bytes()
	}
	const side = 1500
	box := image.Rect(0, 0, side, side)
	grey, deep, colours := image.NewGray(box), image.NewNRGBA64(box), image.NewPaletted(box, palette.Plan9)
	clear := image.NewNRGBA(box)
	for i := range side {
		clear.Set(i, i, color.NRGBA{1, 2, 3, 100})
		deep.Set(i, i, color.NRGBA64{1, 2, 3, 100})
	}
	for _, c := range []struct {
		name string
		m    image.Image
	}{{"grey", grey}, {"deep", deep}, {"colours", colours}, {"clear", clear}} {
		add(c.name+".png", func(w *bytes.Buffer) error { return png.Encode(w, c.m) })
		add(c.name+".jpeg", func(w *bytes.Buffer) error { return jpeg.Encode(w, c.m, nil) })
		add(c.name+".gif", func(w *bytes.Buffer) error { return gif.Encode(w, c.m, nil) })
	}
	add("clear.bmp", func(w *bytes.Buffer) error { return bmp.Encode(w, clear) })
	published, err := filepath.Glob("testdata/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range published {
		if data, err := os.ReadFile(path); err == nil {
			files[filepath.Base(path)] = data
		}
	}
	tried := 0
	for name, data := range files {
		cost, err := Cost(data, Limits{})
		if err != nil {
			continue // what Decode refuses too
		}
		took := allocated(func() { _, err = Decode(context.Background(), data, Limits{}) })
		if err != nil {
			continue
		}
		tried++
		// What the decoders of compressed streams throw away on the way is counted in took and not held at once.
		if slack := int64(1 << 20); took > cost+slack {
			t.Errorf("%s: %d bytes were allocated; Cost says %d", name, took, cost)
		}
		if len(data) > 1000 && filepath.Ext(name) != ".webp" && cost > 1<<22 && cost > 4*took {
			t.Errorf("%s: Cost says %d; decoding took %d", name, cost, took)
		}
	}
	if tried < 13 {
		t.Errorf("only %d files were decoded", tried)
	}
}

// What Decode refuses by its head costs nothing, because there is no cost to keep memory for.
func TestCostRefusesWhatDecodeRefuses(t *testing.T) {
	var file bytes.Buffer
	if err := png.Encode(&file, image.NewGray(image.Rect(0, 0, 100, 100))); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		data []byte
		l    Limits
	}{{file.Bytes(), Limits{Pixels: 9999}}, {file.Bytes(), Limits{Bytes: 10}}, {[]byte("no picture"), Limits{}}, {file.Bytes()[:20], Limits{}}} {
		_, costs := Cost(c.data, c.l)
		_, decodes := Decode(context.Background(), c.data, c.l)
		if costs == nil || decodes == nil || costs.Error() != decodes.Error() {
			t.Errorf("Cost says %v, Decode %v", costs, decodes)
		}
	}
}
