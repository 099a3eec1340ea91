package picture

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"image"
	"image/png"
	"math"
	"os"
	"strings"
	"testing"
)

// patches are all patches of a fitted picture: (grid rows * grid columns, PatchValues).
func (c Config) patches(m Image) ([]float32, error) {
	rows, columns := c.Grid(m)
	out := make([]float32, rows*columns*c.PatchValues())
	return out, c.PatchRows(out, m, 0)
}

func TestSmartResizeEqualsTheReference(t *testing.T) {
	for _, row := range reference(t).SmartResize {
		n := make([]int, len(row))
		for i, v := range row {
			if f, ok := v.(float64); ok {
				n[i] = int(f)
			}
		}
		h, w, err := smartResize(n[3], n[4], n[0], n[1], n[2])
		if want, fails := row[5].(string); fails {
			if err == nil || err.Error() != want {
				t.Errorf("%v: %d x %d, %v; the error should be %q", row[:5], w, h, err, want)
			}
		} else if err != nil || h != n[5] || w != n[6] {
			t.Errorf("%v: height %d width %d, %v", row, h, w, err)
		}
	}
}

func TestSmartResizeRefusesWhatHasNoSize(t *testing.T) {
	for _, c := range [][5]int{{0, 5, 32, 1, 100}, {5, 0, 32, 1, 100}, {-3, 4, 32, 1, 100}, {5, 5, 0, 1, 100}, {4, 400, 32, 0, 1 << 20}} {
		if h, w, err := smartResize(c[0], c[1], c[2], c[3], c[4]); err == nil {
			t.Errorf("%v is given %d x %d", c, w, h)
		}
	}
}

func tiny() Config {
	half := [3]float64{0.5, 0.5, 0.5}
	return Config{PatchSize: 16, TemporalPatchSize: 2, MergeSize: 2, MinPixels: 1024, MaxPixels: 262144, Rescale: 1.0 / 255, Mean: half, Std: half}
}

func open(t *testing.T, path string) Image {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	rgba := m.(*image.RGBA)
	out := Image{Width: rgba.Rect.Dx(), Height: rgba.Rect.Dy()}
	for i := 0; i < len(rgba.Pix); i += 4 {
		out.Pix = append(out.Pix, rgba.Pix[i:i+3]...)
	}
	return out
}

// The tiny vision model's golden.safetensors has pixel_values of these two pictures one after another, (36 + 40, 1536)
// float32; this is the SHA-256 of its bytes, so not a bit may differ.
func TestPatchesEqualTheReferencesPixelValues(t *testing.T) {
	const want = "f28f42edd5b6c8d742b719a6c081e888a863a127101fe4f4bf618b4def4bc9c3"
	c, sum := tiny(), sha256.New()
	for i, name := range []string{"testdata/picture0.png", "testdata/picture1.png"} {
		m, err := c.Fit(open(t, name), 1)
		if err != nil {
			t.Fatal(err)
		}
		rows, columns := c.Grid(m)
		if grid := [][2]int{{6, 6}, {10, 4}}[i]; grid != [2]int{rows, columns} {
			t.Errorf("%s is a grid of %d x %d, not %v", name, rows, columns, grid)
		}
		values, err := c.patches(m)
		if err != nil {
			t.Fatal(err)
		}
		if err := binary.Write(sum, binary.LittleEndian, values); err != nil {
			t.Fatal(err)
		}
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want {
		t.Errorf("pixel values have SHA-256 %s, the reference's %s", got, want)
	}
}

// Every value is computed once more from the words of the order: groups, then patches of the group, then channel, frame,
// row, column.
func TestPatchOrderForOtherConfigs(t *testing.T) {
	for _, c := range []Config{
		{PatchSize: 4, TemporalPatchSize: 1, MergeSize: 1, MinPixels: 1, MaxPixels: 1 << 20, Rescale: 1.0 / 127, Mean: [3]float64{.1, .2, .3}, Std: [3]float64{1, .5, .25}},
		{PatchSize: 3, TemporalPatchSize: 3, MergeSize: 2, MinPixels: 1, MaxPixels: 1 << 20, Rescale: 1.0 / 255, Mean: [3]float64{.4, .5, .6}, Std: [3]float64{.2, .3, .4}},
		{PatchSize: 2, TemporalPatchSize: 2, MergeSize: 3, MinPixels: 1, MaxPixels: 1 << 20, Rescale: 1, Std: [3]float64{1, 1, 1}},
	} {
		m := pattern(2*c.Factor(), 3*c.Factor())
		got, err := c.patches(m)
		if err != nil {
			t.Fatal(err)
		}
		at := 0
		for gy := range 3 {
			for gx := range 2 {
				for py := range c.MergeSize {
					for px := range c.MergeSize {
						for ch := range 3 {
							for range c.TemporalPatchSize {
								for y := range c.PatchSize {
									for x := range c.PatchSize {
										v := m.Pix[(((gy*c.MergeSize+py)*c.PatchSize+y)*m.Width+(gx*c.MergeSize+px)*c.PatchSize+x)*3+ch]
										want := (float64(v)*c.Rescale - c.Mean[ch]) / c.Std[ch]
										if math.Abs(float64(got[at])-want) > 1e-6*max(1, math.Abs(want)) {
											t.Fatalf("patch size %d: value %d is %v, not %v", c.PatchSize, at, got[at], want)
										}
										at++
									}
								}
							}
						}
					}
				}
			}
		}
		if at != len(got) {
			t.Errorf("patch size %d: %d values, not %d", c.PatchSize, len(got), at)
		}
	}
}

func TestPatchesInPiecesEqualPatchesAtOnce(t *testing.T) {
	c, m := tiny(), pattern(96, 64)
	all, err := c.patches(m)
	if err != nil {
		t.Fatal(err)
	}
	n := c.PatchValues()
	for first := 0; first < 24; first += 5 {
		piece := make([]float32, min(5, 24-first)*n)
		if err := c.PatchRows(piece, m, first); err != nil {
			t.Fatal(err)
		}
		for i, v := range piece {
			if v != all[first*n+i] {
				t.Fatalf("patch %d, value %d is %v, not %v", first+i/n, i%n, v, all[first*n+i])
			}
		}
	}
}

func TestPatchesRefuseWhatDoesNotFit(t *testing.T) {
	c := tiny()
	for name, call := range map[string]func() error{
		"not fitted":    func() error { _, err := c.patches(pattern(33, 32)); return err },
		"part of a row": func() error { return c.PatchRows(make([]float32, c.PatchValues()-1), pattern(32, 32), 0) },
		"too many rows": func() error { return c.PatchRows(make([]float32, 2*c.PatchValues()), pattern(32, 32), 3) },
		"before first":  func() error { return c.PatchRows(make([]float32, c.PatchValues()), pattern(32, 32), -1) },
		"no pixels":     func() error { _, err := c.patches(Image{32, 32, nil}); return err },
	} {
		if call() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestConfigIsCheckedByKey(t *testing.T) {
	if err := tiny().Validate(); err != nil {
		t.Fatal(err)
	}
	for key, spoil := range map[string]func(*Config){
		"patch_size":          func(c *Config) { c.PatchSize = 0 },
		"temporal_patch_size": func(c *Config) { c.TemporalPatchSize = -1 },
		"merge_size":          func(c *Config) { c.MergeSize = 1 << 20 },
		"size":                func(c *Config) { c.MinPixels = c.MaxPixels + 1 },
		"rescale_factor":      func(c *Config) { c.Rescale = math.NaN() },
		"image_std":           func(c *Config) { c.Std[1] = 0 },
		"image_mean":          func(c *Config) { c.Mean[2] = math.Inf(1) },
	} {
		c := tiny()
		spoil(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("a bad %s is answered with: %v", key, err)
		}
	}
}
