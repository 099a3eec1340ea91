// Package kernels holds the kernels for NVIDIA's GPUs and how an op of package cuda is launched with them.
//
// A file OP.cu is an operation: its story, its kernels; plan_*.go says with which grid each is launched, which is a function of the op's
// shapes alone. What kernels need of the machine is in prelude.cuh, once for a GPU and once for a CPU, on which package sim runs the same
// text. ptx/ holds what clang makes of them; `make kernels` writes it again.
//
// Kept here: a row's bits do not depend on its company. A product, a score, a sum over keys is taken in an order that the shapes of the
// weights and the row's own position fix, with the same instructions whether a row comes alone or in a prompt.
package kernels

import (
	"fmt"
	"strconv"

	"github.com/inference-pio/inference-pio/cuda"
)

// Layouts are the layouts of weights that the kernels read, at the numbers they have in op.h.
var Layouts = [...]string{"f32", "bf16", "f16", "f8e4m3/f32", "f8e4m3/bf16", cuda.Q8, cuda.Q4}

// Properties is what a plan needs to know of a device and of what was asked for.
type Properties struct {
	// Fast rounds rows of activations to bf16 where they are multiplied; otherwise products are those of f32.
	Fast            bool
	Multiprocessors int // at least 1
	Shared          int // bytes of shared memory that one block may have
	// Warpgroups has products of many rows made by Hopper's own instructions (warpgroups.cuh), which give the same bits.
	Warpgroups bool
}

// Launch is one kernel's launch.
type Launch struct {
	Kernel  string
	Grid    [3]int32
	Threads int32
	Shared  int32    // bytes of dynamic shared memory
	P       [6]int32 // what op.p is
	Maps    [2]Map   // of a kernel that is given a Mapped
}

// Map is a matrix of bf16 of which a kernel has tiles copied.
type Map struct {
	Rows, Cols         int
	TileRows, TileCols int  // 0 rows: there is no map
	Swizzled           bool // 16-byte pieces within 128 bytes
	Scratch            bool // it lies at the start of scratch memory; or else it is the op's weights
}

// Mapped says whether the kernel is given maps beside the op.
func (l *Launch) Mapped() bool { return l.Maps[0].TileRows > 0 }

// CounterBytes lie in front of scratch memory and are 0 between launches: blocks count themselves there (last.cuh).
const CounterBytes = 4 * countersMost

const countersMost = 1024 // PIO_COUNTERS

// Plan is how one op is launched: the launches, in order, and the scratch memory that they share.
type Plan struct {
	Properties
	Launches []Launch
	Scratch  int64

	why   string
	names map[nameOf]string
}

// nameOf is what a kernel's name is made of.
type nameOf struct {
	kernel, layout string
	size           int
	suffix         string
}

// name is that of a kernel for a layout or heads of a size, 0 being none: put together once, since plans are made as steps run.
func (p *Plan) name(n nameOf) string {
	name, ok := p.names[n]
	if !ok {
		if name = n.kernel + n.layout; n.size > 0 {
			name += strconv.Itoa(n.size)
		}
		name += n.suffix
		if p.names == nil {
			p.names = map[nameOf]string{}
		}
		p.names[n] = name
	}
	return name
}

// Op plans an op; what was in the plan is gone. An error says that there is no kernel for its operands.
func (p *Plan) Op(op *cuda.Op) error {
	p.Launches, p.Scratch, p.why = p.Launches[:0], 0, ""
	f := plans[op.Code]
	if f == nil {
		return fmt.Errorf("%s: there is no kernel for it", op.Code)
	}
	if f(p, op); p.why != "" {
		return fmt.Errorf("%s: %s", op.Code, p.why)
	}
	return nil
}

// refuse says why an op cannot be launched.
func (p *Plan) refuse(format string, args ...any) { p.why = fmt.Sprintf(format, args...) }

// launch adds a launch over a grid. An empty grid is none: no driver takes it.
func (p *Plan) launch(kernel string, threads, shared, x, y, z int, numbers ...int) {
	if x <= 0 || y <= 0 || z <= 0 {
		return
	}
	l := Launch{Kernel: kernel, Grid: [3]int32{int32(x), int32(y), int32(z)}, Threads: int32(threads), Shared: int32(shared)}
	for i, n := range numbers {
		l.P[i] = int32(n)
	}
	p.Launches = append(p.Launches, l)
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// plans has how each op is launched.
var plans = func() (all [256]func(*Plan, *cuda.Op)) {
	for _, part := range []map[cuda.OpCode]func(*Plan, *cuda.Op){
		elementwise, norms, rows, rotary, cache, attention, sampling, delta, weights, experts,
	} {
		for code, f := range part {
			all[code] = f
		}
	}
	return all
}()
