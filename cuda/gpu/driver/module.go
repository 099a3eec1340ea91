//go:build cuda && cgo

package driver

// #include "calls.h"
// #include <stdlib.h>
import "C"

import (
	"errors"
	"strings"
	"unsafe"
)

// Module is compiled kernels on one device.
type Module struct {
	context *Context
	c       C.CUmodule
}

// LoadModule loads PTX, which the driver compiles for its device (and keeps, on disk), or a cubin. What its compiler says against it is
// in the error's Text.
func (c *Context) LoadModule(image []byte) (*Module, error) {
	text := C.CString(string(image)) // ends in a zero, as PTX must
	defer C.free(unsafe.Pointer(text))
	var log [8192]C.char
	m := &Module{context: c}
	err := failed("cuModuleLoadData", C.pio_load(c.c, unsafe.Pointer(text), &log[0], C.size_t(len(log)), &m.c))
	if err == nil {
		return m, nil
	}
	var e *Error
	if said := strings.TrimSpace(C.GoString(&log[0])); said != "" && errors.As(err, &e) {
		e.Text += ": " + said
	}
	return nil, err
}

// Unload frees the module; its functions are gone.
func (m *Module) Unload() error { return failed("cuModuleUnload", C.pio_unload(m.context.c, m.c)) }

// Function is a kernel that can be launched.
type Function struct {
	Name      string
	Threads   int // a block may have
	Registers int // of a thread
	Local     int // bytes of local memory of a thread: registers that were spilled, arrays
	Shared    int // bytes of shared memory that it has beside what a launch gives

	context *Context
	c       C.CUfunction
}

// Function finds a kernel. A block of its launches may have as many bytes of shared memory as shared says, what the kernel has of its own and
// what a launch gives together: up to Info.Shared.
func (m *Module) Function(name string, shared int) (*Function, error) {
	text := C.CString(name)
	defer C.free(unsafe.Pointer(text))
	f := &Function{Name: name, context: m.context}
	if err := failed("cuModuleGetFunction", C.pio_function(m.context.c, m.c, text, C.int(shared), &f.c)); err != nil {
		var e *Error
		if errors.As(err, &e) {
			e.Text += ": " + name
		}
		return nil, err
	}
	var values [4]C.int
	if err := failed("cuFuncGetAttribute", C.pio_function_attributes(m.context.c, f.c, &values[0])); err != nil {
		return nil, err
	}
	f.Threads, f.Shared, f.Registers, f.Local = int(values[0]), int(values[1]), int(values[2]), int(values[3])
	return f, nil
}

// Occupancy is how many blocks of so many threads and bytes of dynamic shared memory a multiprocessor holds at once.
func (f *Function) Occupancy(threads, shared int) (int, error) {
	var blocks C.int
	err := failed("cuOccupancyMaxActiveBlocksPerMultiprocessor", C.pio_occupancy(f.context.c, f.c, C.int(threads), C.size_t(shared), &blocks))
	return int(blocks), err
}
