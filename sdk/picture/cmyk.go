package picture

import "image"

// cmyk.go makes RGB of the four planes of a JPEG made for print, as libjpeg-turbo and Pillow do together.

// cmyk converts planes as Go's decoder interleaves them: inverted, which for Adobe's files makes 255 all ink, and with the
// second and third repeated where they are halved. With ycck the first three are luma and chroma.
func cmyk(m *image.CMYK, ycck, halved bool) *Image {
	out := newImage(m.Rect)
	step := 1
	if halved {
		step = 2
	}
	second, third := newUpsampler(inkPlane(m, 1, step), step, step), newUpsampler(inkPlane(m, 2, step), step, step)
	row2, row3 := make([]byte, second.width*step), make([]byte, third.width*step)
	for y := range out.Height {
		to, from := out.row(y), m.Pix[y*m.Stride:]
		u, v := second.upsampled(row2, y), third.upsampled(row3, y)
		for x := range out.Width {
			c, mg, ye := from[4*x], 255-u[x], 255-v[x]
			if ycck { // libjpeg makes ink of the colour, and the inversion undoes it
				c, mg, ye = yccRGB(255-c, u[x], v[x])
			}
			white := 255 - from[4*x+3]
			to[3*x], to[3*x+1], to[3*x+2] = white-product(c, white), white-product(mg, white), white-product(ye, white)
		}
	}
	return out
}

// inkPlane is a plane as the file has it, without the repetition.
func inkPlane(m *image.CMYK, ink, step int) plane {
	w, h := ceilDiv(m.Rect.Dx(), step), ceilDiv(m.Rect.Dy(), step)
	p := plane{make([]byte, w*h), w, w, h}
	for y := range h {
		from := m.Pix[y*step*m.Stride+ink:]
		for x := range w {
			p.pix[y*w+x] = 255 - from[4*x*step]
		}
	}
	return p
}
