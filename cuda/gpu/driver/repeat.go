//go:build cuda && cgo

package driver

// #include "calls.h"
import "C"

import "unsafe"

// Bytes is all that a list says, in two pieces: two lists of the same bytes do the same. They are valid until the list is changed.
func (l *List) Bytes() (commands, params []byte) {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(l.commands))), uintptr(len(l.commands))*unsafe.Sizeof(C.pio_command{})),
		unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(l.words))), 8*len(l.words))
}

// Repeatable says that nothing in the list depends on anything outside it: no events, no graphs, no frees.
func (l *List) Repeatable() bool {
	for i := range l.commands {
		switch l.commands[i].kind {
		case C.PIO_RECORD, C.PIO_WAIT, C.PIO_GRAPH, C.PIO_FREE, C.PIO_COPY_PEER:
			return false
		}
	}
	return true
}
