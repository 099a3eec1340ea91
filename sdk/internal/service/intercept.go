package service

// intercept.go: what happens around every call. A panic becomes an INTERNAL error with its stack in the log, and errors
// take the form the host understands.

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"

	"google.golang.org/grpc"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/internal/wire"
)

// Options are those of a server of plugins. before runs at the beginning of every call.
func Options(log *slog.Logger, before func()) []grpc.ServerOption {
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

// outcome is the error of a call that panicked with cause, or returned err. It is called by the deferred function that
// recovered, while the frames of the panic are still there to be told.
func outcome(log *slog.Logger, method string, cause any, err error) error {
	if cause != nil {
		log.Error("panic in a call", "method", method, "panic", cause, "stack", string(debug.Stack()))
		err = sdk.Errorf(sdk.ReasonInternal, "the plugin panicked%s: %v", panicPlace(), cause)
	}
	return wire.StatusError(err)
}

// panicPlace is " at FILE:LINE", where the author's code panicked or called the library that did.
func panicPlace() string {
	stack := make([]uintptr, 100)
	frames := runtime.CallersFrames(stack[:runtime.Callers(1, stack)])
	panicked := false
	for {
		f, more := frames.Next()
		switch {
		case f.Function == "runtime.gopanic":
			panicked = true
		case panicked && !ofStandardLibrary(f.Function):
			dir, file := filepath.Split(f.File)
			return fmt.Sprintf(" at %s:%d", filepath.Join(filepath.Base(dir), file), f.Line)
		}
		if !more {
			return ""
		}
	}
}

// ofStandardLibrary tells by the first element of the package's path, which elsewhere is main, has a dot, or begins the
// path of the program's module.
func ofStandardLibrary(function string) bool {
	first, _, _ := strings.Cut(function, "/")
	if !strings.Contains(function, "/") {
		first, _, _ = strings.Cut(function, ".")
	}
	if first == "main" || strings.Contains(first, ".") {
		return false
	}
	info, ok := debug.ReadBuildInfo()
	return !ok || info.Main.Path != first && !strings.HasPrefix(info.Main.Path, first+"/")
}
