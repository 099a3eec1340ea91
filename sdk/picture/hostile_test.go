package picture

// hostile_test.go: files that lie, end too early or ask for too much. None may cost memory before it is refused, panic, or
// pass for a picture.

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"image"
	"io"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// patched is a file with other bytes at one place.
func patched(data []byte, at int, with ...byte) []byte {
	data = bytes.Clone(data)
	copy(data[at:], with)
	return data
}

// pngSize is a PNG whose header says another size, with the checksum that belongs to it.
func pngSize(data []byte, w, h uint32) []byte {
	size := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w), h)
	data = patched(data, 16, size...)
	binary.BigEndian.PutUint32(data[29:], crc32.ChecksumIEEE(data[12:29]))
	return data
}

func frameHeader(data []byte) int { return bytes.Index(data, []byte{0xff, 0xc0}) }

func TestBombsAreRefusedByTheirHeader(t *testing.T) {
	jpg, gif, bmp := read(t, "444-64x48.jpg"), read(t, "p.gif"), read(t, "rgb.bmp")
	lossy, alpha, lossless := read(t, "lossy-64x48.webp"), read(t, "lossy-alpha.webp"), read(t, "lossless.webp")
	for name, data := range map[string][]byte{
		"png":             pngSize(read(t, "rgb.png"), 1<<16, 1<<16),
		"png, one row":    pngSize(read(t, "rgb.png"), 1<<31-1, 1),
		"jpeg":            patched(jpg, frameHeader(jpg)+5, 0xff, 0xff, 0xff, 0xff),
		"gif":             patched(gif, 6, 0xff, 0xff, 0xff, 0xff),
		"bmp":             patched(bmp, 18, 0, 0, 1, 0, 0, 0, 1, 0),
		"bmp, downwards":  patched(bmp, 18, 0, 0, 1, 0, 0, 0, 0xff, 0xff),
		"webp, lossy":     patched(lossy, 26, 0xff, 0x3f, 0xff, 0x3f),
		"webp, lossless":  patched(lossless, 21, 0xff, 0xff, 0xff, 0x0f),
		"webp, canvas":    patched(alpha, 24, 0xff, 0xff, 0, 0xff, 0x3f, 0),
		"webp, animation": patched(read(t, "animated.webp"), 24, 0xff, 0xff, 0, 0xff, 0x3f, 0),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Decode(context.Background(), data, Limits{})
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), "pixels, more than 50000000") {
			t.Errorf("%s: the answer is %v", name, err)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
			t.Errorf("%s: %d bytes were allocated for it", name, used)
		}
	}
}

func TestLimitsAreTheCallers(t *testing.T) {
	data := read(t, "rgb.png") // 23 x 17
	if _, err := Decode(context.Background(), data, Limits{Pixels: 23 * 17, Bytes: len(data)}); err != nil {
		t.Errorf("a picture at the limit: %v", err)
	}
	if _, err := Decode(context.Background(), data, Limits{Pixels: 23*17 - 1}); err == nil || !strings.Contains(err.Error(), "23 x 17 pixels, more than 390") {
		t.Errorf("a picture above the limit of pixels: %v", err)
	}
	if _, err := Decode(context.Background(), data, Limits{Bytes: len(data) - 1}); err == nil || !strings.Contains(err.Error(), "bytes, more than") {
		t.Errorf("a picture above the limit of bytes: %v", err)
	}
}

func TestLyingFilesAreRefused(t *testing.T) {
	jpg, gif := read(t, "444-64x48.jpg"), read(t, "p.gif")
	frame := bytes.Index(gif, []byte{0x2c, 0, 0, 0, 0})
	animated := read(t, "animated.webp")
	anmf := bytes.Index(animated, []byte("ANMF"))
	for name, c := range map[string]struct {
		data []byte
		says string
	}{
		"nothing":                            {nil, "0 bytes that are not a picture"},
		"text":                               {[]byte("<html>not found</html>"), "only PNG, JPEG, WebP, GIF and BMP"},
		"a mark alone":                       {[]byte("\x89PNG\r\n\x1a\n"), "png: the file is truncated"},
		"png with more rows than it has":     {pngSize(read(t, "rgb.png"), 23, 18), "png: "},
		"png without pixels":                 {pngSize(read(t, "rgb.png"), 0, 17), "png: "},
		"png with a damaged checksum":        {patched(read(t, "rgb.png"), 29, 1, 2, 3, 4), "png: "},
		"jpeg with two frames":               {bytes.Replace(jpg, []byte{0xff, 0xda}, append(jpg[frameHeader(jpg):frameHeader(jpg)+19:frameHeader(jpg)+19], 0xff, 0xda), 1), "jpeg: "},
		"jpeg of no height":                  {patched(jpg, frameHeader(jpg)+5, 0, 0), "jpeg: the header says 64 x 0 pixels"},
		"gif with a frame beyond its canvas": {patched(gif, frame+1, 1), "gif: "},
		"gif of no size":                     {patched(gif, 6, 0, 0), "gif: the header says 0 x 17"},
		"webp of another size than it says":  {patched(read(t, "lossy-alpha.webp"), 24, 1), "webp: "},
		"webp frame beyond its canvas":       {patched(animated, anmf+8, 1), "webp: a frame of 24 x 16 at 2, 0 leaves the canvas of 24 x 16"},
		"webp frame of another size":         {patched(animated, anmf+14, 3), "webp: "},
		"bmp compressed":                     {patched(read(t, "rgb.bmp"), 30, 1), "bmp: "},
		"a picture of another kind inside":   {append([]byte("GIF89a"), jpg...), "gif: "},
	} {
		m, err := Decode(context.Background(), c.data, Limits{})
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, not an error with %q (picture: %v)", name, err, c.says, m != nil)
		}
	}
}

// A scan may pass over the whole picture for a few bytes; a file with very many is an attack on time.
func TestJPEGWithEndlessScansIsRefused(t *testing.T) {
	jpg := read(t, "420-progressive.jpg")
	last := bytes.LastIndex(jpg, []byte{0xff, 0xda})
	scan := jpg[last : len(jpg)-2]
	many := bytes.Clone(jpg[:last])
	for range maxScans {
		many = append(many, scan...)
	}
	if _, err := Decode(context.Background(), append(many, 0xff, 0xd9), Limits{}); err == nil || !strings.Contains(err.Error(), "scans") {
		t.Errorf("the answer is %v", err)
	}
}

func TestTruncatedFilesAreRefused(t *testing.T) {
	for name := range expected(t) {
		data := read(t, name)
		for n := range 40 { // cuts everywhere; near the end a whole picture may already be there
			if m, err := Decode(context.Background(), data[:len(data)*n/40], Limits{}); err == nil && n < 20 && m.Width > 20 {
				t.Errorf("%s: %d of %d bytes pass for a picture", name, len(data)*n/40, len(data))
			}
		}
	}
}

func TestAPanicOfADecoderIsAnError(t *testing.T) {
	head := func(io.Reader) (image.Config, error) { return image.Config{Width: 1, Height: 1}, nil }
	for _, f := range []format{
		{head: head, decode: func(context.Context, []byte, image.Config) (*Image, int, error) { panic("index out of range") }},
		{head: func(io.Reader) (image.Config, error) { panic("index out of range") }},
	} {
		c, err := f.sized(nil, Limits{})
		if err == nil {
			_, err = f.run(t.Context(), nil, c)
		}
		if err == nil || !strings.Contains(err.Error(), "index out of range") {
			t.Error(err)
		}
	}
}

// once is the context of somebody who leaves when it has been looked at so often.
type once struct {
	context.Context
	looks int
}

func (o *once) Err() error {
	if o.looks--; o.looks < 0 {
		return context.Canceled
	}
	return nil
}

func TestDecodingStopsWhenNobodyWantsThePicture(t *testing.T) {
	for name := range expected(t) {
		data := read(t, name)
		for looks := range 2 {
			if m, err := Decode(&once{t.Context(), looks}, data, Limits{}); m != nil || err != context.Canceled {
				if len(data) < 4096 && looks == 1 { // read in one piece
					continue
				}
				t.Errorf("%s, left after %d looks: %v, %v", name, looks, m != nil, err)
			}
		}
	}
}

func TestDamagedEXIFShowsThePictureAsStored(t *testing.T) {
	intel := []byte("II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00")
	motorola := []byte("MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00")
	for name, c := range map[string]struct {
		data []byte
		want int
	}{
		"intel":                 {intel, 6},
		"motorola":              {motorola, 6},
		"with its name":         {append([]byte("Exif\x00\x00"), motorola...), 6},
		"as a long":             {patched(intel, 12, 4), 6},
		"as text":               {patched(intel, 12, 2), 1},
		"beyond eight":          {patched(intel, 18, 9), 1},
		"two values":            {patched(intel, 14, 2), 1},
		"another tag":           {patched(intel, 10, 0x13), 1},
		"directory outside":     {patched(intel, 4, 0xff, 0xff, 0xff, 0xff), 1},
		"directory cut":         {intel[:len(intel)-1], 1},
		"more entries than are": {patched(intel, 8, 0xff, 0xff), 6},
		"neither byte order":    {patched(intel, 0, 'X'), 1},
		"empty":                 {nil, 1},
	} {
		if got := tiffOrientation(c.data); got != c.want {
			t.Errorf("%s: orientation %d, not %d", name, got, c.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/*.*")
	if err != nil || len(files) < 80 {
		f.Fatalf("%d seeds, %v", len(files), err)
	}
	for _, path := range files {
		f.Add(read(f, filepath.Base(path)))
	}
	l := Limits{Bytes: 1 << 20, Pixels: 1 << 16}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Decode(context.Background(), data, l)
		switch {
		case err != nil && m != nil:
			t.Fatal("a picture beside an error")
		case err != nil:
			if strings.Contains(err.Error(), "the decoder failed") {
				t.Fatal(err) // held back from the caller, but worth knowing
			}
		case m.Width < 1 || m.Height < 1 || m.Width*m.Height > l.Pixels || len(m.Pix) != m.Width*m.Height*3:
			t.Fatalf("%d x %d with %d bytes", m.Width, m.Height, len(m.Pix))
		}
	})
}
