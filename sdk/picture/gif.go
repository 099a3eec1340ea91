package picture

import (
	"context"
	"image"
	"image/gif"
)

// gif.go reads the first frame of a GIF on its canvas. What the frame leaves open is what Pillow puts there: nothing where
// the frame has a transparent colour, else the first colour of its palette.

func decodeGIF(ctx context.Context, data []byte, c image.Config) (*Image, int, error) {
	decoded, err := gif.Decode(reader(ctx, data))
	if err != nil {
		return nil, 0, err
	}
	frame := decoded.(*image.Paletted)
	at := frame.Rect.Min
	inside, err := flatten(frame)
	if err != nil {
		return nil, 0, err
	}
	out := newImage(image.Rect(0, 0, c.Width, c.Height))
	out.fill(gifBackground(frame))
	out.paste(inside, at.X, at.Y)
	return out, 1, nil
}

func gifBackground(frame *image.Paletted) [3]byte {
	for _, c := range frame.Palette {
		if _, _, _, a := c.RGBA(); a == 0 {
			return [3]byte{255, 255, 255}
		}
	}
	return paletteColour(frame.Palette[0])
}
