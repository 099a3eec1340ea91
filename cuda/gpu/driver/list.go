//go:build cuda && cgo

package driver

// #include "calls.h"
import "C"

import (
	"errors"
	"fmt"
	"unsafe"
)

// List is commands for a stream, in order. Building one does not call the driver; Stream.Run hands it over in one call of C, which a
// hundred launches make some microseconds long. Reset keeps its memory. Device memory, and host memory that a copy reads or writes, is
// given by address: whoever builds the list keeps it.
type List struct {
	commands []C.pio_command
	words    []uint64 // what launches are given, each from a multiple of 8 bytes
	names    []string // of the launches' kernels and of other commands, for errors
}

// Reset empties the list.
func (l *List) Reset() { l.commands, l.words, l.names = l.commands[:0], l.words[:0], l.names[:0] }

// Len is how many commands there are.
func (l *List) Len() int { return len(l.commands) }

// Place is how far a list is.
type Place struct{ commands, words int }

// Here is where the next command will be.
func (l *List) Here() Place { return Place{len(l.commands), len(l.words)} }

// Back takes out what was added from a place on.
func (l *List) Back(to Place) {
	l.commands, l.names, l.words = l.commands[:to.commands], l.names[:to.commands], l.words[:to.words]
}

func (l *List) add(name string, c C.pio_command) {
	l.commands, l.names = append(l.commands, c), append(l.names, name)
}

// Launch launches a kernel with one parameter of so many bytes, which are copied. shared is bytes of dynamic shared memory.
func (l *List) Launch(f *Function, grid [3]int32, threads, shared int32, param unsafe.Pointer, bytes uintptr) {
	at := len(l.words)
	l.words = append(l.words, make([]uint64, (bytes+7)/8)...)
	copy(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(l.words[at:]))), bytes), unsafe.Slice((*byte)(param), bytes))
	l.add(f.Name, C.pio_command{
		kind: C.PIO_LAUNCH, at: address(unsafe.Pointer(f.c)), bytes: C.uint64_t(8 * at),
		grid:    [3]C.uint32_t{C.uint32_t(grid[0]), C.uint32_t(grid[1]), C.uint32_t(grid[2])},
		threads: C.uint32_t(threads), shared: C.uint32_t(shared),
	})
}

// CopyIn copies from host memory to the device. From memory that is not pinned it may return late, and later than it has read.
func (l *List) CopyIn(to, from unsafe.Pointer, bytes int64) {
	l.add("copy to the device", C.pio_command{kind: C.PIO_COPY_IN, to: address(to), from: address(from), bytes: C.uint64_t(bytes)})
}

// CopyOut copies from the device to host memory.
func (l *List) CopyOut(to, from unsafe.Pointer, bytes int64) {
	l.add("copy from the device", C.pio_command{kind: C.PIO_COPY_OUT, to: address(to), from: address(from), bytes: C.uint64_t(bytes)})
}

// Copy copies on the device.
func (l *List) Copy(to, from unsafe.Pointer, bytes int64) {
	l.add("copy on the device", C.pio_command{kind: C.PIO_COPY, to: address(to), from: address(from), bytes: C.uint64_t(bytes)})
}

// CopyPeer copies between devices: from memory of here to memory of there.
func (l *List) CopyPeer(there *Context, to unsafe.Pointer, here *Context, from unsafe.Pointer, bytes int64) {
	l.add("copy between devices", C.pio_command{kind: C.PIO_COPY_PEER, to: address(to), from: address(from), bytes: C.uint64_t(bytes),
		there: address(unsafe.Pointer(there.c)), here: address(unsafe.Pointer(here.c))})
}

// Set fills memory of the device with a byte.
func (l *List) Set(at unsafe.Pointer, value byte, bytes int64) {
	l.add("memset", C.pio_command{kind: C.PIO_SET, to: address(at), shared: C.uint32_t(value), bytes: C.uint64_t(bytes)})
}

// Record makes an event happen here. Several lists may record it, one after another.
func (l *List) Record(e *Event) {
	l.add("record of an event", C.pio_command{kind: C.PIO_RECORD, at: address(unsafe.Pointer(e.c))})
}

// Wait lets what follows begin only when the event has happened, as it was recorded when the list is run: of any stream of any device.
func (l *List) Wait(e *Event) {
	l.add("wait for an event", C.pio_command{kind: C.PIO_WAIT, at: address(unsafe.Pointer(e.c))})
}

// Graph launches a graph.
func (l *List) Graph(g *Graph) {
	l.add("launch of a graph", C.pio_command{kind: C.PIO_GRAPH, at: address(unsafe.Pointer(g.c))})
}

// Free gives memory of AllocAsync back.
func (l *List) Free(at unsafe.Pointer) {
	l.add("free", C.pio_command{kind: C.PIO_FREE, to: address(at)})
}

func address(p unsafe.Pointer) C.uint64_t { return C.uint64_t(uintptr(p)) }

func (l *List) c() *C.pio_command { return unsafe.SliceData(l.commands) }

func (l *List) params() *C.char { return (*C.char)(unsafe.Pointer(unsafe.SliceData(l.words))) }

// failed names the command that was refused.
func (l *List) failed(result C.CUresult, done int) error {
	if result == 0 {
		return nil
	}
	call := "cuCtxSetCurrent"
	if done < len(l.commands) {
		call = calls[l.commands[done].kind]
	}
	err := failed(call, result)
	var e *Error
	if errors.As(err, &e) && done < len(l.names) {
		e.Text = fmt.Sprintf("%s: command %d of %d, %s", e.Text, done+1, len(l.commands), l.names[done])
	}
	return err
}

var calls = [...]string{
	C.PIO_LAUNCH: "cuLaunchKernel", C.PIO_COPY_IN: "cuMemcpyHtoDAsync", C.PIO_COPY_OUT: "cuMemcpyDtoHAsync", C.PIO_COPY: "cuMemcpyDtoDAsync",
	C.PIO_COPY_PEER: "cuMemcpyPeerAsync", C.PIO_SET: "cuMemsetD8Async", C.PIO_RECORD: "cuEventRecord", C.PIO_WAIT: "cuStreamWaitEvent",
	C.PIO_GRAPH: "cuGraphLaunch", C.PIO_FREE: "cuMemFreeAsync",
}
