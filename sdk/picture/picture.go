// Package picture decodes a picture that came from outside into plain RGB bytes: PNG, JPEG, WebP, GIF (its first frame)
// and BMP, told apart by their first bytes.
//
// A picture is hostile until it is decoded. Its size is read from its header and checked before anything is allocated for
// it, so that a decompression bomb costs nothing; a truncated or lying file is an error; a panic of a decoder is one too.
//
// What comes out is what a person would see: turned as its EXIF orientation says, transparency composited on white. Where
// a format leaves freedom the reference libraries' way is taken, because a model was trained on pictures read by them:
// JPEG and WebP chroma is interpolated and converted as libjpeg-turbo and libwebp do, CMYK as Pillow does. Of 16-bit
// samples the upper byte is kept (Pillow does so for colour; its clipping of 16-bit grey at 255 is not followed). Colour
// profiles are not applied, as in Pillow.
//
//	m, err := picture.Decode(ctx, data, picture.Limits{})
//	if err != nil {
//		return err // a sentence for the client, e.g. "png: the picture has 40000 x 40000 pixels, more than 50000000"
//	}
package picture

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"strings"

	"golang.org/x/image/bmp"
	"golang.org/x/image/webp"
)

// Image is a decoded picture: Pix has Height rows of Width pixels of 3 bytes, red, green and blue.
type Image struct {
	Width, Height int
	Pix           []byte
}

// Hash names the picture by what it shows: the SHA-256 of its size and pixels. Two files that decode to the same pixels
// have one hash.
func (m *Image) Hash() [sha256.Size]byte {
	h := sha256.New()
	var size [16]byte
	binary.LittleEndian.PutUint64(size[:8], uint64(m.Width))
	binary.LittleEndian.PutUint64(size[8:], uint64(m.Height))
	h.Write(size[:])
	h.Write(m.Pix)
	return [sha256.Size]byte(h.Sum(nil))
}

// Limits is what a picture may cost. A zero means the default.
type Limits struct {
	Bytes  int // of the file; 32 MiB
	Pixels int // width x height; 50,000,000: the largest telephone cameras. Decoding takes 3 to 18 bytes for each
}

const (
	defaultBytes  = 32 << 20
	defaultPixels = 50_000_000
)

func (l Limits) bytes() int {
	if l.Bytes > 0 {
		return l.Bytes
	}
	return defaultBytes
}

func (l Limits) pixels() int {
	if l.Pixels > 0 {
		return l.Pixels
	}
	return defaultPixels
}

// size checks what a header says.
func (l Limits) size(width, height int) error {
	switch {
	case width < 1 || height < 1:
		return fmt.Errorf("the header says %d x %d pixels", width, height)
	case width > l.pixels()/height:
		return fmt.Errorf("the picture has %d x %d pixels, more than %d", width, height, l.pixels())
	}
	return nil
}

// format is one kind of file. The functions are given bytes that begin with one of its marks, decode and perPixel only those
// whose head says a size within the limits.
type format struct {
	name     string
	is       func(data []byte) bool
	head     func(r io.Reader) (image.Config, error)
	decode   func(ctx context.Context, data []byte, head image.Config) (m *Image, orientation int, err error)
	perPixel func(data []byte, head image.Config) int // the most bytes that decode takes for one
}

var formats = [...]format{
	{"png", begins("\x89PNG\r\n\x1a\n"), png.DecodeConfig, decodePNG, pngPixel},
	{"jpeg", begins("\xff\xd8\xff"), jpeg.DecodeConfig, decodeJPEG, jpegPixel},
	{"webp", func(d []byte) bool { return len(d) >= 12 && string(d[:4]) == "RIFF" && string(d[8:12]) == "WEBP" }, webp.DecodeConfig, decodeWebP, webpPixel},
	{"gif", begins("GIF87a", "GIF89a"), gif.DecodeConfig, decodeGIF, gifPixel},
	{"bmp", begins("BM"), bmp.DecodeConfig, decodeBMP, bmpPixel},
}

func begins(marks ...string) func([]byte) bool {
	return func(data []byte) bool {
		for _, m := range marks {
			if len(data) >= len(m) && string(data[:len(m)]) == m {
				return true
			}
		}
		return false
	}
}

// Decode reads a picture. Its errors begin with the format and are meant for whoever sent it; but for the context's, if that ends
// while a decoder reads.
func Decode(ctx context.Context, data []byte, l Limits) (*Image, error) {
	f, head, err := look(data, l)
	if err != nil {
		return nil, err
	}
	m, err := f.run(ctx, data, head)
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return m, f.named(err)
}

// named puts the format's name before an error; some decoders say it themselves.
func (f format) named(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("the file is truncated: %w", err)
	}
	if err != nil && !strings.HasPrefix(err.Error(), f.name+": ") {
		err = fmt.Errorf("%s: %w", f.name, err)
	}
	return err
}

// run decodes what its head allows.
func (f format) run(ctx context.Context, data []byte, head image.Config) (m *Image, err error) {
	defer recovered(&err)
	m, orientation, err := f.decode(ctx, data, head)
	if err != nil {
		return nil, err
	}
	return m.turned(orientation), nil
}

// recovered makes an error of a decoder's panic.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("the decoder failed on this file: %v", p)
	}
}

// reader is data for a decoder, which stops at the first error.
func reader(ctx context.Context, data []byte) io.Reader { return &wanted{ctx, bytes.NewReader(data)} }

// wanted is read as long as the context lasts.
type wanted struct {
	ctx  context.Context
	data *bytes.Reader
}

func (w *wanted) Read(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.data.Read(p)
}

// newImage makes an empty picture of the size of a decoder's.
func newImage(r image.Rectangle) *Image {
	return &Image{r.Dx(), r.Dy(), make([]byte, r.Dx()*r.Dy()*3)}
}

// row is the bytes of row y.
func (m *Image) row(y int) []byte { return m.Pix[y*m.Width*3:][:m.Width*3] }

func (m *Image) fill(c [3]byte) {
	for i := 0; i < len(m.Pix); i += 3 {
		copy(m.Pix[i:], c[:])
	}
}

// paste puts a picture at (x, y), where it must have room.
func (m *Image) paste(inside *Image, x, y int) {
	for r := range inside.Height {
		copy(m.row(y + r)[3*x:], inside.row(r))
	}
}
