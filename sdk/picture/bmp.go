package picture

import (
	"context"
	"image"

	"golang.org/x/image/bmp"
)

// bmp.go reads BMP of 1, 2, 4, 8, 24 and 32 bits without compression.

func decodeBMP(ctx context.Context, data []byte, _ image.Config) (*Image, int, error) {
	m, err := bmp.Decode(reader(ctx, data))
	if err != nil {
		return nil, 0, err
	}
	out, err := flatten(m)
	return out, 1, err
}
