//go:build cuda && cgo

package driver

// #cgo noescape pio_alloc
// #cgo nocallback pio_alloc
// #cgo noescape pio_pinned
// #cgo nocallback pio_pinned
// #cgo noescape pio_alloc_async
// #cgo nocallback pio_alloc_async
// #include "calls.h"
import "C"

import (
	"unsafe"

	"gorgonia.org/cu"
)

// memory.go has the kinds of memory. An address of a device is an unsafe.Pointer that nothing here may follow.

// MemInfo is how much of the device's memory is free, for any process, and how much there is, in bytes.
func (c *Context) MemInfo() (free, total int64, err error) {
	err = c.on("cuMemGetInfo", func() (err error) { free, total, err = cu.MemInfo(); return err })
	return free, total, err
}

// Alloc gives device memory, aligned to 256 bytes, which holds anything. It may wait for the device; see AllocAsync.
func (c *Context) Alloc(bytes int64) (unsafe.Pointer, error) {
	var at unsafe.Pointer
	return at, failed("cuMemAlloc", C.pio_alloc(c.c, C.size_t(bytes), &at))
}

// Free gives memory of Alloc back once the device has nothing more to do, for which it waits.
func (c *Context) Free(at unsafe.Pointer) error { return failed("cuMemFree", C.pio_free(c.c, at)) }

// AllocAsync gives memory of the device's pool, which may be used by what follows on the stream, elsewhere after an event. List.Free
// gives it back.
func (c *Context) AllocAsync(s *Stream, bytes int64) (unsafe.Pointer, error) {
	var at unsafe.Pointer
	return at, failed("cuMemAllocAsync", C.pio_alloc_async(c.c, s.c, C.size_t(bytes), &at))
}

// KeepPool says how many bytes of freed memory the pool keeps for the next AllocAsync; without it everything at each synchronisation goes
// back. TrimPool gives back what it keeps beyond so many bytes.
func (c *Context) KeepPool(bytes int64) error {
	return failed("cuMemPoolSetAttribute", C.pio_pool_keep(c.c, C.int(c.dev), C.uint64_t(bytes)))
}

// TrimPool: see KeepPool.
func (c *Context) TrimPool(bytes int64) error {
	return failed("cuMemPoolTrimTo", C.pio_pool_trim(c.c, C.int(c.dev), C.size_t(bytes)))
}

// SparePool is how many bytes of freed memory the pool keeps now: no other process can have them, and the next AllocAsync does.
func (c *Context) SparePool() (int64, error) {
	var bytes C.uint64_t
	err := failed("cuMemPoolGetAttribute", C.pio_pool_spare(c.c, C.int(c.dev), &bytes))
	return int64(bytes), err
}

// Pinned gives memory of this process that devices, all of them, copy from and to beside other work.
func (c *Context) Pinned(bytes int64) ([]byte, error) {
	var at unsafe.Pointer
	if err := failed("cuMemHostAlloc", C.pio_pinned(c.c, C.size_t(bytes), &at)); err != nil {
		return nil, err
	}
	return unsafe.Slice((*byte)(at), bytes), nil
}

// FreePinned gives memory of Pinned back. No copy may be under way.
func (c *Context) FreePinned(b []byte) error {
	return failed("cuMemFreeHost", C.pio_pinned_free(c.c, unsafe.Pointer(unsafe.SliceData(b))))
}

// Register makes memory that this process has already as good as Pinned, until Unregister: whole pages, which stay in memory. Read-only is
// for mapped files, which not every system allows.
func (c *Context) Register(b []byte, readOnly bool) error {
	var flag C.int
	if readOnly {
		flag = 1
	}
	result := C.pio_register(c.c, unsafe.Pointer(unsafe.SliceData(b)), C.size_t(len(b)), flag)
	return failed("cuMemHostRegister", result)
}

// Unregister undoes Register.
func (c *Context) Unregister(b []byte) error {
	return failed("cuMemHostUnregister", C.pio_unregister(c.c, unsafe.Pointer(unsafe.SliceData(b))))
}
