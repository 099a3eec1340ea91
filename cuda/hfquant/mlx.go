// mlx.go has the codes of MLX: those of a row are one stream of bits, and all experts of a layer may be in one tensor.

package hfquant

import (
	"fmt"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/weights"
	"github.com/inference-pio/inference-pio/cuda/weights/blocks"
)

// mlxModule reads weight and scales, and biases, which are what is added to codes: (.., rows, words) and (.., rows, groups).
func (r *reader) mlxModule(base string, v weights.View) (weights.View, error) {
	n := len(v.Shape)
	scales, _ := r.src.Get(base+".scales", nil)
	if n < 2 || n > 3 || len(scales.Shape) != n || elements(scales.Shape) < 1 || elements(v.Shape) < 1 || elements(v.Shape)/v.Shape[n-1] != elements(scales.Shape)/scales.Shape[n-1] {
		return v, fmt.Errorf("tensor %q: is %v, no factors of the rows of %v", base+".scales", scales.Shape, v.Shape)
	}
	rows, wide, groups := elements(v.Shape)/v.Shape[n-1], v.Shape[n-1], scales.Shape[n-1]
	said, ok := r.groupsOf(base, wide, groups)
	if !ok {
		return v, fmt.Errorf("tensor %q: %d words and %d groups in a row are not what config.json says of it, codes of %d bits in groups of %d", base+".weight", wide, groups, said.Bits, said.Size)
	}
	g := &grouped{data: v.Data, rowBytes: 4 * wide, cols: groups * said.Size, bits: said.Bits, unpack: stream}
	if err := r.mlxFactors(base, g, said, rows); err != nil {
		return v, err
	}
	if _, more := r.src.Get(base+".global_scale", nil); more {
		return v, fmt.Errorf("tensor %q: a factor for all of it is not read: %s", base+".global_scale", Instead("other"))
	}
	made := coded(fmt.Sprintf("%d bits of MLX", said.Bits), rows, g.cols, g)
	if n == 3 {
		made.Shape = []int{v.Shape[0], v.Shape[1], g.cols}
	}
	return made, nil
}

// mlxFactors reads the factors of a mode.
func (r *reader) mlxFactors(base string, g *grouped, said group, rows int) (err error) {
	name := base + ".scales"
	switch said.Mode {
	case "", "affine":
		g.added = true
		if g.factors, g.each, err = r.factors(name, rows, g.cols); err != nil {
			return err
		}
		biases, each, err := r.factors(base+".biases", rows, g.cols)
		if err == nil && each != g.each {
			err = fmt.Errorf("tensor %q: has other groups than %s", base+".biases", name)
		}
		g.zeros = func(to []float32, row int) { biases.Widen(to, row) }
		return err
	case "mxfp4", "mxfp8":
		if g.unpack, g.kind = halves, blocks.Float4; said.Bits == 8 {
			g.unpack, g.kind = nil, blocks.Float8
		}
		g.factors, g.each, err = r.powersOf(name, rows, g.cols)
		return err
	case "nvfp4":
		g.unpack, g.kind = halves, blocks.Float4
		scales, _ := r.get(name)
		if scales.Format != "U8" {
			return fmt.Errorf("tensor %q: is %s; factors of nvfp4 are F8_E4M3, written as U8", name, scales.Format)
		}
		scales.Format, scales.DType, scales.Known = "F8_E4M3", cuda.F8E4M3, true // as which it is written
		numbers, _ := weights.Numbers(scales)
		g.factors, g.each = numbers, 16
		return nil
	}
	return fmt.Errorf("tensor %q: mode is %q, which is not built", name, said.Mode)
}

// floatModes are the modes in which codes are small floats, each with the only groups it has.
var floatModes = map[string]group{"mxfp4": {32, 4, "mxfp4"}, "mxfp8": {32, 8, "mxfp8"}, "nvfp4": {16, 4, "nvfp4"}}

// groupsOf is how a module is quantised: as the config says of it, or of all, or with 8 bits in groups of 64, as routers are; the first that its
// tensors can be.
func (r *reader) groupsOf(base string, wide, groups int) (group, bool) {
	all := []group{r.groups, {64, 8, "affine"}}
	if own, ok := r.modules[base]; ok {
		all = []group{own}
	}
	for _, g := range all {
		built := g.Bits >= 1 && g.Bits <= 6 || g.Bits == 8
		if float, is := floatModes[g.Mode]; is {
			built = g == float
		}
		if built && g.Size > 0 && g.Size <= 1<<16 && groups <= 1<<24 && groups*g.Size*g.Bits == wide*32 {
			return g, true
		}
	}
	return all[0], false
}
