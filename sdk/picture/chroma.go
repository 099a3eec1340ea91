package picture

import "image"

// chroma.go makes RGB of luma and chroma planes as libjpeg-turbo does: chroma is interpolated between the centres of its
// samples ("fancy upsampling": three quarters of the nearer and one of the farther, in each direction that is halved), and
// converted with 16 bits behind the point. The rounding alternates so that no direction is favoured.

// plane is samples of which (x, y) lies at pix[y*stride+x].
type plane struct {
	pix           []byte
	stride        int
	width, height int
}

func (p plane) row(y int) []byte { return p.pix[min(max(y, 0), p.height-1)*p.stride:][:p.width] }

// upsampler makes rows of full width of a plane that may be halved.
type upsampler struct {
	plane
	across, down int // full samples for each of the plane's
	sums         []int32
}

func newUpsampler(p plane, across, down int) *upsampler {
	return &upsampler{plane: p, across: across, down: down, sums: make([]int32, p.width)}
}

// upsampled writes row y at full width to out, which has room for whole samples.
func (u *upsampler) upsampled(out []byte, y int) []byte {
	near := u.row(y / u.down)
	far := u.row(y/u.down + y%u.down*2 - 1) // the row above an even row, below an odd one
	switch {
	case u.across == 2 && u.width > 2 && u.down == 1:
		for i, v := range near {
			u.sums[i] = int32(v)
		}
		return u.doubled(out, 1, 2, 2, 0)
	case u.across == 2 && u.width > 2 && u.down == 2:
		for i, v := range near {
			u.sums[i] = 3*int32(v) + int32(far[i])
		}
		return u.doubled(out, 8, 7, 4, 8)
	case u.across == 1 && u.down == 2:
		bias := int32(1 + y%2)
		for i, v := range near {
			out[i] = byte((3*int32(v) + int32(far[i]) + bias) >> 2)
		}
	default:
		for i := range out {
			out[i] = near[min(i/u.across, len(near)-1)]
		}
	}
	return out
}

// doubled writes two samples for each of the sums: 3/4 and 1/4 of neighbours, rounded by left and right and shifted; the
// two outermost are the sums themselves, times four.
func (u *upsampler) doubled(out []byte, left, right int32, shift uint, edge int32) []byte {
	s, last := u.sums, len(u.sums)-1
	for i, v := range s {
		out[2*i] = byte((3*v + s[max(i-1, 0)] + left) >> shift)
		out[2*i+1] = byte((3*v + s[min(i+1, last)] + right) >> shift)
	}
	out[0] = byte((4*s[0] + edge) >> shift)
	out[2*last+1] = byte((4*s[last] + max(edge-1, 0)) >> shift)
	return out
}

// yccRGB is the conversion of JFIF with constants of 2^-16.
func yccRGB(y, cb, cr byte) (byte, byte, byte) {
	const half = 1 << 15
	l, u, v := int32(y), int32(cb)-128, int32(cr)-128
	return clamp(l + (91881*v+half)>>16), clamp(l + (half-22554*u-46802*v)>>16), clamp(l + (116130*u+half)>>16)
}

// ratio is how many pixels there are for each chroma sample.
func ratio(r image.YCbCrSubsampleRatio) (across, down int) {
	switch r {
	case image.YCbCrSubsampleRatio422:
		return 2, 1
	case image.YCbCrSubsampleRatio420:
		return 2, 2
	case image.YCbCrSubsampleRatio440:
		return 1, 2
	case image.YCbCrSubsampleRatio411:
		return 4, 1
	case image.YCbCrSubsampleRatio410:
		return 4, 2
	}
	return 1, 1
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

func ycc(m *image.YCbCr) *Image {
	out := newImage(m.Rect)
	across, down := ratio(m.SubsampleRatio)
	w, h := ceilDiv(out.Width, across), ceilDiv(out.Height, down)
	cb := newUpsampler(plane{m.Cb, m.CStride, w, h}, across, down)
	cr := newUpsampler(plane{m.Cr, m.CStride, w, h}, across, down)
	rowB, rowR := make([]byte, w*across), make([]byte, w*across)
	for y := range out.Height {
		to, luma := out.row(y), m.Y[y*m.YStride:]
		u, v := cb.upsampled(rowB, y), cr.upsampled(rowR, y)
		for x := range out.Width {
			to[3*x], to[3*x+1], to[3*x+2] = yccRGB(luma[x], u[x], v[x])
		}
	}
	return out
}
