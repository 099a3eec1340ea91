// What guard.c does for one mapped file.

package weights

// #cgo CFLAGS: -std=c11 -Wall -Wextra
// #cgo LDFLAGS: -lpthread
// #include "guard.h"
import "C"

import "unsafe"

// guard watches over a mapping. Without one the process ends when a page is touched that is not there.
type guard struct{ region C.int }

func newGuard(data []byte, writable bool) guard {
	may := C.int(0)
	if writable {
		may = 1
	}
	return guard{C.pio_guard_add(unsafe.Pointer(unsafe.SliceData(data)), C.size_t(len(data)), may)}
}

// cut says that some of the mapping could not be read: what was computed with it is worth nothing.
func (g guard) cut() bool { return C.pio_guard_cut(g.region) != 0 }

func (g guard) remove() { C.pio_guard_remove(g.region) }
