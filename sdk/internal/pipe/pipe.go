// Package pipe connects to a gRPC server of the same process, for tests and kits: no socket, and breakpoints on both sides.
package pipe

import (
	"context"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
)

// Connect serves on a pipe and returns its other end. stop ends both and waits; Stop of the server alone is a crash.
func Connect(server *grpc.Server) (conn *grpc.ClientConn, stop func(), err error) {
	listener := bufconn.Listen(1 << 20)
	conn, err = grpc.NewClient("passthrough:///in-process",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		return nil, nil, err
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener) // it returns when the server is stopped
	}()
	return conn, func() {
		_ = conn.Close()
		server.Stop()
		<-served
	}, nil
}
