package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"
)

// The machine that runs kernels is held to plain Go, and to finding the mistakes of testdata/planted.cu, in each of its ways.

var ways = []string{"copies late; order 0", "copies early; order 0", "copies late; order 1", "copies early; order 2", "copies mixed; order 3"}

// machine loads the library of testdata's kernels.
func machine(t testing.TB) *Driver {
	t.Helper()
	var kernels []string
	for _, name := range []string{"primitives.cu", "planted.cu", "hopper.cu"} {
		path, err := filepath.Abs(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		kernels = append(kernels, path)
	}
	d, err := Load(Library(t, Options{Kernels: kernels}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Control(ways[0]) })
	return d
}

// kept keeps test data where it is: a kernel has its address.
var kept [][]byte

// numbers gives n elements at an address that is a multiple of 256.
func numbers[T float32 | int32 | uint16](n int) []T {
	b := make([]byte, n*int(unsafe.Sizeof(T(0)))+512)
	kept = append(kept, b)
	p := unsafe.Pointer(unsafe.SliceData(b))
	p = unsafe.Add(p, 256-uintptr(p)%256)
	return unsafe.Slice((*T)(p), n)
}

func at[T any](s []T) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(s)) }

func random(n int, r *rand.Rand) []float32 {
	s := numbers[float32](n)
	for i := range s {
		s[i] = float32(r.NormFloat64())
	}
	return s
}

func inEachWay(t *testing.T, f func(t *testing.T, d *Driver)) {
	d := machine(t)
	for _, way := range ways {
		t.Run(strings.ReplaceAll(way, "; ", ","), func(t *testing.T) {
			d.Control(way)
			f(t, d)
		})
	}
}

func launch(t *testing.T, d *Driver, kernel string, blocks, threads, shared int, op *Op) {
	t.Helper()
	if err := d.Launch(kernel, [3]uint32{uint32(blocks), 1, 1}, threads, shared, op); err != nil {
		t.Fatal(err)
	}
}

func TestBlocksSum(t *testing.T) {
	in := random(1000, rand.New(rand.NewPCG(1, 1)))
	inEachWay(t, func(t *testing.T, d *Driver) {
		out := numbers[float32](4)
		launch(t, d, "p_sum", 4, 256, 0, new(Op).In(at(in), F32, 1000).Out(at(out), F32, 4))
		for b, got := range out {
			want := 0.0
			for _, v := range in[b*256 : min(1000, b*256+256)] {
				want += float64(v)
			}
			if math.Abs(float64(got)-want) > 1e-4 {
				t.Errorf("block %d: %g, want %g", b, got, want)
			}
		}
	})
}

func widen(h uint16) float64 { return float64(math.Float32frombits(uint32(h) << 16)) }

func narrow(f float32) uint16 {
	b := math.Float32bits(f)
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

func TestProductOfMatrices(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	inEachWay(t, func(t *testing.T, d *Driver) {
		for _, trans := range []int{0, 1} {
			a, b, out := numbers[uint16](256), numbers[uint16](128), numbers[float32](128)
			for i := range a {
				a[i] = narrow(float32(r.NormFloat64()))
			}
			for i := range b {
				b[i] = narrow(float32(r.NormFloat64()))
			}
			launch(t, d, "p_product", 1, 32, 0, new(Op).In(at(a), BF16, 16, 16).In(at(b), BF16, 128).Out(at(out), F32, 16, 8).P(trans))
			for i := range 16 {
				for j := range 8 {
					want, size := 0.0, 0.0
					for k := range 16 {
						y := widen(b[j*16+k])
						if trans == 1 {
							y = widen(b[k*8+j])
						}
						want += widen(a[i*16+k]) * y
						size += math.Abs(widen(a[i*16+k]) * y)
					}
					if got := float64(out[i*8+j]); math.Abs(got-want) > size*0x1p-24 { // rounded once
						t.Errorf("transposed %d, (%d, %d): %g, want %g", trans, i, j, got, want)
					}
				}
			}
		}
	})
}

func TestThreadsThatReturnAreNotWaitedFor(t *testing.T) {
	inEachWay(t, func(t *testing.T, d *Driver) {
		out := numbers[int32](256)
		launch(t, d, "p_return", 1, 200, 0, new(Op).Out(at(out), I32, 200))
		for i, n := range out[:184] {
			if n != 184 {
				t.Fatalf("thread %d saw %d threads at the barrier, want 184", i, n)
			}
		}
		launch(t, d, "p_ballot", 1, 32, 0, new(Op).Out(at(out), I32, 32).P(6))
		for l := 6; l < 32; l++ {
			if uint32(out[l]) != 0xaaaaaaaa&^0x3f {
				t.Fatalf("lane %d: ballot %#x", l, uint32(out[l]))
			}
		}
	})
}

func TestArithmetic(t *testing.T) {
	d := machine(t)
	r := rand.New(rand.NewPCG(3, 3))
	in := random(2000, r)
	for i := range in {
		in[i] *= 8
	}
	in[0], in[1], in[2], in[3] = 0, -0.5, 1, float32(math.Inf(1))
	for which, c := range []struct {
		name  string
		f     func(x float64) float64
		bound float64 // relative
	}{
		{"exponential", math.Exp, 4e-7}, {"tanh_fast", math.Tanh, 0x1p-10}, {"log2_fast", math.Log2, 3e-7},
		{"bf16", func(x float64) float64 { return widen(narrow(float32(x))) }, 0}, {"square_root", func(x float64) float64 { return float64(float32(math.Sqrt(x))) }, 0},
	} {
		out := numbers[float32](len(in))
		launch(t, d, "p_arithmetic", 1, 256, 0, new(Op).In(at(in), F32, len(in)).Out(at(out), F32, len(in)).P(which))
		for i, x := range in {
			got, want := float64(out[i]), c.f(float64(x))
			if x == float32(math.Inf(1)) && which == 0 {
				continue // its range ends before
			}
			if !(math.Abs(got-want) <= c.bound*max(math.Abs(want), 1e-3)) && !(math.IsNaN(got) && math.IsNaN(want)) && got != want {
				t.Errorf("%s of %g: %g, want %g", c.name, x, got, want)
			}
		}
	}
}

// Every f16 is a number whose value is known.
func TestHalvesAreWidened(t *testing.T) {
	d := machine(t)
	in, out := numbers[float32](1<<16), numbers[float32](1<<16)
	for i := range in {
		in[i] = float32(i)
	}
	launch(t, d, "p_arithmetic", 1, 256, 0, new(Op).In(at(in), F32, len(in)).Out(at(out), F32, len(in)).P(5))
	for h := range out {
		sign, e, f := 1-2*float64(h>>15), h>>10&31, float64(h&1023)
		want := sign * math.Ldexp(1024+f, e-25)
		switch {
		case e == 0:
			want = sign * math.Ldexp(f, -24)
		case e == 31 && f == 0:
			want = math.Inf(int(sign))
		case e == 31:
			want = math.NaN()
		}
		if got := float64(out[h]); got != want && !(math.IsNaN(got) && math.IsNaN(want)) {
			t.Fatalf("f16 %#x: %g, want %g", h, got, want)
		}
	}
}

// planted are the mistakes that numbers or a reason show.
var planted = []struct {
	kernel          string
	threads, shared int
	want            func(in []float32, i int) float32
	says            string // in the error
	ways            string // which of ways finds it; "": every one
}{
	{"planted_barrier", 256, 0, func(in []float32, i int) float32 { return in[255-i] }, "", ""},
	{"planted_warp_barrier", 32, 0, func(in []float32, i int) float32 { return in[31-i] }, "", ""},
	{"planted_copy_wait", 64, 1024, func(in []float32, i int) float32 { return in[255-i] }, "", "late"},
	{"planted_second_barrier", 64, 512, func(in []float32, i int) float32 { return steps(in, 63-i) }, "", "early"},
	{"planted_shuffle", 32, 0, func(in []float32, i int) float32 { return in[i^1] }, "lanes of a warp went different ways", ""},
	{"planted_divergent_barrier", 64, 0, nil, "lanes of a warp went different ways", ""},
	{"planted_alignment", 32, 0, nil, "not aligned", ""},
	{"planted_returned", 32, 0, nil, "lane 5, which has returned", ""},
	{"planted_known", 32, 1024, func([]float32, int) float32 { return 32 }, "the 2 products are known", ""},
	{"planted_shared", 64, 256, func(in []float32, i int) float32 { return in[63-i] }, "behind the 256 bytes of shared memory", ""},
}

func steps(in []float32, i int) (sum float32) {
	for k := range 4 {
		sum += in[k*64+i]
	}
	return sum
}

func TestPlantedMistakesAreFound(t *testing.T) {
	in := random(256, rand.New(rand.NewPCG(4, 4)))
	inEachWay(t, func(t *testing.T, d *Driver) {
		for _, c := range planted {
			wrong := func(mistake int) string {
				out := numbers[float32](256)
				op := new(Op).In(at(in), F32, 256).Out(at(out), F32, 256).P(mistake)
				if c.kernel == "planted_second_barrier" {
					op = new(Op).In(at(in), F32, 4, 64).Out(at(out), F32, 64).P(mistake)
				}
				if err := d.Launch(c.kernel, [3]uint32{1, 1, 1}, c.threads, c.shared, op); err != nil {
					return err.Error()
				}
				for i := 0; c.want != nil && i < min(256, c.threads*max(1, c.shared/1024*4)); i++ {
					if out[i] != c.want(in, i) {
						return fmt.Sprintf("element %d is %g, want %g", i, out[i], c.want(in, i))
					}
				}
				return ""
			}
			if why := wrong(0); why != "" {
				t.Errorf("%s: without its mistake: %s", c.kernel, why)
			}
			why := wrong(1)
			if strings.Contains(t.Name(), c.ways) && (why == "" || !strings.Contains(why, c.says)) {
				t.Errorf("%s: the mistake is not found, or not said to be %q: %q", c.kernel, c.says, why)
			}
			if c.says != "" && !strings.Contains(why, c.kernel+", block (0, 0, 0)") {
				t.Errorf("%s: who made the mistake is not said: %q", c.kernel, why)
			}
		}
	})
}

func TestLaunchesThatCannotBeAreRefused(t *testing.T) {
	d := machine(t)
	for _, c := range []struct {
		kernel          string
		grid            [3]uint32
		threads, shared int
		says            string
	}{
		{"p_nothing", [3]uint32{1, 1, 1}, 32, 0, "no kernel p_nothing"},
		{"p_product", [3]uint32{1, 1, 1}, 64, 0, "at most 32"},
		{"p_sum", [3]uint32{1, 0, 1}, 256, 0, "no grid"},
		{"p_sum", [3]uint32{1, 65536, 1}, 256, 0, "no grid"},
		{"p_sum", [3]uint32{1, 1, 1}, 256, 1 << 20, "bytes of shared memory"},
	} {
		if err := d.Launch(c.kernel, c.grid, c.threads, c.shared, new(Op)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s %v %d %d: %v, want %q", c.kernel, c.grid, c.threads, c.shared, err, c.says)
		}
	}
}

// A fault leaves the machine as it was: the next kernel runs.
func TestAfterAFaultTheNextKernelRuns(t *testing.T) {
	inEachWay(t, func(t *testing.T, d *Driver) {
		in, out := random(64, rand.New(rand.NewPCG(5, 5))), numbers[float32](64)
		for range 50 {
			if err := d.Launch("planted_divergent_barrier", [3]uint32{3, 1, 1}, 64, 0, new(Op).In(at(in), F32, 64).Out(at(out), F32, 64).P(1)); err == nil {
				t.Fatal("no fault")
			}
			launch(t, d, "planted_shuffle", 1, 32, 0, new(Op).In(at(in), F32, 64).Out(at(out), F32, 64).P(0))
		}
	})
}

// BenchmarkMachine says what a thread's switch costs, and a product: ns a thread, ns a warp.
func BenchmarkMachine(b *testing.B) {
	d := machine(b)
	for _, c := range []struct {
		kernel        string
		threads, each int
	}{{"p_shuffles", 256, 256}, {"p_barriers", 256, 256}, {"p_products", 256, 8}} {
		b.Run(c.kernel, func(b *testing.B) {
			const n = 1000
			for b.Loop() {
				if err := d.Launch(c.kernel, [3]uint32{1, 1, 1}, c.threads, 0, new(Op).P(n)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n/float64(c.each), "ns/each")
		})
	}
}

// Whoever plants faults in a copy of the sources has the driver made of that.
func TestOtherSources(t *testing.T) {
	own, err := here()
	if err != nil {
		t.Fatal(err)
	}
	copied := t.TempDir()
	t.Setenv(EnvSources, copied)
	if folder, err := here(); err == nil {
		t.Errorf("%s is taken for sources, which it has none of", folder)
	}
	if err := os.CopyFS(filepath.Join(copied, "sim"), os.DirFS(own)); err != nil {
		t.Fatal(err)
	}
	if folder, err := here(); err != nil || folder != filepath.Join(copied, "sim") {
		t.Errorf("the driver is made of %s and not of %s: %v", folder, copied, err)
	}
}
