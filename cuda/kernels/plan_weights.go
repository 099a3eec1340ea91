package kernels

import "github.com/inference-pio/inference-pio/cuda"

// plan_weights.go launches products with matrices of weights. Slices are what a row's bits depend on, and follow from a matrix's columns alone;
// everything else here only says where they are computed.

var weights = map[cuda.OpCode]func(*Plan, *cuda.Op){
	cuda.OpEmbed:  func(p *Plan, op *cuda.Op) { p.launch("embed", 256, 0, ceilDiv(op.Out[0].Len(), 256), 1, 1) },
	cuda.OpMatMul: (*Plan).matmul,
	cuda.OpLatentQuery: func(p *Plan, op *cuda.Op) {
		rank, own := op.Weights[0].Cols, int(op.Ints[0])
		p.latent(op, "latent_query", 4*(latentRows*own+latentWarps*latentRows*latentColumns), max(1, ceilDiv(rank, latentColumns)))
	},
	cuda.OpLatentValue: func(p *Plan, op *cuda.Op) { p.latent(op, "latent_value", 0, ceilDiv(op.Out[0].Dim(2), latentWarps)) },
}

// What a block of latent_weights.cu has.
const latentRows, latentWarps, latentColumns = 8, 8, 64

// latent launches a kernel with blocks for each head and some rows.
func (p *Plan) latent(op *cuda.Op, kernel string, shared, across int) {
	x := op.In[0]
	switch {
	case x.DType() != cuda.F32:
		p.refuse("%v by weights: rows of f32 are multiplied", x)
	case shared > p.Shared:
		p.refuse("%d elements of a query need %d bytes of shared memory, the device has %d", op.Ints[0], shared, p.Shared)
	default:
		p.launch(kernel, 32*latentWarps, shared, across, x.Dim(1), ceilDiv(x.Rows(), latentRows))
	}
}

// product is what weights.cuh says of a layout.
type product struct {
	name  string
	outs  int // of a tile
	order int // of columns
	stage int // bytes of shared memory for a tile by a chunk
	warps int // of a block of matmul_few, at most
}

var products = map[string]product{
	"bf16":        {"bf16", 8, 0, 2048, 12},
	"f16":         {"f16", 8, 0, 2048, 12},
	"f8e4m3/f32":  {"f8", 16, 1, 2048, 8},
	"f8e4m3/bf16": {"f8", 16, 1, 2048, 8},
	cuda.Q8:       {"q8", 16, 2, 2048 + 32, 8},
	cuda.Q4:       {"q4", 16, 2, 1024 + 64, 8},
}

const (
	chunk       = 128 // columns
	chunkBytes  = chunk * 2
	sliceLeast  = 256 // columns of a slice, where there are as many
	slicesMost  = 16
	fewRows     = 16       // that a block of few takes
	warpsOfFew  = 8        // that have a slice each, at least
	sharedOfFew = 64 << 10 // which leaves room for other blocks
	behindRow   = 64       // bytes of shared memory
)

// slicesOf cuts a matrix's columns: how many slices, of how many chunks.
func slicesOf(cols int) (n, chunks int) {
	all := ceilDiv(cols, chunk)
	chunks = ceilDiv(all, min(slicesMost, ceilDiv(cols, sliceLeast)))
	return ceilDiv(all, chunks), chunks
}

// OnTensorCores says whether tensor cores multiply with a matrix: not in f32, and only if its rows are aligned. Where numerics are fast, rows
// of activations are rounded to bf16 for these products, to the nearest, of two the even one; all other products are those of f32.
func OnTensorCores(w cuda.Matrix) bool {
	switch {
	case w.IsZero() || w.Rows == 0 || w.Cols == 0:
		return false
	case w.Layout.Name == "bf16" || w.Layout.Name == "f16":
		return w.Cols%8 == 0
	case w.Layout.Name == cuda.Q8 || w.Layout.Name == cuda.Q4:
		return true
	case w.Layout.Name == "f8e4m3/f32" || w.Layout.Name == "f8e4m3/bf16":
		across := w.Layout.Planes[1].Cols
		return w.Cols%16 == 0 && (across%chunk == 0 || across >= w.Cols)
	}
	return false
}

func (p *Properties) parts() int {
	if p.Fast {
		return 1
	}
	return 3
}

func (p *Properties) numerics() string {
	if p.Fast {
		return "_fast"
	}
	return "_exact"
}

func (p *Plan) matmul(op *cuda.Op) {
	x, w := op.In[0], op.Weights[0]
	if x.DType() != cuda.F32 || op.Out[0].DType() != cuda.F32 {
		p.refuse("%v by weights: rows of f32 are multiplied", x)
		return
	}
	rows := x.Rows()
	switch {
	case rows == 0 || w.Rows == 0:
	case isJoined(op):
		p.joinedProducts(op)
	case !OnTensorCores(w):
		p.launch("matmul_plain", 256, 0, ceilDiv(w.Rows, 8), ceilDiv(rows, 8), 1)
	case rows <= fewRows || !p.matmulMany(w, rows):
		p.matmulFew(w, rows)
	}
}

// few is how a product with few rows is cut into blocks.
type few struct {
	tiles, slices, rows int // of a block
	threads, shared     int
}

// cutFew cuts a product of rows with matrices of so many tiles. With experts, which are as many at once, a block has all slices of its tiles.
func (p *Properties) cutFew(pr product, cols, tiles, rows, matrices, experts int) few {
	alone := experts > 0
	n, chunks := slicesOf(cols)
	f := few{rows: min(rows, fewRows), slices: n}
	zeros := chunkBytes * p.parts() // of a chunk
	row := chunks * zeros           // of a slice
	need := func() int {
		return zeros + f.rows*(f.slices*row+behindRow) + f.tiles*matrices*f.slices*f.rows*pr.outs*4 + min(1, experts)*4*fewPairs
	}
	f.tiles = 1
	for f.rows > 1 && (alone && need() > p.Shared || !alone && zeros+f.rows*(row+behindRow+pr.outs*4) > p.Shared) {
		f.rows = ceilDiv(f.rows, 2)
	}
	if !alone {
		f.slices = min(n, max(1, min(sharedOfFew, p.Shared*3/4)/(row*f.rows)))
	}
	// Enough tiles that all warps have a slice, if that leaves a block for each multiprocessor; that rows are read seldom beside weights; and
	// more of them where there are still blocks enough.
	units, ranges := f.slices*matrices, ceilDiv(n, f.slices)
	f.tiles = ceilDiv(warpsOfFew, units)
	for f.tiles > 1 && ceilDiv(tiles, f.tiles)*ranges*max(1, experts) < p.Multiprocessors {
		f.tiles--
	}
	f.tiles = max(f.tiles, ceilDiv(2*f.rows, pr.outs*matrices), min(max(1, experts)*tiles*ranges/(4*p.Multiprocessors), 8*warpsOfFew/units))
	f.tiles = max(1, min(f.tiles, tiles))
	for !alone && f.slices > 1 && f.tiles*pr.outs*cols > 1<<18 && ceilDiv(tiles, f.tiles)*ceilDiv(n, f.slices) < p.Multiprocessors/2 {
		f.slices = ceilDiv(f.slices, 2) // few blocks with much to read each
	}
	f.slices = ceilDiv(n, ceilDiv(n, f.slices))
	for f.tiles > 1 && need() > p.Shared {
		f.tiles--
	}
	for !alone && f.slices > 1 && need() > p.Shared {
		f.slices--
	}
	most := warpsOfFew
	if !alone {
		most = pr.warps
	}
	f.threads, f.shared = 32*min(most, f.tiles*f.slices*matrices), need()
	return f
}

func (p *Plan) matmulFew(w cuda.Matrix, rows int) {
	pr := products[w.Layout.Name]
	f := p.cutFew(pr, w.Cols, ceilDiv(w.Rows, pr.outs), rows, 1, 0)
	if f.shared > p.Shared {
		p.refuse("%d columns need %d bytes of shared memory, the device has %d", w.Cols, f.shared, p.Shared)
		return
	}
	p.launchFew("matmul_few_", w, ceilDiv(w.Rows, pr.outs), rows, f)
	p.Scratch = max(p.Scratch, 1) // counters are in front of it, should it be joined with what counts
}

// launchFew multiplies few rows by tiles of a matrix, or of some that are beside each other.
func (p *Plan) launchFew(kernel string, w cuda.Matrix, tiles, rows int, f few) {
	pr := products[w.Layout.Name]
	n, chunks := slicesOf(w.Cols)
	ranges := ceilDiv(n, f.slices)
	p.launch(p.name(nameOf{kernel, pr.name, 0, p.numerics()}), f.threads, f.shared, ceilDiv(tiles, f.tiles), ranges, ceilDiv(rows, f.rows),
		chunks, f.tiles, f.slices, n, f.rows, 0)
	if ranges > 1 {
		p.addSlices(n, rows*w.Rows)
	}
}

// addSlices adds slices of so many elements each, which lie behind what scratch has so far.
func (p *Plan) addSlices(n, elements int) {
	p.launch("matmul_add", 256, 0, ceilDiv(elements, 256), 1, 1, n, int(p.Scratch/256))
	p.Scratch += int64(n) * int64(elements) * 4
}

// shape is how a block's products with many rows are cut; see Shape in product.cuh.
type shape struct {
	suffix          string
	rows, outs      int
	threads, stages int
	parts, matrices int
}

var (
	exactShape = shape{"_exact", 64, 64, 128, 2, 3, 1}
	smallShape = shape{"_small", 64, 64, 128, 3, 1, 1}
	largeShape = shape{"_large", 128, 128, 256, 3, 1, 1}
)

func (s shape) shared(pr product) int {
	return s.stages * (s.rows*chunkBytes*s.parts + s.matrices*(s.outs/pr.outs)*pr.stage)
}

func (s shape) blocks(rows, outs int) int { return ceilDiv(rows, s.rows) * ceilDiv(outs, s.outs) }

func (p *Plan) shapeOf(pr product, rows, outs int) shape {
	switch {
	case !p.Fast:
		return exactShape
	case pr.name == "bf16" && largeShape.shared(pr) <= p.Shared && 4*largeShape.blocks(rows, outs) >= 3*p.Multiprocessors:
		return largeShape
	}
	return smallShape
}

// matmulMany says whether there is room for tiles of many rows.
func (p *Plan) matmulMany(w cuda.Matrix, rows int) bool {
	pr := products[w.Layout.Name]
	s := p.shapeOf(pr, rows, w.Rows)
	if s.shared(pr) > p.Shared {
		return false
	}
	n, chunks := slicesOf(w.Cols)
	p.split("matmul_split", rows, w.Cols, pr)
	if p.Warpgroups && pr.name == "bf16" && p.wideOf(rows, w.Rows).shared() <= p.Shared {
		p.matmulWide(w, rows, n, chunks)
		return true
	}
	ranges := min(n, max(1, p.Multiprocessors/s.blocks(rows, w.Rows)))
	each := ceilDiv(n, ranges)
	ranges = ceilDiv(n, each)
	p.launch(p.name(nameOf{"matmul_many_", pr.name, 0, s.suffix}), s.threads, s.shared(pr), ceilDiv(rows, s.rows), ceilDiv(w.Rows, s.outs), ranges,
		chunks, each, n, int(p.Scratch/256))
	if ranges > 1 {
		p.addSlices(n, rows*w.Rows)
	}
	return true
}

// split brings rows into parts, behind what scratch has so far.
func (p *Plan) split(kernel string, rows, cols int, pr product) {
	p.launch(kernel, 256, 0, ceilDiv(rows*ceilDiv(cols, chunk)*(chunk/8), 256), 1, 1, pr.order, p.parts(), int(p.Scratch/256))
	p.Scratch += int64(p.parts()) * int64(rows) * int64(ceilDiv(cols, chunk)) * chunkBytes
}
