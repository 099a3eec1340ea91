package picture

import (
	"fmt"
	"math"
)

// patches.go cuts a picture into the rows that a vision tower's patch embedding multiplies.

const channels = 3

// Config is how a model wants its pictures, in the words of preprocessor_config.json.
type Config struct {
	PatchSize         int // side of a patch in pixels
	TemporalPatchSize int // frames of a patch; a single picture is repeated
	MergeSize         int // side of a group of patches that becomes one token
	MinPixels         int // size.shortest_edge, or min_pixels in the older spelling
	MaxPixels         int // size.longest_edge, or max_pixels
	Rescale           float64
	Mean, Std         [channels]float64
}

// Validate says what of the config cannot be computed with.
func (c Config) Validate() error {
	for _, k := range []struct {
		key string
		n   int
	}{{"patch_size", c.PatchSize}, {"temporal_patch_size", c.TemporalPatchSize}, {"merge_size", c.MergeSize}} {
		if k.n < 1 || k.n > 1<<10 {
			return fmt.Errorf("%s is %d: it must be 1 to %d", k.key, k.n, 1<<10)
		}
	}
	if c.MinPixels < 1 || c.MaxPixels < c.MinPixels || c.MaxPixels > 1<<30 {
		return fmt.Errorf("size is %d to %d pixels: the least must be positive and the most no less, at most %d", c.MinPixels, c.MaxPixels, 1<<30)
	}
	if !finite(c.Rescale) {
		return fmt.Errorf("rescale_factor is %v: it must be a finite number", c.Rescale)
	}
	for i := range channels {
		if !finite(c.Mean[i]) || !finite(c.Std[i]) || float32(c.Std[i]) == 0 {
			return fmt.Errorf("image_mean %v and image_std %v must be finite, and no std 0", c.Mean, c.Std)
		}
	}
	return nil
}

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

// Factor is what both sides of a resized picture are multiples of.
func (c Config) Factor() int { return c.PatchSize * c.MergeSize }

// PatchValues is the length of a patch: channels x frames x rows x columns.
func (c Config) PatchValues() int { return channels * c.TemporalPatchSize * c.PatchSize * c.PatchSize }

// Fit makes the picture as large as smartResize says, on that many threads (0: one for each core).
func (c Config) Fit(m Image, threads int) (Image, error) {
	h, w, err := smartResize(m.Height, m.Width, c.Factor(), c.MinPixels, c.MaxPixels)
	if err != nil {
		return Image{}, err
	}
	return Resize(m, w, h, threads)
}

// Grid is how many rows and columns of patches a fitted picture has.
func (c Config) Grid(m Image) (rows, columns int) {
	return m.Height / c.PatchSize, m.Width / c.PatchSize
}

// PatchRows writes the patches first, first+1, ... of a fitted picture as far as out goes, which must be whole patches.
//
// Patches come group by group, the groups and the patches in each from left to right and top to bottom: so the rows of a
// group, which become one token, lie together. In a patch the order is channel, frame, row, column.
func (c Config) PatchRows(out []float32, m Image, first int) error {
	n := c.PatchValues()
	rows, columns := c.Grid(m)
	switch {
	case m.check() != nil:
		return m.check()
	case m.Width%c.Factor() != 0 || m.Height%c.Factor() != 0:
		return fmt.Errorf("a picture of %d x %d is not fitted: both sides must be multiples of %d", m.Width, m.Height, c.Factor())
	case len(out)%n != 0 || first < 0 || first+len(out)/n > rows*columns:
		return fmt.Errorf("%d values from patch %d on are not whole patches of %d in a picture of %d patches", len(out), first, n, rows*columns)
	}
	values := c.values()
	group, groupsAcross := c.MergeSize*c.MergeSize, columns/c.MergeSize
	for i := range len(out) / n {
		g, inside := (first+i)/group, (first+i)%group
		row := g/groupsAcross*c.MergeSize + inside/c.MergeSize
		column := g%groupsAcross*c.MergeSize + inside%c.MergeSize
		c.patch(out[i*n:(i+1)*n], m, row*c.PatchSize, column*c.PatchSize, &values)
	}
	return nil
}

// patch writes the patch whose upper left pixel is (x, y).
func (c Config) patch(out []float32, m Image, y, x int, values *[channels][256]float32) {
	size := c.PatchSize * c.PatchSize
	for ch := range channels {
		frame := out[ch*c.TemporalPatchSize*size:][:size]
		for r := range c.PatchSize {
			line := frame[r*c.PatchSize:][:c.PatchSize]
			pix := m.Pix[((y+r)*m.Width+x)*channels+ch:]
			for i := range line {
				line[i] = values[ch][pix[i*channels]]
			}
		}
		for t := 1; t < c.TemporalPatchSize; t++ {
			copy(out[(ch*c.TemporalPatchSize+t)*size:][:size], frame)
		}
	}
}

// values has what each byte becomes in each channel: rescaled in float64 and rounded, then normalised in float32, as the
// reference does.
func (c Config) values() (v [channels][256]float32) {
	for ch := range channels {
		mean, std := float32(c.Mean[ch]), float32(c.Std[ch])
		for b := range 256 {
			v[ch][b] = (float32(float64(b)*c.Rescale) - mean) / std
		}
	}
	return v
}
