package kerneltest

// #cgo CFLAGS: -I${SRCDIR}/.. -I${SRCDIR}/../../include
// #cgo LDFLAGS: -ldl
// #include <dlfcn.h>
// #include <stdlib.h>
// #include "matrix_map.h"
// #include "op.h"
//
// typedef int launch_fn(const char *, const unsigned[3], unsigned, unsigned, const pio_op *);
// static const char *(*told)(void);
// static launch_fn *launch_it;
// static void (*set_modes)(int, unsigned long long);
// static __typeof__(cuTensorMapEncodeTiled) *describe;
//
// static const char *pio_open(const char *path) {
//   void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
//   if (!lib) return dlerror();
//   launch_it = (launch_fn *)dlsym(lib, "pio_sim_launch");
//   told = (const char *(*)(void))dlsym(lib, "pio_sim_error");
//   set_modes = (void (*)(int, unsigned long long))dlsym(lib, "pio_sim_modes");
//   describe = (__typeof__(describe))dlsym(lib, "cuTensorMapEncodeTiled");
//   return launch_it && told && set_modes && describe ? NULL : "it is not the library that the Makefile of sim makes";
// }
// static const char *pio_launch(const char *name, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned shared, const pio_op *op) {
//   unsigned grid[3] = {x, y, z};
//   return launch_it(name, grid, threads, shared, op) ? told() : NULL;
// }
// static CUresult pio_map(const pio_matrix_map *m, void *to) { return pio_describe(describe, m, to); }
// static void pio_modes(int copies, unsigned long long order) { set_modes(copies, order); }
import "C"

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"unsafe"

	"github.com/inference-pio/inference-pio/cuda/kernels"
	"github.com/inference-pio/inference-pio/cuda/kernels/sim"
)

// library.go calls the library of kernels.

var load = sync.OnceValue(func() error {
	lib, err := sim.Build(sim.Options{})
	if err != nil {
		return err
	}
	path := C.CString(lib)
	defer C.free(unsafe.Pointer(path))
	if why := C.pio_open(path); why != nil {
		return fmt.Errorf("kernels for this CPU: %s", C.GoString(why))
	}
	return nil
})

// open loads the library, which is made anew where a kernel has changed.
func open(t testing.TB) {
	t.Helper()
	sim.Library(t, sim.Options{}) // skips where it cannot be built
	if err := load(); err != nil {
		t.Fatal(err)
	}
}

// launch launches a kernel, which is given an op, or with its maps.
func launch(l *kernels.Launch, with *kernels.Mapped) error {
	op := &with.Op
	op.P = l.P
	for i := range l.Maps {
		m := &l.Maps[i]
		if m.TileRows == 0 {
			continue
		}
		matrix := C.pio_matrix_map{at: C.uint64_t(m.At(op)), rows: C.uint64_t(m.Rows), cols: C.uint64_t(m.Cols), tile_rows: C.uint32_t(m.TileRows), tile_cols: C.uint32_t(m.TileCols)}
		if m.Swizzled {
			matrix.swizzle = C.CU_TENSOR_MAP_SWIZZLE_128B
		}
		if refused := C.pio_map(&matrix, unsafe.Pointer(&with.Map[i])); refused != 0 {
			return fmt.Errorf("%s: map %d, %+v, is refused (%d)", l.Kernel, i, *m, int(refused))
		}
	}
	runtime.LockOSThread() // the reason of a failure is this thread's
	defer runtime.UnlockOSThread()
	name := C.CString(l.Kernel)
	defer C.free(unsafe.Pointer(name))
	given := (*C.pio_op)(unsafe.Pointer(op)) // as abi.go has it
	if why := C.pio_launch(name, C.unsigned(l.Grid[0]), C.unsigned(l.Grid[1]), C.unsigned(l.Grid[2]), C.unsigned(l.Threads), C.unsigned(l.Shared), given); why != nil {
		return fmt.Errorf("%s over %v of %d: %s", l.Kernel, l.Grid, l.Threads, C.GoString(why))
	}
	return nil
}

func modes(copies int, order uint64) { C.pio_modes(C.int(copies), C.ulonglong(order)) }
