package picture

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"image"
	"image/jpeg"
	"io"
)

// jpeg.go reads JPEG. Go's decoder delivers the planes; upsampling and conversion to RGB are ours (chroma.go), because
// Go's repeats chroma samples where libjpeg interpolates.
//
// Of four planes Go's decoder gives a CMYK picture only, and only with an Adobe marker. So the marker is rewritten, or put
// in, to say that the planes have no transform, and the transform that it names is computed here.

// maxScans bounds the work that a small file can ask for: every scan may pass over the whole picture. Encoders write at
// most some twenty.
const maxScans = 100

// jpegHead is what the markers say, without decoding.
type jpegHead struct {
	scans       int
	orientation int
	components  int
	progressive bool
	halved      bool // the first plane is twice as wide and high as the second
	adobe       int  // offset of the transform byte, 0 without an Adobe marker
}

func decodeJPEG(ctx context.Context, data []byte, _ image.Config) (*Image, int, error) {
	head, err := readJPEGHead(data)
	if err != nil {
		return nil, 0, err
	}
	ycck := head.adobe > 0 && data[head.adobe] != 0 // without a marker four planes are CMYK, as for libjpeg
	if head.components == 4 {
		data = untransformed(data, head.adobe)
	}
	m, err := jpeg.Decode(reader(ctx, data))
	if err != nil {
		return nil, 0, err
	}
	var out *Image
	switch m := m.(type) {
	case *image.YCbCr:
		out = ycc(m)
	case *image.CMYK:
		out = cmyk(m, ycck, head.halved)
	default:
		out, err = flatten(m)
	}
	return out, head.orientation, err
}

// readJPEGHead walks over all markers, those between the scans as well. Where the file ends too early it leaves the
// complaint to the decoder, but not in the middle of a marker.
func readJPEGHead(data []byte) (jpegHead, error) {
	h := jpegHead{orientation: 1}
	for at := 2; ; {
		next := bytes.IndexByte(data[at:], 0xff)
		if next < 0 || at+next+1 >= len(data) {
			return h, nil
		}
		at += next + 1
		marker := data[at]
		switch {
		case marker == 0xff: // a fill byte may be the beginning of a marker
			continue
		case marker <= 1 || marker >= 0xd0 && marker <= 0xd8: // stuffing and markers without a body
			at++
			continue
		case marker == 0xd9: // end of image
			return h, nil
		}
		if at+3 > len(data) {
			return h, io.ErrUnexpectedEOF
		}
		n := int(binary.BigEndian.Uint16(data[at+1:]))
		if n < 2 || at+1+n > len(data) {
			return h, io.ErrUnexpectedEOF
		}
		if err := h.segment(marker, data[at+3:at+1+n], at+3); err != nil {
			return h, err
		}
		at += 1 + n
	}
}

// segment notes what one marker says; at is where its bytes begin.
func (h *jpegHead) segment(marker byte, b []byte, at int) error {
	switch marker {
	case 0xc0, 0xc1, 0xc2: // start of frame
		h.progressive = marker == 0xc2
		if len(b) > 5 {
			h.components = int(b[5])
		}
		if len(b) > 10 {
			h.halved = b[7] == 0x22 && b[10] == 0x11
		}
	case 0xda: // start of scan
		if h.scans++; h.scans > maxScans {
			return fmt.Errorf("the picture has more than %d scans", maxScans)
		}
	case 0xe1:
		if len(b) > 6 && string(b[:6]) == "Exif\x00\x00" && h.orientation == 1 {
			h.orientation = tiffOrientation(b)
		}
	case 0xee:
		if len(b) >= 12 && string(b[:5]) == "Adobe" {
			h.adobe = at + 11
		}
	}
	return nil
}

// untransformed is a copy of the file whose Adobe marker says that its planes are stored as they are.
func untransformed(data []byte, adobe int) []byte {
	if adobe > 0 {
		data = bytes.Clone(data)
		data[adobe] = 0
		return data
	}
	const marker = "\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
	return append(append(append(make([]byte, 0, len(data)+len(marker)), data[:2]...), marker...), data[2:]...)
}
