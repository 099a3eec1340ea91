package sdk

import (
	"errors"
	"fmt"
)

// Reason is the machine-readable part of an error. The host decides by it, never by the words.
type Reason string

// The reasons, with the gRPC code each travels as.
const (
	ReasonInvalid       Reason = "INVALID_ARGUMENT"   // InvalidArgument: the request is wrong; the client is told
	ReasonContext       Reason = "CONTEXT_OVERFLOW"   // OutOfRange: prompt and answer do not fit the context
	ReasonTemplate      Reason = "TEMPLATE"           // InvalidArgument: the chat template refused the messages
	ReasonNotFound      Reason = "NOT_FOUND"          // NotFound: no such file, sequence, module
	ReasonCheckpoint    Reason = "CHECKPOINT"         // FailedPrecondition: the checkpoint is damaged or not of this family
	ReasonChanged       Reason = "CHECKPOINT_CHANGED" // FailedPrecondition: its files were written to since Load; only a new process helps
	ReasonDevice        Reason = "DEVICE_LOST"        // FailedPrecondition: a device failed, Field is its name; only a new process helps, without it
	ReasonState         Reason = "STATE"              // FailedPrecondition: not loaded, already loaded, draining
	ReasonMemory        Reason = "MEMORY"             // ResourceExhausted: does not fit the budget
	ReasonOverloaded    Reason = "OVERLOADED"         // ResourceExhausted: the queue is full; try again later
	ReasonUnimplemented Reason = "UNIMPLEMENTED"      // Unimplemented: not among the capabilities
	ReasonInternal      Reason = "INTERNAL"           // Internal: a bug in the plugin
)

// Known says that r is one of the reasons above: a plugin may have made one up.
func (r Reason) Known() bool {
	switch r {
	case ReasonInvalid, ReasonContext, ReasonTemplate, ReasonNotFound, ReasonCheckpoint, ReasonChanged, ReasonDevice, ReasonState, ReasonMemory, ReasonOverloaded,
		ReasonUnimplemented, ReasonInternal:
		return true
	}
	return false
}

// Error is an error with a reason and a sentence a person can act on. It crosses the socket whole.
type Error struct {
	Reason  Reason
	Message string
	Field   string // the request's field or the file's key it is about, or ""
	cause   error
}

// Errorf makes an Error; %w keeps the cause for errors.Is on this side of the socket.
func Errorf(reason Reason, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Reason: reason, Message: err.Error(), cause: errors.Unwrap(err)}
}

func (e *Error) Error() string { return e.Message }
func (e *Error) Unwrap() error { return e.cause }

// ReasonOf finds the reason of err, ReasonInternal if it carries none.
func ReasonOf(err error) Reason {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ReasonInternal
}
