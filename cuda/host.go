package cuda

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// host.go takes memory of this process from the system and gives it back: what the CPU, and devices that stand in for others, are made of.

// mapMemory gives zeroed memory outside the Go heap, aligned to a page. The kernel finds the pages when they are first touched. Of what is
// read whole it is asked to make them huge: a tenth to a third more of it is read in the same time, as fewer addresses are to be looked up.
func mapMemory(bytes int64, readWhole bool) (unsafe.Pointer, error) {
	if bytes == 0 {
		return nil, nil
	}
	b, err := unix.MmapPtr(-1, 0, nil, uintptr(bytes), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("mapping %d bytes: %w", bytes, err)
	}
	if readWhole {
		_ = unix.Madvise(unsafe.Slice((*byte)(b), bytes), unix.MADV_HUGEPAGE) // a kernel without them has small ones
	}
	return b, nil
}

// unmapMemory gives memory of mapMemory back.
func unmapMemory(p unsafe.Pointer, bytes int64) error {
	if p == nil {
		return nil
	}
	return unix.MunmapPtr(p, uintptr(bytes))
}

// Discard gives the whole pages of a piece of mapMemory's back to the kernel; they read as zeros afterwards.
func Discard(p unsafe.Pointer, bytes int64) error {
	page := uintptr(unix.Getpagesize())
	from := (uintptr(p) + page - 1) &^ (page - 1)
	to := (uintptr(p) + uintptr(bytes)) &^ (page - 1)
	if from >= to {
		return nil
	}
	whole := unsafe.Slice((*byte)(unsafe.Add(p, from-uintptr(p))), to-from)
	if err := unix.Madvise(whole, unix.MADV_DONTNEED); err != nil {
		return fmt.Errorf("giving back %d bytes: %w", len(whole), err)
	}
	return nil
}
