package driver

import (
	"errors"
	"fmt"
)

// Error is a call that the driver refused, or work that it could not do and tells of at a later call.
type Error struct {
	Call string // the driver's function
	Code int    // CUresult
	Name string // CUDA_ERROR_...
	Text string // what it means, and what else is known
}

func (e *Error) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("cuda: %s: %s (%d)", e.Call, e.Name, e.Code)
	}
	return fmt.Sprintf("cuda: %s: %s (%s, %d)", e.Call, e.Text, e.Name, e.Code)
}

// The codes that something here depends on.
const (
	codeOutOfMemory   = 2
	codeNoDevice      = 100
	codeNotFound      = 500
	codeNotReady      = 600
	codeTimeout       = 702
	codePeerEnabled   = 704
	codeRegistered    = 712
	codeUpdateFailure = 910
)

// lost are the codes after which nothing that a context holds can be used, and each call fails alike: what a kernel must not do, and a
// device that is gone.
var lost = map[int]bool{
	46:  true, // the device is unavailable
	214: true, // memory that cannot be corrected
	220: true, // a link between devices that cannot be
	226: true, // a fault of another that was contained
	700: true, // a kernel's address that is not the context's
	702: true, // a kernel that does not end
	709: true, // the context is destroyed
	710: true, // an assertion of a kernel
	714: true, // a kernel's stack
	715: true, // a kernel's instruction
	716: true, // a kernel's address that is not aligned
	717: true, // an address of another kind of memory
	718: true, // a kernel's program counter
	719: true, // a kernel that failed otherwise
	999: true, // it does not know; drivers say so of a device that fell off the bus
}

// OutOfMemory says whether an error is a device without room, which is as usable as before.
func OutOfMemory(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == codeOutOfMemory
}

// Lost says whether an error means that the context cannot be used any more: the device is gone, or a kernel did what it must not or does
// not end. Only a new process can use the device again, if anything can.
func Lost(err error) bool {
	var e *Error
	return errors.As(err, &e) && lost[e.Code]
}
