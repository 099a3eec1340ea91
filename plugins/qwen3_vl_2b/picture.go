// From a file to patches: what preprocessor_config.json says, and the pictures made as it says.

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"

	fit "github.com/inference-pio/inference-pio/cuda/picture"
	"github.com/inference-pio/inference-pio/cuda/serve"
	"github.com/inference-pio/inference-pio/sdk/picture"
)

// Picture is a decoded picture in the size that the tower sees it in. Its pixels are given up when it has been seen.
type Picture struct {
	cfg   fit.Config
	image fit.Image
	grid  grid // of patches
	merge int
	hash  [32]byte
}

// Tokens is how many tokens stand for it in the prompt.
func (p *Picture) Tokens() int { return p.patches() / (p.merge * p.merge) }

// Hash is equal for pictures that the tower cannot tell apart.
func (p *Picture) Hash() [32]byte { return p.hash }

func (p *Picture) patches() int { return p.grid.rows * p.grid.columns }

// values are the patches from..to-1: (patches, patch values). It is nil once the pixels are given up, which a step refuses.
func (p *Picture) values(from, to int) []float32 {
	out := make([]float32, (to-from)*p.cfg.PatchValues())
	if p.cfg.PatchRows(out, p.image, from) != nil {
		return nil
	}
	return out
}

// Bytes are those of the pixels.
func (p *Picture) Bytes() int64 { return 3 * int64(p.image.Width) * int64(p.image.Height) }

// Blank is a picture of about so many pixels, as near to a square as whole tokens are.
func (m *Model) Blank(pixels int) serve.Picture {
	side := m.look.Factor() // of what a token stands for
	tokens := max(min(pixels, m.look.MaxPixels)/(side*side), 1)
	rows := int(math.Sqrt(float64(tokens)))
	p := &Picture{cfg: m.look, merge: m.look.MergeSize, grid: grid{rows * m.look.MergeSize, tokens / rows * m.look.MergeSize}}
	p.image = fit.Image{Width: tokens / rows * side, Height: rows * side}
	return p
}

// Cost is what a file takes to decode and to fit: while it is resized both sizes exist.
func (m *Model) Cost(file []byte) (int64, error) {
	n, err := picture.Cost(file, picture.Limits{})
	return n + 3*int64(m.look.MaxPixels), err
}

// Look decodes a file and makes it as large as the model wants pictures. Errors are for whoever sent it.
func (m *Model) Look(ctx context.Context, file []byte) (serve.Picture, error) {
	image, err := picture.Decode(ctx, file, picture.Limits{})
	if err != nil {
		return nil, err
	}
	fitted, err := m.look.Fit(fit.Image{Width: image.Width, Height: image.Height, Pix: image.Pix}, runtime.GOMAXPROCS(0))
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil { // each of these takes a fraction of a second
		return nil, ctx.Err()
	}
	p := &Picture{cfg: m.look, image: fitted, merge: m.look.MergeSize}
	p.grid.rows, p.grid.columns = m.look.Grid(fitted)
	p.hash = (&picture.Image{Width: fitted.Width, Height: fitted.Height, Pix: fitted.Pix}).Hash()
	return p, nil
}

// publishedLook is preprocessor_config.json of the published model, for a tower.
func publishedLook(c VisionConfig) fit.Config {
	half := [3]float64{0.5, 0.5, 0.5}
	return fit.Config{
		PatchSize: c.PatchSize, TemporalPatchSize: c.TemporalPatchSize, MergeSize: c.SpatialMergeSize,
		MinPixels: 65536, MaxPixels: 16777216, Rescale: 1.0 / 255, Mean: half, Std: half,
	}
}

// preprocessor is preprocessor_config.json in its own words. Absent keys are nil.
type preprocessor struct {
	Size struct {
		Shortest *int `json:"shortest_edge"` // pixels of a whole picture, not of an edge
		Longest  *int `json:"longest_edge"`
	} `json:"size"`
	MinPixels         *int      `json:"min_pixels"` // an older spelling, which counts where both are given, as in the reference
	MaxPixels         *int      `json:"max_pixels"`
	PatchSize         *int      `json:"patch_size"`
	TemporalPatchSize *int      `json:"temporal_patch_size"`
	MergeSize         *int      `json:"merge_size"`
	ImageMean         []float64 `json:"image_mean"`
	ImageStd          []float64 `json:"image_std"`
	RescaleFactor     *float64  `json:"rescale_factor"`
	Resample          *int      `json:"resample"`
	DoResize          *bool     `json:"do_resize"`
	DoRescale         *bool     `json:"do_rescale"`
	DoNormalize       *bool     `json:"do_normalize"`
	DoConvertRGB      *bool     `json:"do_convert_rgb"`
}

// bicubic is Pillow's number of the filter.
const bicubic = 3

// ReadPreprocessor takes preprocessor_config.json. Without one the published numbers hold.
func (m *Model) ReadPreprocessor(text []byte) error {
	var p preprocessor
	if err := json.Unmarshal(bytes.TrimPrefix(text, []byte("\ufeff")), &p); err != nil {
		return fmt.Errorf("preprocessor_config.json: %w", err)
	}
	look, v := m.look, m.cfg.Vision
	var errs []error
	refuse := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf("preprocessor_config.json: "+format, args...))
		}
	}
	for _, n := range []struct {
		key   string
		got   *int
		tower int
	}{{"patch_size", p.PatchSize, v.PatchSize}, {"temporal_patch_size", p.TemporalPatchSize, v.TemporalPatchSize}, {"merge_size", p.MergeSize, v.SpatialMergeSize}} {
		refuse(n.got != nil && *n.got != n.tower, "%s is %d, and the tower's in config.json is %d", n.key, value(n.got), n.tower)
	}
	for key, on := range map[string]*bool{"do_resize": p.DoResize, "do_rescale": p.DoRescale, "do_normalize": p.DoNormalize, "do_convert_rgb": p.DoConvertRGB} {
		refuse(on != nil && !*on, "%s is false, which is not built; only true is", key)
	}
	refuse(p.Resample != nil && *p.Resample != bicubic, "resample is %d, which is not built; only %d, bicubic, is", value(p.Resample), bicubic)
	errs = append(errs, p.apply(&look))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	m.look = look
	return nil
}

// apply puts what a picture is made to into c.
func (p *preprocessor) apply(c *fit.Config) error {
	for _, n := range []struct {
		to   *int
		from []*int
	}{{&c.MinPixels, []*int{p.MinPixels, p.Size.Shortest}}, {&c.MaxPixels, []*int{p.MaxPixels, p.Size.Longest}}} {
		if i := slices.IndexFunc(n.from, func(v *int) bool { return v != nil }); i >= 0 {
			*n.to = *n.from[i]
		}
	}
	if p.RescaleFactor != nil {
		c.Rescale = *p.RescaleFactor
	}
	for _, l := range []struct {
		key  string
		list []float64
		to   *[3]float64
	}{{"image_mean", p.ImageMean, &c.Mean}, {"image_std", p.ImageStd, &c.Std}} {
		if len(l.list) != 3 {
			return fmt.Errorf("preprocessor_config.json: %s is %v; three numbers are needed", l.key, l.list)
		}
		*l.to = [3]float64(l.list)
	}
	if err := c.Validate(); err != nil {
		return fmt.Errorf("preprocessor_config.json: %w", err)
	}
	return nil
}

func value(n *int) int {
	if n == nil {
		return 0
	}
	return *n
}
