package picture

import (
	"context"
	"encoding/binary"
	"fmt"
	"image"
	"io"

	"golang.org/x/image/webp"
)

// webp.go reads WebP, lossy and lossless, with and without alpha, and of an animation the first frame, which Go's decoder
// does not know. The lossy planes are converted in yuv.go.

func decodeWebP(ctx context.Context, data []byte, c image.Config) (*Image, int, error) {
	orientation, animated, f := 1, false, webpFrame{}
	err := chunks(data[12:], func(id string, b []byte) (err error) {
		switch {
		case id == "EXIF":
			orientation = tiffOrientation(b)
		case id == "ANMF" && !animated:
			animated = true
			f, err = firstFrame(b, c.Width, c.Height)
		}
		return err
	})
	if !animated { // what lies behind a still picture may be damaged
		out, err := decodeStill(ctx, data)
		return out, orientation, err
	}
	if err != nil {
		return nil, 0, err
	}
	inside, err := decodeStill(ctx, f.still)
	if err != nil {
		return nil, 0, err
	}
	out := newImage(image.Rect(0, 0, c.Width, c.Height))
	out.fill([3]byte{255, 255, 255})
	out.paste(inside, f.x, f.y)
	return out, orientation, nil
}

// decodeStill reads a file with one picture whose size has been checked: the decoder refuses one of another size than the
// header says.
func decodeStill(ctx context.Context, data []byte) (*Image, error) {
	m, err := webp.Decode(reader(ctx, data))
	if err != nil {
		return nil, err
	}
	switch m := m.(type) {
	case *image.YCbCr:
		return yuv(m), nil
	case *image.NYCbCrA:
		out := yuv(&m.YCbCr)
		for y := range out.Height {
			for x, a := range m.A[y*m.AStride:][:out.Width] {
				p := out.row(y)[3*x:]
				p[0], p[1], p[2] = over(p[0], a), over(p[1], a), over(p[2], a)
			}
		}
		return out, nil
	}
	return flatten(m)
}

// webpFrame is a frame of an animation, as a file of its own, and its place on the canvas.
type webpFrame struct {
	still []byte
	x, y  int
}

// firstFrame makes a file of the body of an ANMF chunk. Both sides are checked against the canvas.
func firstFrame(b []byte, width, height int) (webpFrame, error) {
	if len(b) < 16 {
		return webpFrame{}, io.ErrUnexpectedEOF
	}
	f := webpFrame{x: 2 * uint24(b), y: 2 * uint24(b[3:])}
	if w, h := uint24(b[6:])+1, uint24(b[9:])+1; f.x+w > width || f.y+h > height {
		return webpFrame{}, fmt.Errorf("a frame of %d x %d at %d, %d leaves the canvas of %d x %d", w, h, f.x, f.y, width, height)
	}
	var body []byte
	flags := byte(0)
	err := chunks(b[16:], func(id string, data []byte) error {
		switch id {
		case "ALPH":
			flags = 1 << 4
			fallthrough
		case "VP8 ", "VP8L":
			body = appendChunk(body, id, data)
		}
		return nil
	})
	header := append([]byte{flags, 0, 0, 0}, b[6:12]...)
	body = append(appendChunk([]byte("WEBP"), "VP8X", header), body...)
	f.still = appendChunk(nil, "RIFF", body)
	return f, err
}

func uint24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

func appendChunk(to []byte, id string, data []byte) []byte {
	to = binary.LittleEndian.AppendUint32(append(to, id...), uint32(len(data)))
	to = append(to, data...)
	return append(to, make([]byte, len(data)%2)...)
}

// chunks calls each with every chunk of a RIFF body until it returns an error.
func chunks(body []byte, each func(id string, data []byte) error) error {
	for len(body) >= 8 {
		n := int(binary.LittleEndian.Uint32(body[4:]))
		if n > len(body)-8 {
			return io.ErrUnexpectedEOF
		}
		if err := each(string(body[:4]), body[8:8+n]); err != nil {
			return err
		}
		body = body[min(8+n+n%2, len(body)):]
	}
	return nil
}
