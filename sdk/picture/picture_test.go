package picture

// picture_test.go compares with Pillow: testdata/make.py made the files, all of them ours, and noted what Pillow sees.

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type seen struct {
	Width, Height int
	RGB           []byte // deflated
}

func expected(t testing.TB) map[string]seen {
	t.Helper()
	var e map[string]seen
	if err := json.Unmarshal(read(t, "expected.json"), &e); err != nil {
		t.Fatal(err)
	}
	if len(e) < 80 {
		t.Fatalf("expected.json has only %d pictures", len(e))
	}
	return e
}

func (s seen) pixels(t testing.TB) []byte {
	t.Helper()
	z, err := zlib.NewReader(bytes.NewReader(s.RGB))
	if err != nil {
		t.Fatal(err)
	}
	pix, err := io.ReadAll(z)
	if err != nil || len(pix) != s.Width*s.Height*3 {
		t.Fatalf("expected.json has %d bytes for %d x %d pixels: %v", len(pix), s.Width, s.Height, err)
	}
	return pix
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// bound is how far a picture may be from Pillow's: not at all, but for JPEG with detail inside its blocks. There Go and
// libjpeg round the inverse DCT differently, by one in some samples of a plane, which the conversion to RGB makes up to 3.
func bound(name string) (most int, share float64) {
	switch {
	case !strings.HasSuffix(name, ".jpg") || strings.HasPrefix(name, "blocks-"):
		return 0, 0
	case name == "l.jpg":
		return 1, 0.03
	}
	return 3, 0.05
}

func TestPicturesAreSeenAsPillowSeesThem(t *testing.T) {
	for name, want := range expected(t) {
		t.Run(name, func(t *testing.T) {
			m, err := Decode(context.Background(), read(t, name), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if m.Width != want.Width || m.Height != want.Height || len(m.Pix) != m.Width*m.Height*3 {
				t.Fatalf("%d x %d with %d bytes, not %d x %d", m.Width, m.Height, len(m.Pix), want.Width, want.Height)
			}
			differ, most := 0, 0
			for i, v := range want.pixels(t) {
				if d := max(int(v)-int(m.Pix[i]), int(m.Pix[i])-int(v)); d > 0 {
					differ, most = differ+1, max(most, d)
				}
			}
			limit, share := bound(name)
			if most > limit || float64(differ) > max(share*float64(len(m.Pix)), 2*float64(limit)) {
				t.Errorf("%d of %d bytes differ, by up to %d", differ, len(m.Pix), most)
			}
		})
	}
}

// Pictures of all eight orientations were saved from one, so turned upright they differ, and turned back they are one.
func TestOrientationsTurnEveryWay(t *testing.T) {
	m := &Image{Width: 3, Height: 2, Pix: []byte("aaabbbcccdddeeefff")}
	for orientation, want := range map[int]string{
		0: "abc def", 1: "abc def", 2: "cba fed", 3: "fed cba", 4: "def abc",
		5: "ad be cf", 6: "da eb fc", 7: "fc eb da", 8: "cf be ad", 9: "abc def",
	} {
		got := m.turned(orientation)
		var rows []string
		for y := range got.Height {
			var row []byte
			for x := range got.Width {
				row = append(row, got.row(y)[3*x])
			}
			rows = append(rows, string(row))
		}
		if s := strings.Join(rows, " "); s != want {
			t.Errorf("orientation %d shows %q, not %q", orientation, s, want)
		}
	}
}

func TestHashNamesWhatIsShown(t *testing.T) {
	decode := func(name string) *Image {
		m, err := Decode(context.Background(), read(t, name), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	if decode("rgb.png").Hash() != decode("rgb.bmp").Hash() {
		t.Error("the same pixels from PNG and BMP have two hashes")
	}
	m := decode("rgb.png")
	before := m.Hash()
	m.Pix[len(m.Pix)-1]++
	if m.Hash() == before {
		t.Error("another pixel has the same hash")
	}
	a, b := Image{2, 3, make([]byte, 18)}, Image{3, 2, make([]byte, 18)}
	if a.Hash() == b.Hash() {
		t.Error("another shape has the same hash")
	}
}
