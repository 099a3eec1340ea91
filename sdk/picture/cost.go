package picture

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
)

// cost.go says from its head what a picture takes while it is decoded, so that memory can be kept for it before there is any.

// Cost is the most bytes that Decode takes for a file at the same time, its result included, from what the head says of size
// and kind. Like Decode it refuses what is no picture or exceeds the limits.
func Cost(data []byte, l Limits) (int64, error) {
	f, head, err := look(data, l)
	if err != nil {
		return 0, err
	}
	const fixed = 256 << 10 // decoders' buffers and tables
	return int64(head.Width)*int64(head.Height)*int64(f.perPixel(data, head)) + int64(len(data)) + fixed, nil
}

// look finds a file's format and reads its head.
func look(data []byte, l Limits) (f format, head image.Config, err error) {
	if len(data) > l.bytes() {
		return f, head, fmt.Errorf("the picture has %d bytes, more than %d", len(data), l.bytes())
	}
	for _, f = range formats {
		if !f.is(data) {
			continue
		}
		head, err = f.sized(data, l)
		return f, head, f.named(err)
	}
	return f, head, fmt.Errorf("%d bytes that are not a picture: only PNG, JPEG, WebP, GIF and BMP are read", len(data))
}

// sized reads the head and checks the size that it says.
func (f format) sized(data []byte, l Limits) (head image.Config, err error) {
	defer recovered(&err)
	if head, err = f.head(bytes.NewReader(data)); err == nil {
		err = l.size(head.Width, head.Height)
	}
	return head, err
}

// What a pixel takes once it is decoded, and once more if it has to be turned.
const (
	ofResult = 3
	ofTurned = 3
)

// sampleBytes is what one pixel takes in a picture of Go's of that colour model.
func sampleBytes(m color.Model) int {
	switch m {
	case color.GrayModel:
		return 1
	case color.Gray16Model:
		return 2
	case color.RGBA64Model, color.NRGBA64Model:
		return 8
	}
	if _, ok := m.(color.Palette); ok {
		return 1
	}
	return 4
}

// pngPixel: an interlaced file is put together from seven pictures, the largest of which has half the pixels.
func pngPixel(data []byte, head image.Config) int {
	n := sampleBytes(head.ColorModel)
	if len(data) > 28 && data[28] == 1 {
		n += (n + 1) / 2
	}
	return n + ofResult + ofTurned
}

// jpegPixel: planes at full size, and for a progressive file the coefficients, 32 bits each, of all of them.
func jpegPixel(data []byte, _ image.Config) int {
	const plane, coefficient = 1, 4
	h, err := readJPEGHead(data)
	if err != nil || h.components == 0 { // Decode will say so
		h.components = 4
	}
	n := h.components * plane
	if h.progressive {
		n += h.components * coefficient
	}
	return n + ofResult + ofTurned
}

// webpPixel: lossless ones are four samples made from four of 32 bits at the most; lossy ones have planes. Of an animation the
// frame and the canvas exist together.
func webpPixel([]byte, image.Config) int { return 8 + 2*ofResult + ofTurned }

func gifPixel([]byte, image.Config) int { return 1 + 2*ofResult }

func bmpPixel(_ []byte, head image.Config) int { return sampleBytes(head.ColorModel) + ofResult }
