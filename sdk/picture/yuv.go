package picture

import "image"

// yuv.go makes RGB of the planes of a lossy WebP as libwebp does: luma runs from 16 to 235, and chroma, of which there is a
// sample for each 2 x 2 pixels, is interpolated with weights 9, 3, 3, 1 in two roundings.

// yuvRGB converts with 14 bits behind the point, of which 8 are dropped after each product.
func yuvRGB(y, u, v byte) (byte, byte, byte) {
	high := func(v byte, k int32) int32 { return int32(v) * k >> 8 }
	l := high(y, 19077)
	return clamp((l + high(v, 26149) - 14234) >> 6), clamp((l - high(u, 6419) - high(v, 13320) + 8708) >> 6), clamp((l + high(u, 33050) - 17685) >> 6)
}

// blend interpolates one row of chroma: near is the row of samples it lies nearer to, far the other.
func blend(out, near, far []byte) {
	n := len(near)
	edge := func(i int) byte { return byte((3*uint32(near[i]) + uint32(far[i]) + 2) >> 2) }
	out[0] = edge(0)
	for i := 1; i < n; i++ {
		a, b := uint32(near[i-1]), uint32(near[i]) // left and right, near
		c, d := uint32(far[i-1]), uint32(far[i])
		sum := a + b + c + d + 8
		bc, ad := (sum+2*(b+c))>>3, (sum+2*(a+d))>>3
		out[2*i-1] = byte((bc + a) >> 1)
		out[2*i] = byte((ad + b) >> 1)
	}
	out[2*n-1] = edge(n - 1)
}

func yuv(m *image.YCbCr) *Image {
	out := newImage(m.Rect)
	w, h := ceilDiv(out.Width, 2), ceilDiv(out.Height, 2)
	u, v := plane{m.Cb, m.CStride, w, h}, plane{m.Cr, m.CStride, w, h}
	rowU, rowV := make([]byte, 2*w), make([]byte, 2*w)
	for y := range out.Height {
		near, far := y/2, y/2+y%2*2-1
		blend(rowU, u.row(near), u.row(far))
		blend(rowV, v.row(near), v.row(far))
		to, luma := out.row(y), m.Y[y*m.YStride:]
		for x := range out.Width {
			to[3*x], to[3*x+1], to[3*x+2] = yuvRGB(luma[x], rowU[x], rowV[x])
		}
	}
	return out
}
