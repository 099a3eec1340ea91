package picture

import "encoding/binary"

// orientation.go reads the EXIF orientation, which says how the camera was held, and turns pictures by it. A file whose
// EXIF data is damaged is not refused: the picture is shown as it is stored.

// tiffOrientation finds tag 0x0112 in the first directory of a TIFF block, 1 if there is none that makes sense.
func tiffOrientation(b []byte) int {
	const upright = 1
	if len(b) >= 6 && string(b[:6]) == "Exif\x00\x00" {
		b = b[6:]
	}
	if len(b) < 8 {
		return upright
	}
	var order binary.ByteOrder
	switch string(b[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return upright
	}
	at := int(order.Uint32(b[4:]))
	if at > len(b)-2 {
		return upright
	}
	entries := int(order.Uint16(b[at:]))
	for at += 2; entries > 0 && at <= len(b)-12; entries, at = entries-1, at+12 {
		if order.Uint16(b[at:]) != 0x0112 || order.Uint32(b[at+4:]) != 1 {
			continue
		}
		v := 0
		switch order.Uint16(b[at+2:]) {
		case 1: // byte
			v = int(b[at+8])
		case 3: // short
			v = int(order.Uint16(b[at+8:]))
		case 4: // long
			v = int(order.Uint32(b[at+8:]))
		}
		if v >= 1 && v <= 8 {
			return v
		}
	}
	return upright
}

// turned is the picture upright; orientation is 1 to 8 as EXIF numbers them.
func (m *Image) turned(orientation int) *Image {
	w, h := m.Width, m.Height
	out := &Image{w, h, nil}
	if orientation >= 5 {
		out.Width, out.Height = h, w
	}
	// Pixel (x, y) of the result is the one at first + x*right + y*down of the source.
	var first, right, down int
	switch orientation {
	default:
		return m
	case 2: // mirrored
		first, right, down = w-1, -1, w
	case 3: // upside down
		first, right, down = w*h-1, -1, -w
	case 4:
		first, right, down = (h-1)*w, 1, -w
	case 5:
		first, right, down = 0, w, 1
	case 6: // held with its right side up
		first, right, down = (h-1)*w, -w, 1
	case 7:
		first, right, down = w*h-1, -w, -1
	case 8:
		first, right, down = w-1, w, -1
	}
	out.Pix = make([]byte, len(m.Pix))
	to := out.Pix
	for y := range out.Height {
		from := first + y*down
		for range out.Width {
			copy(to[:3], m.Pix[3*from:])
			to, from = to[3:], from+right
		}
	}
	return out
}
