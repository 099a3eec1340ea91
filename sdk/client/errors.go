package client

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/internal/wire"
)

// ErrGone says that the plugin's process or connection ended, or that the plugin gave the call up because it is stopping.
// What was asked may be asked again of a new process.
var ErrGone = errors.New("the plugin is gone")

// failure is a call's error as the host sees it, nil for nil. ctx is the context of the call.
func failure(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ended(ctx)
	}
	s := status.Convert(err)
	e, known := wire.Error(s)
	switch {
	case known:
		return e
	case s.Code() == codes.DeadlineExceeded: // the plugin's clock was a moment ahead, or it had a deadline of its own
		return fmt.Errorf("%w: %s", context.DeadlineExceeded, e.Message)
	case s.Code() == codes.ResourceExhausted: // gRPC's own words, of an answer, for requests are measured before they are sent
		return sdk.Errorf(sdk.ReasonInternal, "the plugin sent more than it may: %s", e.Message)
	}
	return fmt.Errorf("%w: %s", ErrGone, e.Message)
}

// ended is the error of a call whose context is over: in the words of the cause, and errors.Is finds context.Canceled or
// context.DeadlineExceeded in it too.
func ended(ctx context.Context) error {
	cause := context.Cause(ctx)
	if errors.Is(cause, ctx.Err()) {
		return cause
	}
	return &endedError{cause, ctx.Err()}
}

type endedError struct{ cause, kind error }

func (e *endedError) Error() string   { return e.cause.Error() }
func (e *endedError) Unwrap() []error { return []error{e.cause, e.kind} }

// Printable writes what would steer a terminal, or disguise a text, as Go's %q does; line ends, tabs and every script stay.
// All that a Client returns has gone through it, but for what a model says: answers, prompts, the spelling of tokens.
func Printable(s string) string { return wire.Printable(s) }
