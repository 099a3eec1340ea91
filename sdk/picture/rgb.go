package picture

import (
	"fmt"
	"image"
	"image/color"
)

// rgb.go turns what Go's decoders return into RGB on white. Chroma planes are the business of chroma.go and yuv.go.

// over is a colour of opacity a on white, rounded to the nearest.
func over(c, a byte) byte {
	v := uint32(c)*uint32(a) + 255*uint32(255-a) + 128
	return byte((v + v>>8) >> 8)
}

// product is c/255 * a/255 in 255ths, rounded to the nearest.
func product(c, a byte) byte {
	v := uint32(c)*uint32(a) + 128
	return byte((v + v>>8) >> 8)
}

// flatten converts a decoded picture.
func flatten(m image.Image) (*Image, error) {
	out := newImage(m.Bounds())
	if p, ok := m.(*image.Paletted); ok {
		return out, paletted(out, p)
	}
	for y := range out.Height {
		to := out.row(y)
		switch m := m.(type) {
		case *image.Gray:
			grey(to, m.Pix[y*m.Stride:], 1)
		case *image.Gray16:
			grey(to, m.Pix[y*m.Stride:], 2)
		case *image.RGBA: // decoders use it where all is opaque
			opaque(to, m.Pix[y*m.Stride:], 1)
		case *image.RGBA64:
			opaque(to, m.Pix[y*m.Stride:], 2)
		case *image.NRGBA:
			onWhite(to, m.Pix[y*m.Stride:], 1)
		case *image.NRGBA64:
			onWhite(to, m.Pix[y*m.Stride:], 2)
		default:
			return nil, fmt.Errorf("pixels of kind %T are not read", m)
		}
	}
	return out, nil
}

// The loops take the first byte of samples that are step bytes wide.

func grey(to, from []byte, step int) {
	for i := 0; i < len(to); i += 3 {
		v := from[i/3*step]
		to[i], to[i+1], to[i+2] = v, v, v
	}
}

func opaque(to, from []byte, step int) {
	for i := 0; i < len(to); i, from = i+3, from[4*step:] {
		to[i], to[i+1], to[i+2] = from[0], from[step], from[2*step]
	}
}

func onWhite(to, from []byte, step int) {
	for i := 0; i < len(to); i, from = i+3, from[4*step:] {
		a := from[3*step]
		to[i], to[i+1], to[i+2] = over(from[0], a), over(from[step], a), over(from[2*step], a)
	}
}

func paletted(out *Image, m *image.Paletted) error {
	var colours [256][3]byte
	known := min(len(m.Palette), len(colours))
	for i, c := range m.Palette[:known] {
		colours[i] = paletteColour(c)
	}
	for y := range out.Height {
		to := out.row(y)
		for x, index := range m.Pix[y*m.Stride:][:out.Width] {
			if int(index) >= known {
				return fmt.Errorf("a pixel has colour %d of a palette of %d", index, known)
			}
			copy(to[3*x:], colours[index][:])
		}
	}
	return nil
}

func paletteColour(c color.Color) [3]byte {
	n := color.NRGBAModel.Convert(c).(color.NRGBA)
	return [3]byte{over(n.R, n.A), over(n.G, n.A), over(n.B, n.A)}
}

// clamp is v as a byte.
func clamp(v int32) byte { return byte(min(max(v, 0), 255)) }
