package cpu_test

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/spec"
)

// everyop_test.go is what is true of every op: it is in both lists and in every table, gives the same on any number of threads, and
// takes activations in bf16.

// TestTheTwoListsOfOpsAgree, in the order of Go's: C has what Go has, and what brings a matrix into another layout, which a queue does by
// itself.
func TestTheTwoListsOfOpsAgree(t *testing.T) {
	var want []string
	for _, code := range cuda.OpCodes() {
		want = append(want, code.String())
	}
	if got := cpu.Ops(); !slices.Equal(got, append(want, "pack")) {
		t.Errorf("the kernels' ops are %v and cuda's are %v: run make generate", got, want)
	}
	eachNumerics(t, func(t *testing.T, d *device) {
		for _, name := range cpu.Ops() {
			if !d.Has(name) {
				t.Errorf("no kernel for %q", name)
			}
		}
	})
}

// TestAnOpStandsInFourPlaces: the list of cuda/op.go, one file of methods of Step, the specification, one header of kernels.
func TestAnOpStandsInFourPlaces(t *testing.T) {
	methods, specs, kernels := read(t, "../*.go"), read(t, "../spec/*.go"), read(t, "*.h")
	for _, code := range cuda.OpCodes() {
		plain := strings.ReplaceAll(code.String(), "_", "")
		one := func(what string, files map[string]string, pattern string) {
			var in []string
			for name, text := range files {
				if regexp.MustCompile(pattern).MatchString(text) {
					in = append(in, name)
				}
			}
			if len(in) != 1 {
				t.Errorf("%s: %s stands in %v, not in one file", code, what, in)
			}
		}
		one("its line of the list", methods, `(?mi)^	Op`+plain+`\b.*// .*\|?`)
		if !slices.Contains([]string{"copy", "experts", "add"}, code.String()) { // which several methods are made of
			one("its method", withoutList(methods), `(?i)\bOp`+plain+`\b`)
		}
		if code != cuda.OpCopy { // which needs none
			one("its specification", specs, `(?mi)^func `+plain+`\(`)
		}
		one("its kernel", kernels, `static const char \*run_`+code.String()+`\(`)
	}
}

// read gives the files of a pattern that are no tests.
func read(t *testing.T, pattern string) map[string]string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	must(t, err)
	files := map[string]string{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		must(t, err)
		if !strings.HasSuffix(name, "_test.go") {
			files[filepath.Base(name)] = string(text)
		}
	}
	return files
}

func withoutList(files map[string]string) map[string]string {
	files = maps.Clone(files)
	delete(files, "op.go")
	return files
}

// TestEveryOpIsTheSameOnAnyNumberOfThreads, of one row and of many, and while that number changes.
func TestEveryOpIsTheSameOnAnyNumberOfThreads(t *testing.T) {
	eachNumerics(t, func(t *testing.T, d *device) {
		one, many, changing := newDevice(t, 1, lastName(t)), newDevice(t, 7, lastName(t)), newDevice(t, 7, lastName(t))
		defer changes(changing)()
		for _, code := range cuda.OpCodes() {
			for _, rows := range []int{1, 2, 70, 1000} {
				op := sample(rand.New(rand.NewPCG(71, uint64(rows))), code, rows)
				first := again(op)
				one.run(t, first)
				for _, on := range []*device{d, many, changing} {
					next := again(op)
					on.run(t, next)
					sameResults(t, fmt.Sprint(code, " of ", rows), next, first)
				}
			}
		}
	})
}

// TestARowThatIsNoNumberStaysAlone: every third row of what an op takes holds no number, and the others come out as they would beside any.
func TestARowThatIsNoNumberStaysAlone(t *testing.T) {
	mixed := []cuda.OpCode{cuda.OpGather, cuda.OpIndexCopy, cuda.OpIndexAdd, cuda.OpHeadsFirst, cuda.OpCausalConv, cuda.OpDeltaRule, cuda.OpCacheWrite}
	eachNumerics(t, func(t *testing.T, d *device) {
		for _, code := range cuda.OpCodes() {
			if slices.Contains(mixed, code) {
				continue // rows meet
			}
			for _, rows := range []int{7, 17, 130} {
				op := sample(rand.New(rand.NewPCG(75, 1)), code, rows)
				good, bad := again(op), again(op)
				_, in, _ := op.Operands()
				for i, x := range in {
					if x.Rows() == rows && x.DType() == cuda.F32 {
						bad.In[i] = clone(x)
						for j := range bad.In[i].F32() {
							if j/(x.Len()/rows)%3 == 1 {
								bad.In[i].F32()[j] = float32(math.NaN())
							}
						}
					}
				}
				d.run(t, good)
				d.run(t, bad)
				want, got := numbers(good.Out[0]), numbers(bad.Out[0])
				for j := range want {
					if j/(len(want)/rows)%3 != 1 && !same(got[j], want[j]) {
						t.Fatalf("%s of %d: element %d is %g, not %g, beside rows without a number", code, rows, j, got[j], want[j])
					}
				}
			}
		}
	})
}

// TestNothingIsAlsoAnOperand: ops whose result has no elements do nothing, also where it has no address.
func TestNothingIsAlsoAnOperand(t *testing.T) {
	eachNumerics(t, func(t *testing.T, d *device) {
		for _, code := range cuda.OpCodes() {
			op := sample(rand.New(rand.NewPCG(74, 1)), code, 2)
			out, _, _ := op.Operands()
			if code == cuda.OpAttendTile || code == cuda.OpCacheWrite {
				continue // they change what is there
			}
			dims := dimsOf(out[0])
			op.Out[0] = view(nil, out[0].DType(), dims[1:])
			if op.In[0].Rows() == dims[0] {
				op.In[0] = view(nil, op.In[0].DType(), dimsOf(op.In[0])[1:])
			}
			d.run(t, op)
		}
	})
}

// sameResults compares what two runs of an op gave, but not the room that one works in.
func sameResults(t *testing.T, what string, got, want *cuda.Op) {
	t.Helper()
	out, _, _ := want.Operands()
	for i := range out {
		if want.Code == cuda.OpExperts && i > 0 && !out[0].IsZero() || want.Code == cuda.OpExperts && i == 2 || out[i].IsZero() {
			continue
		}
		a, b := numbers(got.Out[i]), numbers(want.Out[i])
		for j := range b {
			if !same(a[j], b[j]) {
				t.Fatalf("%s: element %d of result %d is %g and %g", what, j, i, a[j], b[j])
			}
		}
	}
}

// keysAndValues are operands whose elements are added in another order where they are in bf16 (attention_test.go), so that bits differ.
var keysAndValues = map[cuda.OpCode][]int{cuda.OpAttention: {1, 2}, cuda.OpLatentAttention: {1}, cuda.OpAttendTile: {1, 2}}

// TestActivationsMayBeBF16: an op on them is the op on the same numbers in f32, and what it gives in bf16 is that rounded once.
func TestActivationsMayBeBF16(t *testing.T) {
	eachNumerics(t, func(t *testing.T, d *device) {
		for _, code := range cuda.OpCodes() {
			for _, rows := range []int{1, 70} {
				op := sample(rand.New(rand.NewPCG(72, uint64(rows))), code, rows)
				for _, c := range [][2]bool{{true, false}, {false, true}, {true, true}} {
					got, want := half(op, c[0], c[1])
					for _, i := range keysAndValues[code] {
						got.In[i] = want.In[i]
					}
					d.run(t, got)
					d.run(t, want)
					out, _, _ := got.Operands()
					for i, t := range out {
						if t.DType() == cuda.BF16 {
							want.Out[i] = narrow(want.Out[i])
						}
					}
					sameResults(t, fmt.Sprintf("%s of %d, takes %v, gives %v", code, rows, c[0], c[1]), got, want)
				}
			}
		}
	})
}

// TestRoundingGoesToTheNearest, of two to the even one, and keeps what is no number: for every way a result can lie between two of bf16.
func TestRoundingGoesToTheNearest(t *testing.T) {
	bits := func(b uint32) float32 { return math.Float32frombits(b) }
	x := []float32{1, bits(0x3f80_8000), bits(0x3f80_8001), bits(0x3f80_7fff), bits(0x3f81_8000), bits(0xbf81_8000), bits(0x7f7f_ffff), 0, bits(0x8000_0000),
		bits(0x0000_8000), bits(0x0001_8000), bits(0x7f80_0001), bits(0xffff_ffff), float32(math.Inf(-1))}
	want := []uint16{0x3f80, 0x3f80, 0x3f81, 0x3f80, 0x3f82, 0xbf82, 0x7f80, 0, 0x8000, 0, 2, 0x7fc0, 0xffff, 0xff80}
	if got := spec.Round(x); !slices.Equal(got, want) {
		t.Errorf("the specification rounds to %#04x, not %#04x", got, want)
	}
	eachTable(t, func(t *testing.T, d *device) {
		g := spec.Pages{Positions: []int32{0}, Seqs: []int32{0}, Tables: []int32{0}, Width: 1, Blocks: 1, Heads: 1, Size: 1}
		for what, op := range map[string]func(y cuda.Tensor) *cuda.Op{
			"a copy":  func(y cuda.Tensor) *cuda.Op { return cuda.NewOp(cuda.OpCopy).Gives(y).Takes(f32(x, 1, 1, len(x))) },
			"a cache": func(y cuda.Tensor) *cuda.Op { return cacheWrite(y, f32(x, 1, len(x)), g) },
			"a column": func(y cuda.Tensor) *cuda.Op {
				return cuda.NewOp(cuda.OpColumns).Gives(y).Takes(f32(x, 1, 1, len(x))).At(0)
			},
		} {
			got := make([]uint16, len(x))
			d.run(t, op(bf16(got, 1, 1, len(x))))
			for i := range want {
				if nan := x[i] != x[i]; got[i] != want[i] && !nan || nan && got[i]&0x7fff <= 0x7f80 {
					t.Errorf("%s: %g is rounded to %#04x, not %#04x", what, x[i], got[i], want[i])
				}
			}
		}
	})
}

// TestOperandsElsewhereAreRefused: a device never computes on memory that is not its own, whichever operand it is.
func TestOperandsElsewhereAreRefused(t *testing.T) {
	d := newDevice(t, 1, cpu.Tables()[0])
	mem, err := d.Alloc(1<<22, cuda.ForScratch)
	must(t, err)
	defer d.Free(mem)
	other := elsewhere{d.Device}
	away := func(x cuda.Tensor) cuda.Tensor {
		y, err := cuda.DeviceTensor(other, mem, 0, x.DType(), dimsOf(x)...)
		must(t, err)
		return y
	}
	for _, code := range cuda.OpCodes() {
		op := sample(rand.New(rand.NewPCG(73, 1)), code, 3)
		out, in, weights := op.Operands()
		for i, x := range out {
			refused(t, d, again(op), func(op *cuda.Op) { op.Out[i] = away(x) }, x.IsZero())
		}
		for i, x := range in {
			refused(t, d, again(op), func(op *cuda.Op) { op.In[i] = away(x) }, x.IsZero())
		}
		for i, w := range weights {
			refused(t, d, again(op), func(op *cuda.Op) {
				op.Weights[i], err = w.Layout.Lay(other, mem, 0, w.Rows, w.Cols)
				must(t, err)
			}, w.IsZero())
		}
		if op.Experts != nil {
			refused(t, d, again(op), func(op *cuda.Op) {
				table := slices.Clone(op.Experts.Experts)
				up := table[1].Up
				table[1].Up, err = up.Layout.Lay(other, mem, 0, up.Rows, up.Cols)
				must(t, err)
				op.Experts = &cuda.ExpertTable{Experts: table}
			}, false)
		}
		d.run(t, op) // and the error is forgotten
	}
}

func refused(t *testing.T, d *device, op *cuda.Op, spoil func(op *cuda.Op), skip bool) {
	t.Helper()
	if skip { // there is no such operand
		return
	}
	spoil(op)
	if err := d.do(op); err == nil || !strings.Contains(err.Error(), op.Code.String()+" on cpu: ") || !strings.Contains(err.Error(), "lies in the memory of another device") {
		t.Errorf("%s: %v", op.Code, err)
	}
}

// elsewhere is a device whose memory is not this process's.
type elsewhere struct{ cuda.Device }

func (elsewhere) Name() string { return "elsewhere" }
func (elsewhere) Kind() string { return cuda.KindFar }

// TestAQueueKeepsItsFirstError, does no more after it, and goes on after it has told.
func TestAQueueKeepsItsFirstError(t *testing.T) {
	d := newDevice(t, 1, cpu.Tables()[0])
	strange := hostMatrix(&cuda.Layout{Name: "stone", Planes: []cuda.Plane{{Rows: 1, Cols: 1, Bytes: 1}}}, 2, 4, make([]byte, 8))
	x, y := []float32{1, 2, 3, 4}, make([]float32, 2)
	d.queue.Run(matmul(y, x, strange))
	d.queue.Run(cuda.NewOp(cuda.OpCopy).Gives(f32(y)).Takes(f32(x[:2])))
	d.queue.CopyIn(f32(y), f32(x[:2]))
	d.queue.Run(matmul(y, x, hostMatrix(&cuda.Layout{Name: "clay", Planes: strange.Layout.Planes}, 2, 4, make([]byte, 8))))
	if err := d.queue.Sync(); err == nil || err.Error() != "matmul on cpu: no kernels for weights in stone" {
		t.Errorf("the first error: %v", err)
	}
	sameBits(t, "what comes after an error", y, []float32{0, 0})
	d.run(t, cuda.NewOp(cuda.OpCopy).Gives(f32(y)).Takes(f32(x[:2])))
	sameBits(t, "after the error was told", y, x[:2])
}

// TestCopiesMustMatch: they are of bytes, whatever they mean, but as many.
func TestCopiesMustMatch(t *testing.T) {
	d := newDevice(t, 1, cpu.Tables()[0])
	src, dst := f32([]float32{1, 2, 3}), f32(make([]float32, 3), 1)
	d.queue.CopyIn(dst, src)
	must(t, d.queue.Sync())
	sameBits(t, "copied", dst.F32(), src.F32())
	back := f32(make([]float32, 3))
	d.queue.CopyOut(back, dst)
	must(t, d.queue.Sync())
	sameBits(t, "copied back", back.F32(), src.F32())
	d.queue.CopyIn(dst.Slice(0, 2), src)
	if d.queue.Sync() == nil {
		t.Error("a copy into less room was accepted")
	}
	d.queue.CopyOut(back, f32(make([]float32, 4)))
	if d.queue.Sync() == nil {
		t.Error("a copy of more than there is room for was accepted")
	}
}
