package cpu_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/spec"
)

// route is the op of a router that chooses as c says.
func route(index []int32, weights, logits []float32, c spec.Routing) *cuda.Op {
	return cuda.NewOp(cuda.OpRoute).Gives(i32(index, c.TopK), f32(weights, c.TopK)).Takes(f32(logits, c.Experts)).By(c.Bias).With(c.Epsilon, c.Scale).
		At(flag(c.Sigmoid), int32(c.TopK), int32(c.Groups), int32(c.TopGroups), flag(c.Normalize))
}

func flag(b bool) int32 {
	if b {
		return 1
	}
	return 0
}

// TestRouteByHand is one row of logits after the other, with what must come out. Sigmoid of 0 is 1/2, of ln 3 is 3/4.
func TestRouteByHand(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	ln3 := float32(math.Log(3))
	for name, c := range map[string]struct {
		how     spec.Routing
		logits  []float32
		index   []int32
		weights []float64
	}{
		"the largest first":                       {spec.Routing{TopK: 2, Normalize: true}, []float32{0, ln3, 0, -9}, []int32{1, 0}, []float64{0.75, 0.25}},
		"not normalized: shares of all experts":   {spec.Routing{TopK: 2}, []float32{0, ln3, 0, 0}, []int32{1, 0}, []float64{0.5, 1. / 6}},
		"of equals the lower expert":              {spec.Routing{TopK: 3}, []float32{1, 1, 1, 1, 1}, []int32{0, 1, 2}, []float64{0.2, 0.2, 0.2}},
		"closer than scores can tell":             {spec.Routing{TopK: 2}, []float32{-200, -199, 100}, []int32{2, 1}, []float64{1, 0}},
		"all, when all are asked for":             {spec.Routing{TopK: 3, Normalize: true, Scale: 2}, []float32{0, 0, ln3}, []int32{2, 0, 1}, []float64{1.2, 0.4, 0.4}},
		"scaled":                                  {spec.Routing{TopK: 1, Normalize: true, Scale: 1.8}, []float32{3, 2}, []int32{0}, []float64{1.8}},
		"scaled though not normalized":            {spec.Routing{TopK: 1, Sigmoid: true, Scale: 2}, []float32{0, -1}, []int32{0}, []float64{1}},
		"sigmoids":                                {spec.Routing{TopK: 2, Sigmoid: true}, []float32{0, ln3, -1}, []int32{1, 0}, []float64{0.75, 0.5}},
		"an epsilon in the sum":                   {spec.Routing{TopK: 2, Sigmoid: true, Normalize: true, Epsilon: 0.25}, []float32{0, ln3, -1}, []int32{1, 0}, []float64{0.5, 1. / 3}},
		"a bias turns the choice, not the weight": {spec.Routing{TopK: 1, Sigmoid: true, Bias: vector(0.3, 0, 0)}, []float32{0, ln3, -1}, []int32{0}, []float64{0.5}},
		"a negative bias":                         {spec.Routing{TopK: 2, Sigmoid: true, Bias: vector(-5, -4, -6)}, []float32{0, 0, 0}, []int32{1, 0}, []float64{0.5, 0.5}},
		"a bias on a softmax":                     {spec.Routing{TopK: 1, Bias: vector(0, 0.9, 0, 0)}, []float32{ln3, 0, 0, 0}, []int32{1}, []float64{1. / 6}},
		// The groups' two best are 0.5+0.5, 0.75+0.1 and 0.5+0.4; the single best expert is in the worst group.
		"groups by their two best": {spec.Routing{TopK: 2, Sigmoid: true, Groups: 3, TopGroups: 2}, []float32{0, 0, ln3, -2.1972246, 0, -0.4054651}, []int32{0, 1}, []float64{0.5, 0.5}},
		// Experts outside the group are no candidates even where those within have negative scores.
		"groups with negative biases": {spec.Routing{TopK: 2, Sigmoid: true, Groups: 2, TopGroups: 1, Bias: vector(-9, -9, -2, -9)}, []float32{0, 0, ln3, 0}, []int32{2, 3}, []float64{0.75, 0.5}},
		"of equal groups the lower":   {spec.Routing{TopK: 1, Sigmoid: true, Groups: 2, TopGroups: 1}, []float32{0, 0, 0, 0}, []int32{0}, []float64{0.5}},
		"no number is the worst":      {spec.Routing{TopK: 2, Sigmoid: true}, []float32{nan, -50, 0}, []int32{2, 1}, []float64{0.5, math.Exp(-50)}},
		"nothing but no numbers":      {spec.Routing{TopK: 2, Sigmoid: true}, []float32{nan, nan, nan}, []int32{0, 1}, []float64{math.NaN(), math.NaN()}},
		"infinite":                    {spec.Routing{TopK: 1, Sigmoid: true}, []float32{0, inf}, []int32{1}, []float64{1}},
	} {
		t.Run(name, func(t *testing.T) {
			c.how.Experts = len(c.logits)
			if c.how.Scale == 0 {
				c.how.Scale = 1
			}
			check := func(t *testing.T, choose func(index []int32, weights []float32)) {
				index, weights := make([]int32, c.how.TopK), make([]float32, c.how.TopK)
				choose(index, weights)
				if !slices.Equal(index, c.index) {
					t.Errorf("chose %v, not %v", index, c.index)
				}
				for i, w := range weights {
					if d := math.Abs(float64(w) - c.weights[i]); !(d <= 8*eps*c.weights[i]+1e-37) && !math.IsNaN(c.weights[i]) {
						t.Errorf("weights %v, not %v", weights, c.weights)
					}
				}
			}
			t.Run("specification", func(t *testing.T) {
				check(t, func(index []int32, weights []float32) { spec.Route(index, weights, c.logits, c.how) })
			})
			eachTable(t, func(t *testing.T, d *device) {
				check(t, func(index []int32, weights []float32) { d.run(t, route(index, weights, c.logits, c.how)) })
			})
		})
	}
}

// TestRouteMatchesTheSpecification on random logits, of all kinds of router, with more and fewer experts than a vector.
func TestRouteMatchesTheSpecification(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(1, 8))
		for i := range 200 {
			c := spec.Routing{Sigmoid: i%2 == 1, Normalize: i%3 > 0, Epsilon: 1e-20, Scale: 1 + rng.Float32(), Experts: 2 + rng.IntN(40)}
			if i%5 == 4 {
				c.Groups = 1 + rng.IntN(4)
				c.Experts = c.Groups * (2 + rng.IntN(12))
				c.TopGroups = 1 + rng.IntN(c.Groups)
			}
			c.TopK = 1 + rng.IntN(c.Experts/max(c.Groups, 1))
			if i%7 > 3 {
				c.Bias = randomMatrix(rng, vectorLayouts[i%len(vectorLayouts)], 1, c.Experts)
			}
			rows := 1 + rng.IntN(300)
			logits := random(rng, rows*c.Experts)
			index, want := make([]int32, rows*c.TopK), make([]int32, rows*c.TopK)
			weights, exact := make([]float32, rows*c.TopK), make([]float32, rows*c.TopK)
			d.run(t, route(index, weights, logits, c))
			spec.Route(want, exact, logits, c)
			if !slices.Equal(index, want) {
				t.Fatalf("%+v: chose other experts", c)
			}
			// A score is an exponential (2 units), a sum of n and a division; a weight has a sum of k and a division more.
			within(t, fmt.Sprintf("%+v", c), weights, exact, relative(exact, float64(c.Experts+c.TopK+12)))
		}
	})
}

// TestRouteOfManyExperts: more than any published router has, or an error.
func TestRouteOfManyExperts(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		for _, experts := range []int{512, 4096, 4097, 10_000} {
			c := spec.Routing{Experts: experts, TopK: 22, Scale: 1, Normalize: true}
			logits := random(rand.New(rand.NewPCG(1, 9)), 3*experts)
			index, want := make([]int32, 3*c.TopK), make([]int32, 3*c.TopK)
			weights, exact := make([]float32, 3*c.TopK), make([]float32, 3*c.TopK)
			if err := d.do(route(index, weights, logits, c)); err != nil && experts > 4096 {
				continue
			} else if err != nil {
				t.Fatal(err)
			}
			spec.Route(want, exact, logits, c)
			sameInts(t, shape(experts), index, want)
			within(t, shape(experts), weights, exact, relative(exact, float64(experts+c.TopK+12)))
		}
	})
}

// mixture is rows that go to experts of a layer.
type mixture struct {
	rows, k, hidden, inner int
	x, weights             []float32
	index                  []int32
	experts                []cuda.Expert
}

// newMixture sends each row to k different experts of so many, the first ones more often than the last, of which some have nobody.
func newMixture(rng *rand.Rand, layout string, rows, experts, k, hidden, inner int) mixture {
	m := mixture{rows: rows, k: k, hidden: hidden, inner: inner, x: random(rng, rows*hidden), weights: random(rng, rows*k)}
	for range rows {
		some := max(k, experts*3/4)
		if rng.IntN(2) == 0 {
			some = max(k, experts/4)
		}
		for _, e := range rng.Perm(some)[:k] {
			m.index = append(m.index, int32(e))
		}
	}
	for range experts {
		m.experts = append(m.experts, cuda.Expert{Gate: randomMatrix(rng, layout, inner, hidden), Up: randomMatrix(rng, layout, inner, hidden),
			Down: randomMatrix(rng, layout, hidden, inner)})
	}
	return m
}

// op is the mixture, in room for all; without y it leaves what each expert makes of each row, without weights, in rows.
func (m mixture) op(y, rows []float32) *cuda.Op { return m.opIn(m.rows*m.k, y, rows) }

// opIn is op in room for so many of its rows at once.
func (m mixture) opIn(room int, y, rows []float32) *cuda.Op {
	op := cuda.NewOp(cuda.OpExperts)
	if y == nil {
		op.Gives(cuda.Tensor{})
	} else {
		op.Gives(f32(y, m.hidden))
	}
	inner := f32(make([]float32, 2*room*m.inner), room, m.inner)
	op.Gives(f32(rows, m.hidden), inner).Takes(f32(m.x, m.hidden), i32(m.index, m.k), f32(m.weights, m.k))
	op.Experts = &cuda.ExpertTable{Experts: m.experts}
	return op
}

func expertSum(y, rows []float32, m mixture) *cuda.Op {
	return cuda.NewOp(cuda.OpExpertSum).Gives(f32(y, m.hidden)).Takes(f32(rows, m.hidden), i32(m.index, m.k), f32(m.weights, m.k))
}

// part is some rows of it.
func (m mixture) part(from, to int) mixture {
	m.x, m.index, m.weights = m.x[from*m.hidden:to*m.hidden], m.index[from*m.k:to*m.k], m.weights[from*m.k:to*m.k]
	m.rows = to - from
	return m
}

// only is it with those experts alone that a device has.
func (m mixture) only(has func(expert int) bool) mixture {
	m.experts = slices.Clone(m.experts)
	for e := range m.experts {
		if !has(e) {
			m.experts[e] = cuda.Expert{}
		}
	}
	return m
}

// run gives the sums, and what each expert made of each row.
func (m mixture) run(t *testing.T, d *device) (y, rows []float32) {
	t.Helper()
	y, rows = noNumbers(m.rows*m.hidden), noNumbers(m.rows*m.k*m.hidden)
	d.run(t, m.op(y, noNumbers(len(rows))))
	d.run(t, m.op(nil, rows))
	return y, rows
}

// noNumbers is what results hold before they are written.
func noNumbers(n int) []float32 { return slices.Repeat([]float32{float32(math.NaN())}, n) }

// mixtures are sizes of a layer, from one row to hundreds, with experts for a panel of rows and experts for one.
var mixtures = []struct{ rows, experts, k, hidden, inner int }{
	{1, 1, 1, 1, 1}, {1, 8, 8, 70, 13}, {3, 5, 2, 9, 515}, {130, 4, 2, 70, 37}, {17, 512, 10, 33, 20}, {400, 512, 3, 24, 8}, {300, 9, 1, 100, 8},
}

// TestExpertsMatchTheSpecification, what each makes of a row and their sum. The error of a product is matmul's; silu's slope is below
// 1.1, and what errors its factors have goes through the last product.
func TestExpertsMatchTheSpecification(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(2, 8))
		for _, layout := range layouts {
			for _, s := range mixtures {
				m := newMixture(rng, layout, s.rows, s.experts, s.k, s.hidden, s.inner)
				what := fmt.Sprint(layout, s)
				y, rows := m.run(t, d)
				want := make([]float32, len(rows))
				plain := plainExperts(m.experts)
				spec.Experts(want, m.x, m.index, m.k, plain)
				for i, e := range m.index {
					from, to := i*m.hidden, (i+1)*m.hidden
					within(t, what, rows[from:to], want[from:to], expertBound(m.x[i/m.k*m.hidden:][:m.hidden], plain[e]))
				}
				sum, size := make([]float32, len(y)), make([]float64, len(y))
				spec.ExpertSum(sum, rows, m.weights, m.k)
				for i := range size {
					for j := range m.k {
						size[i] += math.Abs(float64(m.weights[i/m.hidden*m.k+j]) * float64(rows[(i/m.hidden*m.k+j)*m.hidden+i%m.hidden]))
					}
				}
				within(t, what, y, sum, func(i int) float64 { return eps * size[i] * float64(2*m.k+1) })
			}
		}
	})
}

// plainExperts have the same elements, each in f32: the specification and its bounds take them again for every row.
func plainExperts(experts []cuda.Expert) []cuda.Expert {
	plain := func(m cuda.Matrix) cuda.Matrix { return matrixOf(spec.Elements(m), cuda.F32, m.Rows, m.Cols) }
	list := make([]cuda.Expert, len(experts))
	for i, e := range experts {
		list[i] = cuda.Expert{Gate: plain(e.Gate), Up: plain(e.Up), Down: plain(e.Down)}
	}
	return list
}

// expertBound is what rounding can do to what one expert makes of one row.
func expertBound(x []float32, e cuda.Expert) func(i int) float64 {
	inner := e.Gate.Rows
	gate, up := make([]float32, inner), make([]float32, inner)
	spec.MatMul(gate, x, e.Gate)
	spec.MatMul(up, x, e.Up)
	product, off := make([]float32, inner), make([]float64, inner)
	spec.SwiGLU(product, gate, up)
	gateOff, upOff := matmulBound(x, e.Gate), matmulBound(x, e.Up)
	for i := range off {
		silu := math.Abs(float64(gate[i]) / (1 + math.Exp(-float64(gate[i]))))
		off[i] = 1.1*(gateOff(i)+eps)*math.Abs(float64(up[i])) + silu*upOff(i) + 1.1*gateOff(i)*upOff(i) + 9*eps*math.Abs(float64(product[i]))
	}
	last, down := matmulBound(product, e.Down), spec.Elements(e.Down)
	return func(i int) float64 {
		bound := last(i)
		for k := range inner {
			bound += 1.01 * off[k] * math.Abs(float64(down[i*inner+k]))
		}
		return bound
	}
}

// TestExpertsAreMatMulsOfEachRow, to the bit: what an expert makes of a row is what the ops it is named after make of that row alone.
func TestExpertsAreMatMulsOfEachRow(t *testing.T) {
	eachNumerics(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(3, 8))
		for _, layout := range layouts {
			for _, s := range mixtures {
				expertsAreMatMuls(t, d, fmt.Sprint(layout, s), newMixture(rng, layout, s.rows, s.experts, s.k, s.hidden, s.inner))
			}
		}
	})
}

func expertsAreMatMuls(t *testing.T, d *device, what string, m mixture) {
	t.Helper()
	_, rows := m.run(t, d)
	gate, up, row := make([]float32, m.inner), make([]float32, m.inner), make([]float32, m.hidden)
	for i, e := range m.index {
		x := m.x[i/m.k*m.hidden:][:m.hidden]
		d.run(t, matmul(gate, x, m.experts[e].Gate))
		d.run(t, matmul(up, x, m.experts[e].Up))
		d.run(t, cuda.NewOp(cuda.OpSwiGLU).Gives(f32(gate)).Takes(f32(gate), f32(up)))
		d.run(t, matmul(row, gate, m.experts[e].Down))
		sameBits(t, what, rows[i*m.hidden:(i+1)*m.hidden], row)
	}
}

// TestExpertsOfSeveralLayouts: with fast numerics, experts of one mixture may take its rows in several forms.
func TestExpertsOfSeveralLayouts(t *testing.T) {
	eachFast(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(3, 9))
		for _, s := range mixtures {
			m := newMixture(rng, "q8", s.rows, s.experts, s.k, s.hidden, s.inner)
			for e := range m.experts {
				if layout := []string{"q8", "bf16", "q4", "q4k", "q6k"}[e%5]; layout != "q8" {
					m.experts[e] = newMixture(rng, layout, 0, 1, 0, s.hidden, s.inner).experts[0]
				}
			}
			expertsAreMatMuls(t, d, fmt.Sprint(s), m)
		}
	})
}

// TestExpertsDoNotDependOnCompany: rows alone, in parts and shuffled, on one thread and on several, give the bits that they give together.
func TestExpertsDoNotDependOnCompany(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(4, 8))
		one := newDevice(t, 1, lastName(t))
		for _, layout := range layouts {
			for _, s := range mixtures {
				m := newMixture(rng, layout, s.rows, s.experts, s.k, s.hidden, s.inner)
				y, rows := m.run(t, d)
				for _, batch := range []int{1, 7, 100, s.rows} {
					for from := 0; from < s.rows; from += batch {
						to := min(s.rows, from+batch)
						partY, partRows := m.part(from, to).run(t, one)
						what := fmt.Sprint(layout, s, " from row ", from, " by ", batch)
						sameBits(t, what, partY, y[from*s.hidden:to*s.hidden])
						sameBits(t, what, partRows, rows[from*s.k*s.hidden:to*s.k*s.hidden])
					}
				}
			}
		}
	})
}

// TestExpertsInAnyRoom: with room for the rows of one expert at a time, of some, or of all, the bits are the same; with less it is told.
func TestExpertsInAnyRoom(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(8, 8))
		for _, s := range mixtures {
			m := newMixture(rng, "bf16", s.rows, s.experts, s.k, s.hidden, s.inner)
			want, _ := m.run(t, d)
			goTo := make([]int, s.experts)
			for _, e := range m.index {
				goTo[e]++
			}
			least := slices.Max(goTo)
			for _, room := range []int{least, min(least+1, s.rows*s.k), min(2*least+3, s.rows*s.k)} {
				y := noNumbers(len(want))
				d.run(t, m.opIn(room, y, noNumbers(room*s.hidden)))
				sameBits(t, fmt.Sprint(s, " in room for ", room), y, want)
			}
			if least > 1 {
				if d.do(m.opIn(least-1, make([]float32, len(want)), make([]float32, (least-1)*s.hidden))) == nil {
					t.Errorf("%v: room for %d rows where an expert has %d was accepted", s, least-1, least)
				}
			}
		}
	})
}

// TestExpertsInSeveralPlaces: what is left out of one table and stands in another is added, and then summed: the bits of the whole. What
// is in no place is zeros, whatever lay there.
func TestExpertsInSeveralPlaces(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(5, 8))
		for _, layout := range layouts {
			for _, s := range mixtures {
				m := newMixture(rng, layout, s.rows, s.experts, s.k, s.hidden, s.inner)
				y, rows := m.run(t, d)
				for name, place := range map[string]func(int) int{
					"all in one": func(int) int { return 0 }, "in turn": func(e int) int { return e % 3 }, "the first elsewhere": func(e int) int { return min(e, 1) },
				} {
					sum := make([]float32, len(rows))
					for p := range 3 {
						there, part := m.only(func(e int) bool { return place(e) == p }), noNumbers(len(rows))
						d.run(t, there.op(nil, part))
						for i, e := range m.index {
							want := make([]float32, s.hidden)
							if place(int(e)) == p {
								want = rows[i*s.hidden : (i+1)*s.hidden]
							}
							sameBits(t, fmt.Sprint(layout, s, name), part[i*s.hidden:(i+1)*s.hidden], want)
						}
						d.run(t, add(sum, sum, part))
					}
					got := noNumbers(len(y))
					d.run(t, expertSum(got, sum, m))
					sameBits(t, fmt.Sprint(layout, s, name, " summed"), got, y)
				}
			}
		}
	})
}

// TestExpertsAreAddedInTheirOrder, not in that of a row's scores: a row that names the same experts in another order has the same bits.
func TestExpertsAreAddedInTheirOrder(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(6, 8))
		for _, s := range mixtures {
			m := newMixture(rng, "bf16", s.rows, s.experts, s.k, s.hidden, s.inner)
			y, _ := m.run(t, d)
			for r := range s.rows {
				index, weights := m.index[r*s.k:(r+1)*s.k], m.weights[r*s.k:(r+1)*s.k]
				rng.Shuffle(s.k, func(i, j int) {
					index[i], index[j], weights[i], weights[j] = index[j], index[i], weights[j], weights[i]
				})
			}
			turned, rows := m.run(t, d)
			sameBits(t, fmt.Sprint(s), turned, y)
			summed := noNumbers(len(y))
			d.run(t, expertSum(summed, rows, m))
			sameBits(t, fmt.Sprint(s, " summed"), summed, y)
		}
	})
}

// TestAnExpertTableIsReadOnce, and one that the kernels cannot read is told.
func TestAnExpertTableIsReadOnce(t *testing.T) {
	d := newDevice(t, 1, cpu.Tables()[0])
	m := newMixture(rand.New(rand.NewPCG(7, 8)), "f32", 2, 3, 1, 4, 2)
	op := m.op(make([]float32, 8), make([]float32, 8))
	d.run(t, op)
	native := op.Experts.Native(nil)
	d.run(t, op)
	if again := op.Experts.Native(nil); again != native || native == nil {
		t.Error("the table was read again")
	}
	m.experts[2].Up = hostMatrix(&cuda.Layout{Name: "stone", Planes: []cuda.Plane{{Rows: 1, Cols: 1, Bytes: 1}}}, 2, 4, make([]byte, 8))
	if err := d.do(m.op(make([]float32, 8), make([]float32, 8))); err == nil || err.Error() != "experts on cpu: no kernels for weights in stone" {
		t.Errorf("experts in a strange layout: %v", err)
	}
}
