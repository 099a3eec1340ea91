package serve

// intercept.go: what happens around every call. A panic becomes an INTERNAL error with its stack in the log, and errors
// take the form the host understands.

import (
	"context"
	"log/slog"
	"runtime/debug"

	"google.golang.org/grpc"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/internal/pb"
	"github.com/inference-pio/inference-pio/sdk/internal/wire"
)

// serverOptions are added to those go-plugin gives. before runs at the beginning of every call.
func serverOptions(log *slog.Logger, before func()) []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(sdk.MaxMessageBytes),
		grpc.MaxSendMsgSize(sdk.MaxMessageBytes),
		grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (resp any, err error) {
			defer func() { err = outcome(log, info.FullMethod, recover(), err) }()
			before()
			return handle(ctx, req)
		}),
		grpc.ChainStreamInterceptor(func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) (err error) {
			defer func() { err = outcome(log, info.FullMethod, recover(), err) }()
			before()
			return handle(srv, stream)
		}),
	}
}

// outcome is the error of a call that panicked with cause, or returned err.
func outcome(log *slog.Logger, method string, cause any, err error) error {
	if cause != nil {
		log.Error("panic in a call", "method", method, "panic", cause, "stack", string(debug.Stack()))
		err = sdk.Errorf(sdk.ReasonInternal, "the plugin panicked: %v", cause)
	}
	return wire.StatusError(err)
}

func register(s *grpc.Server, p sdk.Plugin) *modelServer {
	model := &modelServer{plugin: p, life: newLifecycle()}
	pb.RegisterModelServer(s, model)
	pb.RegisterSchedulerServer(s, &schedulerServer{plugin: p})
	return model
}
