package main

import (
	"math"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/nn"
)

// naive_test.go is the tower once more, in plain float64 loops: no kernels, no parts, no placement. It is for configs that no
// reference was run on.

// matrix is rows of equal length.
type matrix [][]float64

// naiveTower gives the features of a picture as see does, each as one list.
func naiveTower(m *Model, p *Picture) (features [][]float64) {
	t, c := &m.Tower, m.cfg.Vision
	var x matrix
	values := p.values(0, p.patches())
	for i := range p.patches() {
		row := make([]float64, c.patchValues())
		for j := range row {
			row[j] = float64(values[i*len(row)+j])
		}
		x = append(x, row)
	}
	x = linear(t.Patch, x)
	for i := range x {
		add(x[i], naivePosition(t, p, i))
	}
	deep := map[int][]float64{}
	for i := range t.Blocks {
		x = naiveBlock(t, &t.Blocks[i], x, p)
		for k, block := range c.DeepStackVisualIndexes {
			if block == i {
				deep[i] = naiveMerge(&t.DeepStack[k], x, c.group())
			}
		}
	}
	features = append(features, naiveMerge(&t.Merger, x, c.group()))
	for i := range t.Blocks {
		if d, ok := deep[i]; ok {
			features = append(features, d)
		}
	}
	return features
}

func naivePosition(t *Tower, p *Picture, i int) []float64 {
	row, column := p.grid.place(i, p.merge)
	side := t.cfg.side()
	along := func(at, n int) float64 {
		if n == 1 {
			return 0
		}
		return float64(at) * float64(side-1) / float64(n-1)
	}
	r, c := along(row, p.grid.rows), along(column, p.grid.columns)
	out := make([]float64, t.cfg.HiddenSize)
	for y := range side {
		for x := range side {
			weight := max(1-math.Abs(r-float64(y)), 0) * max(1-math.Abs(c-float64(x)), 0)
			if weight == 0 {
				continue
			}
			for j := range out {
				out[j] += weight * at(t.Positions.W, (y*side+x)*len(out)+j)
			}
		}
	}
	return out
}

func naiveBlock(t *Tower, b *Block, x matrix, p *Picture) matrix {
	hidden, dim := t.cfg.HiddenSize, t.cfg.headDim()
	qkv := linear(b.QKV, layerNorm(b.Norm1, x))
	for i := range qkv {
		row, column := p.grid.place(i, p.merge)
		for h := range 2 * t.cfg.NumHeads { // queries, then keys
			turn(qkv[i][h*dim:(h+1)*dim], row, column, t.cfg.RopeTheta)
		}
	}
	y := make(matrix, len(x))
	for i := range y {
		y[i] = make([]float64, hidden)
		for h := range t.cfg.NumHeads {
			attendNaively(y[i][h*dim:(h+1)*dim], qkv, i, h, hidden)
		}
	}
	y = linear(b.O, y)
	for i := range y {
		add(y[i], x[i])
	}
	z := linear(b.FC1, layerNorm(b.Norm2, y))
	for i := range z {
		for j, v := range z[i] {
			z[i][j] = gelu(v, t.act)
		}
	}
	z = linear(b.FC2, z)
	for i := range z {
		add(z[i], y[i])
	}
	return z
}

// turn rotates a head: pair j is (j, j + dim/2), by the row in the first half of the pairs and by the column in the second.
func turn(head []float64, row, column int, theta float64) {
	half := len(head) / 2
	for j := range half {
		place, k := row, j
		if j >= half/2 {
			place, k = column, j-half/2
		}
		sin, cos := math.Sincos(float64(place) * math.Pow(theta, -float64(2*k)/float64(half)))
		a, b := head[j], head[j+half]
		head[j], head[j+half] = a*cos-b*sin, b*cos+a*sin
	}
}

func attendNaively(out []float64, qkv matrix, i, h, hidden int) {
	dim, sum := len(out), 0.0
	q, scores, most := qkv[i][h*dim:(h+1)*dim], make([]float64, len(qkv)), math.Inf(-1)
	for j := range qkv {
		scores[j] = dot(q, qkv[j][hidden+h*dim:][:dim]) / math.Sqrt(float64(dim))
		most = max(most, scores[j])
	}
	for j := range qkv {
		e := math.Exp(scores[j] - most)
		sum += e
		for k := range out {
			out[k] += e * qkv[j][2*hidden+h*dim+k]
		}
	}
	for k := range out {
		out[k] /= sum
	}
}

func naiveMerge(m *Merger, x matrix, group int) (out []float64) {
	if !m.joined {
		x = layerNorm(m.Norm, x)
	}
	var y matrix
	for i := 0; i < len(x); i += group {
		var row []float64
		for _, part := range x[i : i+group] {
			row = append(row, part...)
		}
		y = append(y, row)
	}
	if m.joined {
		y = layerNorm(m.Norm, y)
	}
	y = linear(m.FC1, y)
	for i := range y {
		for j, v := range y[i] {
			y[i][j] = gelu(v, cuda.GELUErf)
		}
	}
	for _, row := range linear(m.FC2, y) {
		out = append(out, row...)
	}
	return out
}

func linear(l nn.Linear, x matrix) matrix {
	y, in := make(matrix, len(x)), l.W.Shape[1]
	w := make([]float64, l.W.Shape[0]*in)
	for i := range w {
		w[i] = at(l.W, i)
	}
	for i := range x {
		y[i] = make([]float64, l.W.Shape[0])
		for o := range y[i] {
			y[i][o] = dot(x[i], w[o*in:(o+1)*in]) + at(l.Bias, o)
		}
	}
	return y
}

func layerNorm(n nn.LayerNorm, x matrix) matrix {
	y := make(matrix, len(x))
	for i, row := range x {
		mean, variance := 0.0, 0.0
		for _, v := range row {
			mean += v / float64(len(row))
		}
		for _, v := range row {
			variance += (v - mean) * (v - mean) / float64(len(row))
		}
		y[i] = make([]float64, len(row))
		for j, v := range row {
			y[i][j] = (v-mean)/math.Sqrt(variance+visionEps)*at(n.W, j) + at(n.B, j)
		}
	}
	return y
}

func gelu(x float64, form cuda.GELUForm) float64 {
	if form == cuda.GELUTanh {
		return x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
	}
	return x / 2 * (1 + math.Erf(x/math.Sqrt2))
}

// at is an element of a weight, which is f32 or bf16.
func at(w *cuda.Weight, i int) float64 {
	raw := w.File().Plane(0).Raw()
	if w.File().Layout == cuda.Plain(cuda.F32) {
		return float64(math.Float32frombits(uint32(raw[4*i]) | uint32(raw[4*i+1])<<8 | uint32(raw[4*i+2])<<16 | uint32(raw[4*i+3])<<24))
	}
	return float64(math.Float32frombits(uint32(raw[2*i])<<16 | uint32(raw[2*i+1])<<24))
}

func dot(a, b []float64) (sum float64) {
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}

func add(to, x []float64) {
	for i := range to {
		to[i] += x[i]
	}
}
