package client

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

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
		return ctx.Err()
	}
	s := status.Convert(err)
	e, known := wire.Error(s)
	if known {
		return e
	}
	if s.Code() == codes.DeadlineExceeded {
		return fmt.Errorf("%w: %s", context.DeadlineExceeded, s.Message())
	}
	return fmt.Errorf("%w: %s", ErrGone, s.Message())
}
