package picture

import (
	"context"
	"encoding/binary"
	"image"
	"image/png"
)

// png.go reads PNG. Of an animated one Go's decoder reads the default picture, as viewers without animation do.

func decodePNG(ctx context.Context, data []byte, _ image.Config) (*Image, int, error) {
	m, err := png.Decode(reader(ctx, data))
	if err != nil {
		return nil, 0, err
	}
	out, err := flatten(m)
	return out, pngOrientation(data), err
}

// pngOrientation reads the eXIf chunk.
func pngOrientation(data []byte) int {
	for at := 8; at+12 <= len(data); {
		n := int(binary.BigEndian.Uint32(data[at:]))
		if n > len(data)-at-12 {
			break
		}
		if string(data[at+4:at+8]) == "eXIf" {
			return tiffOrientation(data[at+8 : at+8+n])
		}
		at += 12 + n
	}
	return 1
}
