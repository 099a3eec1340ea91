//go:build cuda && cgo

package driver

// #cgo noescape pio_submit
// #cgo nocallback pio_submit
// #cgo nocallback pio_wait
// #cgo nocallback pio_event_query
// #cgo nocallback pio_stream_query
// #cgo nocallback pio_stream_synchronize
// #include "calls.h"
import "C"

import (
	"errors"
	"time"
	"unsafe"

	"gorgonia.org/cu"
)

// Stream is work of one device that is done in order, beside that of other streams.
type Stream struct {
	context *Context
	cu      cu.Stream
	c       C.CUstream
}

// NewStream is a stream that no other waits for unless told to.
func (c *Context) NewStream() (*Stream, error) {
	s := &Stream{context: c}
	err := c.on("cuStreamCreate", func() (err error) { s.cu, err = cu.MakeStream(cu.NonBlocking); return err })
	if err != nil {
		return nil, err
	}
	s.c = C.CUstream(unsafe.Pointer(s.cu.C()))
	return s, nil
}

// Close ends the stream; what is in it is done still.
func (s *Stream) Close() error {
	return s.context.on("cuStreamDestroy", func() error { return s.cu.Destroy() })
}

// Run hands a list over. The list may be changed as soon as it returns, what its commands point to not before they are done. An error
// names the command that was refused; those before it are done.
func (s *Stream) Run(l *List) error {
	if len(l.commands) == 0 {
		return nil
	}
	var done C.size_t
	result := C.pio_submit(s.context.c, s.c, l.c(), C.size_t(len(l.commands)), l.params(), &done)
	return l.failed(result, int(done))
}

// Done says whether all is done; an error, what of it failed.
func (s *Stream) Done() (bool, error) {
	return done("cuStreamQuery", C.pio_stream_query(s.context.c, s.c))
}

// Synchronize waits until all is done. A kernel that does not end is waited for for ever; see Event.Wait.
func (s *Stream) Synchronize() error {
	return failed("cuStreamSynchronize", C.pio_stream_synchronize(s.context.c, s.c))
}

// Event is a place in a stream, as of when it was recorded last. Before that it has happened.
type Event struct {
	context *Context
	cu      cu.Event
	c       C.CUevent
}

// NewEvent is an event; one that is timed costs more, and Elapsed can tell the time between two.
func (c *Context) NewEvent(timed bool) (*Event, error) {
	e := &Event{context: c}
	flags := cu.DisableTiming
	if timed {
		flags = cu.DefaultEvent
	}
	err := c.on("cuEventCreate", func() (err error) { e.cu, err = cu.MakeEvent(flags); return err })
	if err != nil {
		return nil, err
	}
	e.c = *(*C.CUevent)(unsafe.Pointer(&e.cu)) // a struct of this one pointer
	return e, nil
}

// Close ends the event; who waits for it still does.
func (e *Event) Close() error {
	return e.context.on("cuEventDestroy", func() error { return cu.DestroyEvent(&e.cu) })
}

// Happened says whether what was before it in its stream is done; an error, what failed on the device.
func (e *Event) Happened() (bool, error) {
	return done("cuEventQuery", C.pio_event_query(e.context.c, e.c))
}

// Wait waits until it has happened. After limit (0: none) it gives up with an error that is Lost: a kernel does not end.
func (e *Event) Wait(limit time.Duration) error {
	err := failed("cuEventQuery", C.pio_wait(e.context.c, e.c, C.int64_t(limit)))
	var known *Error
	if errors.As(err, &known) && known.Code == codeNotReady {
		return &Error{Call: "cuEventQuery", Code: codeTimeout, Name: "CUDA_ERROR_LAUNCH_TIMEOUT", Text: "what was launched has not ended within " + limit.String()}
	}
	return err
}

// Elapsed is the time from one timed event to a later.
func (e *Event) Elapsed(later *Event) (time.Duration, error) {
	var ms C.float
	err := failed("cuEventElapsedTime", C.pio_elapsed(e.context.c, e.c, later.c, &ms))
	return time.Duration(float64(ms) * float64(time.Millisecond)), err
}

func done(call string, result C.CUresult) (bool, error) {
	if result == codeNotReady {
		return false, nil
	}
	err := failed(call, result)
	return err == nil, err
}
