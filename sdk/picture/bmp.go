package picture

import (
	"bytes"

	"golang.org/x/image/bmp"
)

// bmp.go reads BMP of 1, 2, 4, 8, 24 and 32 bits without compression.

func decodeBMP(data []byte, l Limits) (*Image, int, error) {
	c, err := bmp.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, 0, err
	}
	if err := l.size(c.Width, c.Height); err != nil {
		return nil, 0, err
	}
	m, err := bmp.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, 0, err
	}
	out, err := flatten(m)
	return out, 1, err
}
