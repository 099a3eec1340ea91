// Package wire translates between the types of package sdk and the generated messages of the contract, in both
// directions. Every decoder checks what it is given: a plugin may be written by anyone, and a host may be newer.
package wire

// errors.go: an error crosses as a gRPC status with a google.rpc.ErrorInfo; the reason in it is what the other side acts on.

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/inference-pio/inference-pio/sdk"
)

const (
	domain        = "pio"
	fieldKey      = "field"
	maxErrorBytes = 64 << 10 // a status travels in a header; a list of ten thousand missing tensors is cut
)

// code is the gRPC code a reason travels as.
func code(r sdk.Reason) codes.Code {
	switch r {
	case sdk.ReasonInvalid, sdk.ReasonTemplate:
		return codes.InvalidArgument
	case sdk.ReasonContext:
		return codes.OutOfRange
	case sdk.ReasonNotFound:
		return codes.NotFound
	case sdk.ReasonCheckpoint, sdk.ReasonChanged, sdk.ReasonDevice, sdk.ReasonState:
		return codes.FailedPrecondition
	case sdk.ReasonMemory, sdk.ReasonOverloaded:
		return codes.ResourceExhausted
	case sdk.ReasonUnimplemented:
		return codes.Unimplemented
	case sdk.ReasonInternal:
		return codes.Internal
	}
	return codes.Unknown // a reason of the author's own
}

// reasonFor is used for a status without ErrorInfo, which an author in another language may have forgotten.
func reasonFor(c codes.Code) sdk.Reason {
	switch c {
	case codes.InvalidArgument:
		return sdk.ReasonInvalid
	case codes.OutOfRange:
		return sdk.ReasonContext
	case codes.NotFound:
		return sdk.ReasonNotFound
	case codes.FailedPrecondition:
		return sdk.ReasonState
	case codes.Unimplemented:
		return sdk.ReasonUnimplemented
	}
	return sdk.ReasonInternal
}

// StatusError is err as a gRPC handler returns it. The end of a context keeps its own code and carries no reason.
func StatusError(err error) error {
	if err == nil {
		return nil
	}
	var e *sdk.Error
	if errors.As(err, &e) {
		return withReason(e.Reason, err.Error(), e.Field)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return status.FromContextError(err).Err()
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return withReason(sdk.ReasonInternal, err.Error(), "")
}

func withReason(r sdk.Reason, message, field string) error {
	info := &errdetails.ErrorInfo{Domain: domain, Reason: clean(string(r))}
	if field != "" {
		info.Metadata = map[string]string{fieldKey: clean(field)}
	}
	s := status.New(code(r), clean(message))
	if with, err := s.WithDetails(info); err == nil {
		s = with
	}
	return s.Err()
}

// clean makes a string that protobuf accepts and a header carries.
func clean(s string) string {
	if len(s) > maxErrorBytes {
		s = s[:maxErrorBytes] + " ... (cut)"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// Error is the sdk's error in a status, with known set if the sender named a reason or one follows from the code.
// Canceled, DeadlineExceeded, Unavailable and ResourceExhausted (gRPC's own, of a message above the limit) without a reason
// say something about the call, not about the request: for these known is false.
func Error(s *status.Status) (e *sdk.Error, known bool) {
	for _, d := range s.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetDomain() == domain && info.GetReason() != "" {
			return &sdk.Error{Reason: sdk.Reason(name(info.GetReason())), Message: Printable(s.Message()), Field: name(info.GetMetadata()[fieldKey])}, true
		}
	}
	e = &sdk.Error{Reason: reasonFor(s.Code()), Message: Printable(s.Message())}
	switch s.Code() {
	case codes.Canceled, codes.DeadlineExceeded, codes.Unavailable, codes.ResourceExhausted:
		return e, false
	}
	return e, true
}
