package picture

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// size.go says which size a model is given a picture in.

// maxRatio is how much longer than the other a picture's side may be.
const maxRatio = 200

// smartResize finds a height and width that are multiples of factor, near the picture's, with an area of minPixels to
// maxPixels; float64 and rounding are those of the reference, so that at a border the same side wins.
func smartResize(height, width, factor, minPixels, maxPixels int) (int, int, error) {
	if height < 1 || width < 1 || factor < 1 {
		return 0, 0, fmt.Errorf("a picture of %d x %d cannot be cut into pieces of %d: all must be positive", width, height, factor)
	}
	if ratio := float64(max(height, width)) / float64(min(height, width)); ratio > maxRatio {
		return 0, 0, fmt.Errorf("absolute aspect ratio must be smaller than %d, got %s", maxRatio, pythonFloat(ratio))
	}
	f, area := float64(factor), float64(height)*float64(width)
	side := func(n int, scale float64, round func(float64) float64) int {
		return int(round(float64(n)*scale/f)) * factor
	}
	h, w := side(height, 1, math.RoundToEven), side(width, 1, math.RoundToEven)
	switch {
	case h*w > maxPixels:
		shrink := math.Sqrt(area / float64(maxPixels))
		h = max(factor, int(math.Floor(float64(height)/shrink/f))*factor)
		w = max(factor, int(math.Floor(float64(width)/shrink/f))*factor)
	case h*w < minPixels:
		grow := math.Sqrt(float64(minPixels) / area)
		h, w = side(height, grow, math.Ceil), side(width, grow, math.Ceil)
	}
	if h == 0 || w == 0 {
		return 0, 0, fmt.Errorf("a picture of %d x %d is too small for pieces of %d and an area of at least %d", width, height, factor, minPixels)
	}
	return h, w, nil
}

// pythonFloat writes a number below 1e16 as Python's repr does.
func pythonFloat(f float64) string {
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}
