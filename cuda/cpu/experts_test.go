package cpu_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/inference-pio/inference-pio/cuda/cpu"
)

func vector(values ...float32) cpu.Matrix {
	return cpu.Matrix{Ptr: unsafe.Pointer(unsafe.SliceData(values)), Type: cpu.F32, Rows: 1, Cols: len(values)}
}

// TestRouteByHand is one row of logits after the other, with what must come out. Sigmoid of 0 is 1/2, of ln 3 is 3/4.
func TestRouteByHand(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	ln3 := float32(math.Log(3))
	for name, c := range map[string]struct {
		how     cpu.Routing
		logits  []float32
		index   []int32
		weights []float64
	}{
		"the largest first":                       {cpu.Routing{TopK: 2, Normalize: true}, []float32{0, ln3, 0, -9}, []int32{1, 0}, []float64{0.75, 0.25}},
		"not normalized: shares of all experts":   {cpu.Routing{TopK: 2}, []float32{0, ln3, 0, 0}, []int32{1, 0}, []float64{0.5, 1. / 6}},
		"of equals the lower expert":              {cpu.Routing{TopK: 3}, []float32{1, 1, 1, 1, 1}, []int32{0, 1, 2}, []float64{0.2, 0.2, 0.2}},
		"closer than scores can tell":             {cpu.Routing{TopK: 2}, []float32{-200, -199, 100}, []int32{2, 1}, []float64{1, 0}},
		"all, when all are asked for":             {cpu.Routing{TopK: 3, Normalize: true, Scale: 2}, []float32{0, 0, ln3}, []int32{2, 0, 1}, []float64{1.2, 0.4, 0.4}},
		"scaled":                                  {cpu.Routing{TopK: 1, Normalize: true, Scale: 1.8}, []float32{3, 2}, []int32{0}, []float64{1.8}},
		"scaled though not normalized":            {cpu.Routing{TopK: 1, Sigmoid: true, Scale: 2}, []float32{0, -1}, []int32{0}, []float64{1}},
		"sigmoids":                                {cpu.Routing{TopK: 2, Sigmoid: true}, []float32{0, ln3, -1}, []int32{1, 0}, []float64{0.75, 0.5}},
		"an epsilon in the sum":                   {cpu.Routing{TopK: 2, Sigmoid: true, Normalize: true, Epsilon: 0.25}, []float32{0, ln3, -1}, []int32{1, 0}, []float64{0.5, 1. / 3}},
		"a bias turns the choice, not the weight": {cpu.Routing{TopK: 1, Sigmoid: true, Bias: vector(0.3, 0, 0)}, []float32{0, ln3, -1}, []int32{0}, []float64{0.5}},
		"a negative bias":                         {cpu.Routing{TopK: 2, Sigmoid: true, Bias: vector(-5, -4, -6)}, []float32{0, 0, 0}, []int32{1, 0}, []float64{0.5, 0.5}},
		"a bias on a softmax":                     {cpu.Routing{TopK: 1, Bias: vector(0, 0.9, 0, 0)}, []float32{ln3, 0, 0, 0}, []int32{1}, []float64{1. / 6}},
		// The groups' two best are 0.5+0.5, 0.75+0.1 and 0.5+0.4; the single best expert is in the worst group.
		"groups by their two best": {cpu.Routing{TopK: 2, Sigmoid: true, Groups: 3, TopGroups: 2}, []float32{0, 0, ln3, -2.1972246, 0, -0.4054651}, []int32{0, 1}, []float64{0.5, 0.5}},
		// Experts outside the group are no candidates even where those within have negative scores.
		"groups with negative biases": {cpu.Routing{TopK: 2, Sigmoid: true, Groups: 2, TopGroups: 1, Bias: vector(-9, -9, -2, -9)}, []float32{0, 0, ln3, 0}, []int32{2, 3}, []float64{0.75, 0.5}},
		"of equal groups the lower":   {cpu.Routing{TopK: 1, Sigmoid: true, Groups: 2, TopGroups: 1}, []float32{0, 0, 0, 0}, []int32{0}, []float64{0.5}},
		"no number is the worst":      {cpu.Routing{TopK: 2, Sigmoid: true}, []float32{nan, -50, 0}, []int32{2, 1}, []float64{0.5, math.Exp(-50)}},
		"nothing but no numbers":      {cpu.Routing{TopK: 2, Sigmoid: true}, []float32{nan, nan, nan}, []int32{0, 1}, []float64{math.NaN(), math.NaN()}},
		"infinite":                    {cpu.Routing{TopK: 1, Sigmoid: true}, []float32{0, inf}, []int32{1}, []float64{1}},
	} {
		t.Run(name, func(t *testing.T) {
			c.how.Experts = len(c.logits)
			if c.how.Scale == 0 {
				c.how.Scale = 1
			}
			check := func(t *testing.T, route func(index []int32, weights []float32)) {
				index, weights := make([]int32, c.how.TopK), make([]float32, c.how.TopK)
				route(index, weights)
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
				check(t, func(index []int32, weights []float32) { cpu.RefRoute(index, weights, c.logits, c.how) })
			})
			eachTable(t, func(t *testing.T, p *cpu.Pool) {
				check(t, func(index []int32, weights []float32) { must(t, p.Route(index, weights, c.logits, c.how)) })
			})
		})
	}
}

// TestRouteMatchesTheSpecification on random logits, of all kinds of router, with more and fewer experts than a vector.
func TestRouteMatchesTheSpecification(t *testing.T) {
	eachTable(t, func(t *testing.T, p *cpu.Pool) {
		rng := rand.New(rand.NewPCG(1, 8))
		for i := range 200 {
			c := cpu.Routing{Sigmoid: i%2 == 1, Normalize: i%3 > 0, Epsilon: 1e-20, Scale: 1 + rng.Float32(), Experts: 2 + rng.IntN(40)}
			if i%5 == 4 {
				c.Groups = 1 + rng.IntN(4)
				c.Experts = c.Groups * (2 + rng.IntN(12))
				c.TopGroups = 1 + rng.IntN(c.Groups)
			}
			c.TopK = 1 + rng.IntN(c.Experts/max(c.Groups, 1))
			if i%7 > 3 {
				c.Bias = randomMatrix(rng, matrixTypes[i%len(matrixTypes)], 1, c.Experts)
			}
			rows := 1 + rng.IntN(300)
			logits := random(rng, rows*c.Experts)
			index, want := make([]int32, rows*c.TopK), make([]int32, rows*c.TopK)
			weights, exact := make([]float32, rows*c.TopK), make([]float32, rows*c.TopK)
			must(t, p.Route(index, weights, logits, c))
			cpu.RefRoute(want, exact, logits, c)
			if !slices.Equal(index, want) {
				t.Fatalf("%+v: chose other experts", c)
			}
			// A score is an exponential (2 units), a sum of n and a division; a weight has a sum of k and a division more.
			within(t, fmt.Sprintf("%+v", c), weights, exact, relative(exact, float64(c.Experts+c.TopK+12)))
		}
	})
}

// TestRouteRefusesWhatItCannotChoose and what does not fit its slices.
func TestRouteRefusesWhatItCannotChoose(t *testing.T) {
	p := newPool(t, 1, cpu.Tables()[0])
	for name, c := range map[string]cpu.Routing{
		"no experts":         {Experts: 8},
		"more than there":    {Experts: 8, TopK: 9},
		"too many at all":    {Experts: 4097, TopK: 1},
		"uneven groups":      {Experts: 8, TopK: 1, Groups: 3, TopGroups: 1},
		"groups of one":      {Experts: 8, TopK: 1, Groups: 8, TopGroups: 1},
		"groups too few":     {Experts: 8, TopK: 5, Groups: 2, TopGroups: 1},
		"more groups":        {Experts: 8, TopK: 1, Groups: 2, TopGroups: 3},
		"a bias of another":  {Experts: 8, TopK: 1, Bias: vector(1, 2)},
		"a bias of no type":  {Experts: 8, TopK: 1, Bias: cpu.Matrix{Ptr: unsafe.Pointer(new([8]float32)), Type: 9, Cols: 8}},
		"a row that is half": {Experts: 7, TopK: 1},
	} {
		if p.Route(make([]int32, c.TopK), make([]float32, c.TopK), make([]float32, 8), c) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if p.Route(make([]int32, 1), make([]float32, 2), make([]float32, 8), cpu.Routing{Experts: 8, TopK: 2, Scale: 1}) == nil {
		t.Error("an index that is too short was accepted")
	}
}

// TestGroupedMatMulIsMatMulOfEachGroup, to the bit: groups of no, few and many rows, of types that differ.
func TestGroupedMatMulIsMatMulOfEachGroup(t *testing.T) {
	eachTable(t, func(t *testing.T, p *cpu.Pool) {
		rng := rand.New(rand.NewPCG(2, 8))
		for _, counts := range [][]int32{{1}, {0, 1, 0}, {1, 1, 1, 1, 1, 1, 1, 1}, {0, 16, 17, 0, 3, 97, 1, 0}, {130, 2}, make([]int32, 70), {0, 0}} {
			for _, s := range [][2]int{{8, 8}, {70, 37}, {515, 100}} {
				in, out, rows := s[0], s[1], 0
				ws := make([]cpu.Matrix, len(counts))
				if len(counts) == 70 { // more than the usual number
					for i := range counts {
						counts[i] = int32(rng.IntN(3))
					}
				}
				for i, n := range counts {
					ws[i], rows = randomMatrix(rng, allTypes[i%len(allTypes)], out, in), rows+int(n)
				}
				x := random(rng, rows*in)
				got, want := make([]float32, rows*out), make([]float32, rows*out)
				must(t, p.MatMulGrouped(got, x, counts, ws))
				exact, at := make([]float32, rows*out), 0
				cpu.RefMatMulGrouped(exact, x, counts, ws)
				for i, n := range counts {
					from, to := at*out, (at+int(n))*out
					must(t, p.MatMul(want[from:to], x[at*in:(at+int(n))*in], ws[i]))
					within(t, fmt.Sprint(counts, s), got[from:to], exact[from:to], matmulBound(x[at*in:], ws[i]))
					at += int(n)
				}
				sameBits(t, fmt.Sprint(counts, s), got, want)
			}
		}
	})
}

// TestGroupedMatMulKeepsItsWordAboutSizes.
func TestGroupedMatMulKeepsItsWordAboutSizes(t *testing.T) {
	p := newPool(t, 2, cpu.Tables()[0])
	rng := rand.New(rand.NewPCG(3, 8))
	w, other, wider := randomMatrix(rng, cpu.F32, 2, 4), randomMatrix(rng, cpu.F32, 3, 4), randomMatrix(rng, cpu.F32, 2, 5)
	unread := w
	unread.Type = 9
	for name, c := range map[string]struct {
		y, x   int
		counts []int32
		ws     []cpu.Matrix
	}{
		"no groups":             {0, 0, nil, nil},
		"a group too few":       {4, 8, []int32{2}, []cpu.Matrix{w, w}},
		"rows that are not":     {4, 8, []int32{2, 1}, []cpu.Matrix{w, w}},
		"rows left over":        {4, 8, []int32{0, 1}, []cpu.Matrix{w, w}},
		"fewer than none":       {4, 8, []int32{3, -1}, []cpu.Matrix{w, w}},
		"a result too short":    {3, 8, []int32{1, 1}, []cpu.Matrix{w, w}},
		"other outs":            {4, 8, []int32{1, 1}, []cpu.Matrix{w, other}},
		"other ins":             {4, 8, []int32{1, 1}, []cpu.Matrix{w, wider}},
		"a type it cannot read": {4, 8, []int32{1, 1}, []cpu.Matrix{w, unread}},
	} {
		if p.MatMulGrouped(make([]float32, c.y), make([]float32, c.x), c.counts, c.ws) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestGatherByValueFindsRowsInOrder by hand: row 0 goes to 5 and 2, row 1 to 2 and 9, row 2 to 9 and 5.
func TestGatherByValueFindsRowsInOrder(t *testing.T) {
	index, x := []int32{5, 2, 2, 9, 9, 5}, []float32{0, 0.5, 1, 1.5, 2, 2.5}
	eachTable(t, func(t *testing.T, p *cpu.Pool) {
		for _, c := range []struct {
			values, entries []int32
			rows            []float32
		}{
			{[]int32{2}, []int32{1, 2}, []float32{0, 0.5, 1, 1.5}},
			{[]int32{2, 5, 9}, []int32{1, 2, 0, 5, 3, 4}, []float32{0, 0.5, 1, 1.5, 0, 0.5, 2, 2.5, 1, 1.5, 2, 2.5}},
			{[]int32{9, 2}, []int32{3, 4, 1, 2}, []float32{1, 1.5, 2, 2.5, 0, 0.5, 1, 1.5}},
			{[]int32{7}, nil, nil},
			{nil, nil, nil},
		} {
			entries, y := make([]int32, len(c.entries)), make([]float32, len(c.rows))
			must(t, p.GatherByValue(y, entries, x, index, 2, c.values))
			if !slices.Equal(entries, c.entries) || !slices.Equal(y, c.rows) {
				t.Errorf("values %v: entries %v and rows %v", c.values, entries, y)
			}
			cpu.RefGatherByValue(y, entries, x, index, 2, c.values)
			if !slices.Equal(entries, c.entries) || !slices.Equal(y, c.rows) {
				t.Errorf("values %v, specification: entries %v and rows %v", c.values, entries, y)
			}
		}
		for _, n := range []int{1, 3} {
			if p.GatherByValue(make([]float32, 2*n), make([]int32, n), x, index, 2, []int32{5}) == nil {
				t.Errorf("room for %d rows where there are 2 was accepted", n)
			}
		}
		if p.GatherByValue(nil, nil, x, index, 0, nil) == nil || p.GatherByValue(make([]float32, 3), make([]int32, 2), x, index, 2, []int32{5}) == nil {
			t.Error("sizes that do not fit were accepted")
		}
	})
}

// TestScatterAddMatchesTheSpecification, several entries to a row among them, and keeps the order of a row's additions when
// there are more rows: those computed alone have the same bits.
func TestScatterAddMatchesTheSpecification(t *testing.T) {
	eachTable(t, func(t *testing.T, p *cpu.Pool) {
		rng := rand.New(rand.NewPCG(4, 8))
		for _, s := range [][3]int{{1, 8, 2048}, {1, 1, 1}, {7, 3, 13}, {130, 4, 100}, {300, 2, 70}} {
			rows, k, width := s[0], s[1], s[2]
			var entries []int32
			for e := range rows * k {
				if rng.IntN(4) > 0 {
					entries = append(entries, int32(e))
				}
			}
			rng.Shuffle(len(entries), func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })
			x, weights, start := random(rng, len(entries)*width), random(rng, rows*k), random(rng, rows*width)
			got, want := slices.Clone(start), slices.Clone(start)
			must(t, p.ScatterAddByIndex(got, x, entries, weights, width, k))
			cpu.RefScatterAddByIndex(want, x, entries, weights, width, k)
			size := make([]float64, rows*width)
			for i, e := range entries {
				for c := range width {
					size[int(e)/k*width+c] += math.Abs(float64(weights[e]) * float64(x[i*width+c]))
				}
			}
			within(t, fmt.Sprint(s), got, want, func(i int) float64 {
				return eps * (size[i] + math.Abs(float64(start[i]))) * float64(2*k+1)
			})
			alone := slices.Clone(start)
			for r := range rows {
				var own []int32
				var values []float32
				for i, e := range entries {
					if int(e)/k == r {
						own, values = append(own, e%int32(k)), append(values, x[i*width:(i+1)*width]...)
					}
				}
				must(t, p.ScatterAddByIndex(alone[r*width:(r+1)*width], values, own, weights[r*k:(r+1)*k], width, k))
			}
			sameBits(t, fmt.Sprint(s, " alone"), alone, got)
		}
		y := make([]float32, 4)
		for name, bad := range map[string]error{
			"an entry that is not": p.ScatterAddByIndex(y, y[:2], []int32{4}, y, 2, 2),
			"a negative entry":     p.ScatterAddByIndex(y, y[:2], []int32{-1}, y, 2, 2),
			"rows too short":       p.ScatterAddByIndex(y, y[:3], []int32{1, 0}, y, 2, 2),
			"weights too few":      p.ScatterAddByIndex(y, y[:2], []int32{1}, y[:3], 2, 2),
		} {
			if bad == nil {
				t.Errorf("%s: accepted", name)
			}
		}
	})
}

// FuzzRoute: whatever the logits' bits are, a row's experts exist and are different.
func FuzzRoute(f *testing.F) {
	f.Add([]byte{0, 0, 0xc0, 0x7f, 0, 0, 0x80, 0xff, 1, 2, 3, 4, 0, 0, 0x80, 0x7f}, uint8(2), uint8(2), true)
	f.Add([]byte{255, 255, 255, 255, 0, 0, 0, 0, 255, 255, 255, 255}, uint8(1), uint8(0), false)
	f.Fuzz(func(t *testing.T, raw []byte, k, groups uint8, sigmoid bool) {
		logits := make([]float32, len(raw)/4)
		for i := range logits {
			logits[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
		c := cpu.Routing{Sigmoid: sigmoid, Experts: len(logits), TopK: int(k), Groups: int(groups), TopGroups: int(groups), Scale: 1, Normalize: true}
		p := newPool(t, 1, cpu.Tables()[0])
		index := make([]int32, c.TopK)
		if p.Route(index, make([]float32, c.TopK), logits, c) != nil {
			return
		}
		want := make([]int32, c.TopK)
		cpu.RefRoute(want, make([]float32, c.TopK), logits, c)
		seen := map[int32]bool{}
		for _, e := range index {
			if e < 0 || int(e) >= c.Experts || seen[e] {
				t.Fatalf("chose %v of %d; the specification %v", index, c.Experts, want)
			}
			seen[e] = true
		}
	})
}
