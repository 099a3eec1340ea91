package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// hopper_test.go holds what Hopper's kernels need of the machine (hopper.cuh) to plain Go, and to finding the mistakes of testdata/hopper.cu.

func randomHalves(n int, r *rand.Rand) []uint16 {
	s := numbers[uint16](n)
	for i := range s {
		s[i] = narrow(float32(r.NormFloat64()))
	}
	return s
}

// A tile is where the copy engine puts it: rows one behind the other, their 16-byte pieces turned by the row within eight, zeros beyond the matrix.
func TestTilesAreCopied(t *testing.T) {
	const rows, cols = 37, 88
	m := randomHalves(rows*cols, rand.New(rand.NewPCG(20, 1)))
	inEachWay(t, func(t *testing.T, d *Driver) {
		for _, c := range []struct{ tileRows, tileCols, swizzle, col, row int }{
			{16, 32, 0, 0, 0}, {16, 64, 3, 0, 0}, {24, 64, 3, 64, 30}, {16, 32, 2, 32, 16}, {16, 16, 1, 80, 32}, {8, 64, 3, -8, -3}, {40, 8, 0, 88, 0}, {8, 48, 0, 8, 1 << 20},
		} {
			out := numbers[float32](c.tileRows * c.tileCols)
			op := new(Op).Out(at(out), F32, len(out)).P(0, c.col, c.row)
			if err := op.Map(d, at(m), rows, cols, c.tileRows, c.tileCols, c.swizzle); err != nil {
				t.Fatal(err)
			}
			launch(t, d, "hopper_tile", 1, 32, len(out)*2+8, op)
			for i := range out {
				row, piece, in := i/c.tileCols, i%c.tileCols/8, i%8
				pitch := c.tileCols * 2 // bytes of a row in shared memory
				turn := map[int]int{0: 0, 1: row * pitch / 128 % 2, 2: row * pitch / 128 % 4, 3: row * pitch / 128 % 8}[c.swizzle]
				pieces := map[int]int{0: 1, 1: 2, 2: 4, 3: 8}[c.swizzle]
				whole := row*pitch/16 + piece
				place := whole/pieces*pieces + (whole%pieces ^ turn)
				want := 0.0
				if y, x := c.row+row, c.col+piece*8+in; y >= 0 && y < rows && x >= 0 && x < cols {
					want = widen(m[y*cols+x])
				}
				if got := float64(out[place*8+in]); got != want {
					t.Fatalf("%+v: element %d, %d is %g, want %g", c, row, piece*8+in, got, want)
				}
			}
		}
	})
}

// What NVIDIA's driver refuses to describe is refused here.
func TestMapsThatCannotBe(t *testing.T) {
	d := machine(t)
	m := numbers[uint16](64 * 64)
	for _, c := range []struct {
		what                                    string
		rows, cols, tileRows, tileCols, swizzle int
	}{
		{"rows of 12 bytes", 8, 6, 8, 8, 0}, {"a tile's rows of 8 bytes", 8, 64, 8, 4, 0}, {"too many rows", 64, 64, 257, 8, 0}, {"no rows", 0, 64, 8, 8, 0},
		{"more than is swizzled", 8, 64, 8, 64, 2}, {"a swizzle that is none", 8, 64, 8, 8, 7},
	} {
		if err := new(Op).Map(d, at(m), c.rows, c.cols, c.tileRows, c.tileCols, c.swizzle); err == nil {
			t.Errorf("%s: no error", c.what)
		}
	}
	if err := new(Op).Map(d, at(m[1:]), 8, 64, 8, 64, 3); err == nil {
		t.Error("a matrix that is not aligned: no error")
	}
}

// hopperCase is a kernel of products and what is wrong with its result; "" if nothing is.
func hopperCase(t *testing.T, d *Driver, kernel string, threads, cols, mistake int) (why string) {
	r := rand.New(rand.NewPCG(21, uint64(cols)))
	a, b, out := randomHalves(64*cols, r), randomHalves(64*cols, r), numbers[float32](64*64)
	op := new(Op).In(at(a), BF16, 64, cols).Out(at(out), F32, 64, 64).P(mistake, cols)
	if err := op.Map(d, at(b), 64, cols, 64, 64, 3); err != nil {
		t.Fatal(err)
	}
	if err := d.Launch(kernel, [3]uint32{1, 1, 1}, threads, 2*64*64*2+64, op); err != nil {
		return err.Error()
	}
	for i := range 64 {
		for j := range 64 {
			want, size := 0.0, 0.0
			for k := range cols {
				p := widen(a[i*cols+k]) * widen(b[j*cols+k])
				want, size = want+p, size+math.Abs(p)
			}
			if got := float64(out[i*64+j]); !(math.Abs(got-want) <= size*0x1p-24*float64(cols/16)) { // rounded once for 16 columns
				return fmt.Sprintf("(%d, %d) is %g, want %g", i, j, got, want)
			}
		}
	}
	return ""
}

func TestProductsOfWarpgroups(t *testing.T) {
	inEachWay(t, func(t *testing.T, d *Driver) {
		if why := hopperCase(t, d, "hopper_product", 128, 64, 0); why != "" {
			t.Error("hopper_product: ", why)
		}
		for _, cols := range []int{64, 128, 320} {
			if why := hopperCase(t, d, "hopper_stages", 256, cols, 0); why != "" {
				t.Errorf("hopper_stages of %d columns: %s", cols, why)
			}
		}
	})
}

func TestMistakesWithWarpgroupsAreFound(t *testing.T) {
	m := randomHalves(64*64, rand.New(rand.NewPCG(22, 1)))
	inEachWay(t, func(t *testing.T, d *Driver) {
		tile := func(mistake int) string {
			out := numbers[float32](16 * 64)
			op := new(Op).Out(at(out), F32, len(out)).P(mistake)
			if err := op.Map(d, at(m), 64, 64, 16, 64, 0); err != nil {
				t.Fatal(err)
			}
			if err := d.Launch("hopper_tile", [3]uint32{1, 1, 1}, 32, len(out)*2+8, op); err != nil {
				return err.Error()
			}
			for i := range out {
				if float64(out[i]) != widen(m[i]) {
					return "a wrong number"
				}
			}
			return ""
		}
		for _, c := range []struct {
			kernel  string
			mistake int
			says    string
			ways    string // in which it is found; "": in each
		}{
			{"hopper_tile", 1, "a wrong number", "late"}, {"hopper_tile", 2, "all warps wait", ""}, {"hopper_tile", 3, "not told of by a fence", ""},
			{"hopper_tile", 4, "all 1 have arrived", ""},
			{"hopper_product", 1, "no fence was told of", ""}, {"hopper_product", 2, "want", "late"}, {"hopper_product", 2, "want", "early"},
			{"hopper_product", 3, "are under way", "late"}, {"hopper_product", 4, "", "late"}, {"hopper_product", 5, "different products", ""},
			{"hopper_stages", 1, "", "late"}, {"hopper_stages", 2, "", "early"}, {"hopper_stages", 3, "want", "early,order_0"}, {"hopper_stages", 4, "", "late"},
		} {
			var why string
			switch c.kernel {
			case "hopper_tile":
				why = tile(c.mistake)
			case "hopper_product":
				why = hopperCase(t, d, c.kernel, 128, 64, c.mistake)
			default:
				why = hopperCase(t, d, c.kernel, 256, 320, c.mistake)
			}
			if strings.Contains(t.Name(), c.ways) && (why == "" || !strings.Contains(why, c.says)) {
				t.Errorf("%s: mistake %d is not found, or not said to be %q: %q", c.kernel, c.mistake, c.says, why)
			}
		}
		if why := tile(0); why != "" {
			t.Errorf("after all that: %s", why)
		}
	})
}
