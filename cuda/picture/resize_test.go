package picture

// resize_test.go compares with what Pillow gives. testdata/vision.json has small pictures in full and the SHA-256 of
// large ones; all start from a formula, so no picture is stored.

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"testing"
)

type resizeCase struct {
	From, To [2]int // width, height
	RGB      []int
	SHA256   string
}

type expected struct {
	SmartResize  [][]any `json:"smart_resize"`
	Small, Large []resizeCase
}

func reference(t testing.TB) expected {
	t.Helper()
	data, err := os.ReadFile("testdata/vision.json")
	if err != nil {
		t.Fatal(err)
	}
	var e expected
	if err := json.Unmarshal(data, &e); err != nil {
		t.Fatal(err)
	}
	if len(e.SmartResize) < 200 || len(e.Small) < 8 || len(e.Large) < 7 {
		t.Fatalf("vision.json has %d, %d and %d cases: it is not whole", len(e.SmartResize), len(e.Small), len(e.Large))
	}
	return e
}

// pattern is the picture that a resize case starts from; the formula is in vision.json.
func pattern(w, h int) Image {
	m := Image{w, h, make([]byte, 0, w*h*3)}
	for y := range h {
		for x := range w {
			for c := range 3 {
				m.Pix = append(m.Pix, byte(7*x+13*y+29*c+x*y%251+97*((x/5+y/3)%2)))
			}
		}
	}
	return m
}

// eachTable runs a test with every kernel table of this machine and several numbers of threads.
func eachTable(t *testing.T, test func(t *testing.T, resize func(m Image, w, h int) Image)) {
	for _, name := range tables() {
		table, err := choose(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, threads := range []int{1, 2, 5} {
			t.Run(fmt.Sprintf("%s/%d", name, threads), func(t *testing.T) {
				test(t, func(m Image, w, h int) Image {
					t.Helper()
					out, err := resize(m, w, h, threads, table)
					if err != nil {
						t.Fatal(err)
					}
					return out
				})
			})
		}
	}
}

func TestSmallPicturesEqualPillow(t *testing.T) {
	cases := reference(t).Small
	eachTable(t, func(t *testing.T, resize func(m Image, w, h int) Image) {
		for _, c := range cases {
			got := resize(pattern(c.From[0], c.From[1]), c.To[0], c.To[1])
			if len(got.Pix) != len(c.RGB) {
				t.Fatalf("%v to %v has %d bytes, not %d", c.From, c.To, len(got.Pix), len(c.RGB))
			}
			for i, want := range c.RGB {
				if int(got.Pix[i]) != want {
					t.Fatalf("%v to %v: pixel %d channel %d is %d, not %d", c.From, c.To, i/3, i%3, got.Pix[i], want)
				}
			}
		}
	})
}

func TestLargePicturesEqualPillow(t *testing.T) {
	cases := reference(t).Large
	var sources []Image
	for _, c := range cases {
		sources = append(sources, pattern(c.From[0], c.From[1]))
	}
	eachTable(t, func(t *testing.T, resize func(m Image, w, h int) Image) {
		for i, c := range cases {
			got := resize(sources[i], c.To[0], c.To[1])
			if sum := sha256.Sum256(got.Pix); hex.EncodeToString(sum[:]) != c.SHA256 {
				t.Errorf("%v to %v differs from Pillow", c.From, c.To)
			}
		}
	})
}

// Sizes around the widths of registers and batches, both orders of the passes, one axis only: every table, cut into any
// number of bands, must give what the portable one gives on one thread.
func TestTablesAgreeOnOddSizes(t *testing.T) {
	plain, err := choose("portable")
	if err != nil {
		t.Fatal(err)
	}
	sides := []int{1, 2, 3, 5, 10, 11, 31, 33, 64, 97}
	eachTable(t, func(t *testing.T, resizeWith func(m Image, w, h int) Image) {
		for i, w := range sides {
			for j, h := range sides {
				m, toW, toH := pattern(w, h), sides[(3*i+j)%len(sides)], sides[(i+7*j+3)%len(sides)]
				for _, to := range [][2]int{{toW, toH}, {w, toH}, {toW, h}} {
					want, err := resize(m, to[0], to[1], 1, plain)
					if err != nil {
						t.Fatal(err)
					}
					if got := resizeWith(m, to[0], to[1]); !bytes.Equal(got.Pix, want.Pix) {
						t.Errorf("%d x %d to %v differs from the portable table", w, h, to)
					}
				}
			}
		}
	})
}

// A picture of one colour keeps it: weights sum to one within what rounding hides.
func TestFlatPicturesStayFlat(t *testing.T) {
	eachTable(t, func(t *testing.T, resize func(m Image, w, h int) Image) {
		for _, v := range []byte{0, 1, 127, 255} {
			m := Image{37, 23, bytes.Repeat([]byte{v}, 37*23*3)}
			for _, to := range [][2]int{{5, 60}, {100, 7}, {36, 24}} {
				if got := resize(m, to[0], to[1]); !bytes.Equal(got.Pix, bytes.Repeat([]byte{v}, len(got.Pix))) {
					t.Errorf("a picture of %d's to %v is no longer flat", v, to)
				}
			}
		}
	})
}

func TestImpossibleResizesAreRefused(t *testing.T) {
	for _, c := range []struct {
		m    Image
		w, h int
	}{
		{Image{}, 1, 1},
		{Image{2, 2, make([]byte, 11)}, 1, 1},
		{Image{-1, -1, make([]byte, 3)}, 1, 1},
		{pattern(2, 2), 0, 4},
		{pattern(2, 2), 4, -1},
		{pattern(2, 2), maxSide + 1, 1},
	} {
		if _, err := Resize(c.m, c.w, c.h, 1); err == nil {
			t.Errorf("a picture of %d x %d with %d bytes to %d x %d is not refused", c.m.Width, c.m.Height, len(c.m.Pix), c.w, c.h)
		}
	}
}

func TestKernelTableIsChosenByName(t *testing.T) {
	for _, name := range tables() {
		if _, err := choose(name); err != nil {
			t.Error(err)
		}
	}
	if _, err := choose("abacus"); err == nil {
		t.Error("a table that no machine has is found")
	}
}
