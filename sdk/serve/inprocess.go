package serve

import (
	"context"
	"log/slog"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
)

// InProcess serves p in this process and returns the host's side of it: for tests, with breakpoints and the race detector
// on both sides. Everything but the process is as in Main. stop ends the server and the connection.
func InProcess(p sdk.Plugin) (c *client.Client, stop func(), err error) {
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer(serverOptions(slog.Default(), func() {})...)
	register(server, p)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener) // it returns when stop is called
	}()
	conn, err := grpc.NewClient("passthrough:///in-process",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		server.Stop()
		return nil, nil, err
	}
	return client.New(conn), func() {
		_ = conn.Close()
		server.Stop()
		<-served
	}, nil
}
