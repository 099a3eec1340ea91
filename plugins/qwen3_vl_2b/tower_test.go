package main

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/far"
	fit "github.com/inference-pio/inference-pio/cuda/picture"
	"github.com/inference-pio/inference-pio/sdk/picture"
)

func TestPatchesAreTheReferences(t *testing.T) {
	m, _ := loadTiny(t, "config.json")
	var files []string
	for _, name := range full(t).Images {
		files = append(files, filepath.Join(tiny, name))
	}
	comparePatches(t, m, openGolden(t, tiny), files)
}

func TestFeaturesAreTheReferences(t *testing.T) {
	for _, config := range []string{"config.json", "config.v5.json"} {
		m, _ := loadTiny(t, config)
		compareFeatures(t, full(t).scene(t, m), openGolden(t, tiny))
	}
}

func TestPositionsAreTheReferences(t *testing.T) {
	m, _ := loadTiny(t, "config.json")
	comparePositions(t, full(t).scene(t, m), openGolden(t, tiny))
}

// The picture has 988 patches, whose blocks are looked at in one piece, in two, and one by one.
func TestPiecesAreTheWhole(t *testing.T) {
	m, _ := loadTiny(t, "config.json")
	file := read(t, tiny, "picture4.png")
	m.pieceRows = 1 << 20
	want, pieces := seeOn(t, m, lookAt(t, m, file), newCPU(t))
	if pieces != 1 {
		t.Errorf("%d pieces at once", pieces)
	}
	for _, tt := range []struct{ blocks, pieces int }{{2, 2}, {1, 4}, {3, 2}} {
		p := lookAt(t, m, file)
		m.pieceRows = tt.blocks * m.workOfBlock(p.patches()) / textParameters(m.cfg.Text)
		m.pieceRows++ // the division rounded down
		got, pieces := seeOn(t, m, p, newCPU(t))
		if pieces != tt.pieces {
			t.Errorf("%d pieces of %d blocks", pieces, tt.blocks)
		}
		sameBits(t, "in pieces", got, want)
	}
}

// More patches than are worked on at once, and not a multiple of them: every block and merger goes through several parts.
func TestPartsOfALargePicture(t *testing.T) {
	m, _ := loadTiny(t, "config.json")
	m.look.MaxPixels = 1 << 24
	p := painted(m, 13, 24)
	if p.patches() <= rowsAtOnce || p.patches()%64 == 0 {
		t.Fatalf("%d patches", p.patches())
	}
	want := naiveTower(m, p)
	for i, got := range see(t, m, p) {
		near(t, "feature", got, want[i], 1e-4)
	}
}

// Blocks and mergers lie on two devices; where makes no difference to the bits.
func TestAPictureIsTheSameWhereverTheTowerLies(t *testing.T) {
	m, b := bind(t, read(t, tiny, "config.json"), 0, checkpoint(t, tiny))
	if err := m.ReadPreprocessor(read(t, tiny, "preprocessor_config.json")); err != nil {
		t.Fatal(err)
	}
	cpu, file := newCPU(t), read(t, tiny, "picture2.png")
	want, _ := seeOn(t, m, lookAt(t, m, file), cpu)
	for _, pace := range far.Paces() {
		on := far.NewMachine(cpu, pace)
		here, other := on.CPU(), on.Device("far", 0, 0, 0)
		for _, where := range []string{"visual.blocks.1 visual.blocks.2", "visual visual.blocks.0 visual.deepstack_merger_list.1", "visual.blocks.3 visual.deepstack_merger_list.0"} {
			moved := 0
			for _, module := range b.Modules {
				if strings.Contains(" "+where+" ", " "+module.ID+" ") {
					put(t, other, module)
					moved++
				} else {
					module.Settle(0)
				}
			}
			if moved != strings.Count(where, " ")+1 {
				t.Fatalf("%d modules of %s", moved, where)
			}
			m.pieceRows = 1
			got, _ := seeOn(t, m, lookAt(t, m, file), here, other)
			sameBits(t, pace.String()+": "+where, got, want)
		}
		for _, err := range on.Faults() {
			t.Error(err)
		}
	}
}

// put copies a module's weights to device 1.
func put(t *testing.T, d cuda.Device, m *cuda.Module) {
	t.Helper()
	q := d.NewQueue()
	for _, w := range m.Weights {
		f := w.File()
		mem, err := d.Alloc(f.Layout.DeviceBytes(f.Rows, f.Cols), cuda.ForWeights)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { d.Free(mem) })
		there, err := f.Layout.Lay(d, mem, 0, f.Rows, f.Cols)
		if err != nil {
			t.Fatal(err)
		}
		q.Fill(there, f)
		w.Put(1, there)
	}
	if err := q.Sync(); err != nil {
		t.Fatal(err)
	}
	m.Settle(1)
}

// painted is a picture of so many rows and columns of groups: a soft disc on a shade.
func painted(m *Model, rows, columns int) *Picture {
	side := m.look.Factor()
	p := &Picture{cfg: m.look, merge: m.look.MergeSize, grid: grid{rows * m.look.MergeSize, columns * m.look.MergeSize}}
	p.image = fit.Image{Width: columns * side, Height: rows * side, Pix: make([]byte, rows*columns*side*side*3)}
	for i := range p.image.Pix {
		y, x := float64(i/3/p.image.Width)/float64(p.image.Height)-0.4, float64(i/3%p.image.Width)/float64(p.image.Width)-0.6
		p.image.Pix[i] = byte(60*(1+x) + 40*float64(i%3)*y + 90/(1+math.Exp(60*(x*x+y*y)-4)))
	}
	return p
}

func near(t *testing.T, what string, got []float32, want []float64, bound float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, not %d", what, len(got), len(want))
	}
	most, off, at := 0.0, 0.0, 0
	for i, w := range want {
		most = max(most, math.Abs(w))
		if d := math.Abs(float64(got[i]) - w); !(d <= off) {
			off, at = d, i
		}
	}
	if !(off <= bound*most) {
		t.Errorf("%s: %v of %v at %d, more than %v", what, off, most, at, bound)
	}
}

func TestFilesThatAreNoPictures(t *testing.T) {
	m, _ := loadTiny(t, "config.json")
	for what, tt := range map[string]struct {
		file []byte
		want string
	}{
		"text":      {[]byte("a picture of a cat"), "18 bytes that are not a picture"},
		"truncated": {read(t, tiny, "picture4.png")[:300], "png: "},
		"narrow":    {pngOf(t, 4, 1200), "absolute aspect ratio must be smaller than 200, got 300.0"},
	} {
		if p, err := m.Look(context.Background(), tt.file); err == nil || !strings.Contains(err.Error(), tt.want) || p != nil {
			t.Errorf("%s: %v, %v", what, p, err)
		}
	}
}

func pngOf(t *testing.T, width, height int) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := png.Encode(&file, image.NewGray(image.Rect(0, 0, width, height))); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func TestPicturesAreKnownByWhatTheyShow(t *testing.T) {
	m, _ := loadTiny(t, "config.json")
	first, again, other := lookAt(t, m, read(t, tiny, "picture0.png")), lookAt(t, m, read(t, tiny, "picture0.png")), lookAt(t, m, read(t, tiny, "picture1.png"))
	if first.Hash() != again.Hash() || first.Hash() == other.Hash() {
		t.Errorf("hashes %x, %x, %x", first.Hash(), again.Hash(), other.Hash())
	}
	if first.Tokens() != 9 || other.Tokens() != 10 {
		t.Errorf("%d and %d tokens", first.Tokens(), other.Tokens())
	}
	see(t, m, first)
	if first.image.Pix != nil || again.image.Pix == nil {
		t.Error("pixels are kept until the picture has been seen, and no longer")
	}
}

func TestVideosAreRefused(t *testing.T) {
	m, _ := loadTiny(t, "config.json")
	if err := m.CheckPrompt(caseNamed(t, "two_pictures").Prompt); err != nil {
		t.Error(err)
	}
	video := int32(m.cfg.VideoTokenID)
	for at, prompt := range [][]int32{{video, 1}, {1, video}, {1, 2, video, 3}} {
		err := m.CheckPrompt(prompt)
		if want := fmt.Sprintf("the prompt has a video (token 915 at position %d)", at); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %s", prompt, err, want)
		}
	}
}

// While a picture is resized, what was decoded and what it becomes, at most as large as the model takes pictures, both exist.
func TestDecodingCountsBothSizesOfAPicture(t *testing.T) {
	m, _ := loadTiny(t, "config.json")
	file := pngOf(t, 300, 200)
	decoded, err := picture.Cost(file, picture.Limits{})
	if err != nil || decoded < 3*300*200 {
		t.Fatalf("%d bytes to decode it, %v", decoded, err)
	}
	if got, err := m.Cost(file); err != nil || got != decoded+3*int64(m.look.MaxPixels) {
		t.Errorf("%d bytes, %v; %d of them to decode it, in up to %d pixels", got, err, decoded, m.look.MaxPixels)
	}
}
