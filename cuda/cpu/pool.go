package cpu

// #cgo CFLAGS: -O3 -std=c11 -Wall -Wextra -Wno-psabi
// #cgo LDFLAGS: -lm -lpthread
// #cgo noescape pio_pool_free
// #cgo noescape pio_pool_use
// #cgo nocallback pio_pool_use
// #include "kernels.h"
// static void pio_exp(const pio_kernels *t, float *y, const float *x, size_t n) { t->exp(y, x, n); }
import "C"

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/internal/block"
)

// pool.go holds the pool: a kernel table and the threads it runs on. -std=c11 matters for more than the language: it keeps
// the compiler from fusing a multiply and an add where the source does not say so, and with that equal bits wherever a
// kernel is inlined.

var _ = [1]struct{}{}[C.PIO_BLOCK-block.Size]

// pool is the threads that kernels run on. One op runs at a time; others wait.
type pool struct {
	c       *C.pio_pool
	table   *C.pio_kernels
	threads int
	layouts []string // the table's
	using   atomic.Int32

	mu     sync.Mutex // of closed, and while the threads are told something
	closed bool
}

// newPool has so many threads, the caller's included; 0 is one for each core that this process may use: runtime.GOMAXPROCS, which obeys a
// cgroup's share of the processors. Threads start at the first op that needs them.
func newPool(threads int, table *C.pio_kernels) *pool {
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	p := &pool{c: C.pio_pool_new(C.int(threads)), table: table, threads: threads}
	p.using.Store(int32(threads))
	for _, l := range unsafe.Slice(table.layouts, table.layout_count) {
		p.layouts = append(p.layouts, C.GoString(l.name))
	}
	return p
}

// codes are the kernels' numbers of the ops, found by their names.
var codes = func() (list [256]int) {
	names := opNames()
	for _, code := range cuda.OpCodes() {
		list[code] = slices.Index(names, code.String())
	}
	return list
}()

// opNames are the kernels' ops in the order of their numbers.
func opNames() []string {
	names := make([]string, C.PIO_OP_COUNT)
	for i := range names {
		names[i] = C.GoString(C.pio_op_name(C.int(i)))
	}
	return names
}

// has says whether the table has a kernel for an op.
func (p *pool) has(op string) bool {
	i := slices.Index(opNames(), op)
	return i >= 0 && p.table.run[i] != nil
}

// exp is the kernels' own e^x: the bounds of attention and of all that has a sigmoid rest on it.
func (p *pool) exp(y, x []float32) {
	C.pio_exp(p.table, (*C.float)(unsafe.SliceData(y)), (*C.float)(unsafe.SliceData(x)), C.size_t(min(len(y), len(x))))
}

// use has so many threads take part in ops, from the next on.
func (p *pool) use(threads int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.using.Store(int32(min(threads, p.threads)))
		C.pio_pool_use(p.c, C.int(p.using.Load()))
	}
}

// Close ends the threads. No op may run or come after.
func (p *pool) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.closed = true
		C.pio_pool_free(p.c)
	}
	return nil
}

// Kernels names the table that Open takes on this machine where nothing is asked for: "cpu/avx2".
func Kernels() string {
	t, _ := choose(os.Getenv(EnvKernels), Exact)
	return "cpu/" + C.GoString(t.name)
}

// Tables are the names of the exact kernel tables this machine can run, best first.
func Tables() []string { return tablesFor(Exact) }

// FastTables are those for fast numerics, of which some instruction sets have several.
func FastTables() []string { return tablesFor(Fast) }

func tablesFor(numerics string) (names []string) {
	for t := range tables {
		if C.GoString(t.numerics) == numerics {
			names = append(names, C.GoString(t.name))
		}
	}
	return names
}

func tables(yield func(*C.pio_kernels) bool) {
	for i := C.int(0); ; i++ {
		if t := C.pio_kernels_at(i); t == nil || !yield(t) {
			return
		}
	}
}

// choose finds the best table that may serve some numerics, or the one of a name; if this machine has not that one, the error goes with the
// best. Exact kernels serve fast numerics, too.
func choose(name, numerics string) (best *C.pio_kernels, err error) {
	if numerics != Exact && numerics != Fast {
		return nil, fmt.Errorf("numerics %q: the cpu computes %q and %q", numerics, Exact, Fast)
	}
	for t := range tables {
		switch {
		case numerics == Exact && C.GoString(t.numerics) != Exact:
		case name == "" || C.GoString(t.name) == name:
			return t, nil
		case best == nil:
			best = t
		}
	}
	return best, fmt.Errorf("this machine has no kernel table %q, but %v", name, tablesFor(numerics))
}
