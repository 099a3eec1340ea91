// Package servetest serves a plugin within a test, as httptest does for a handler of HTTP.
package servetest

import (
	"log/slog"

	"google.golang.org/grpc"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
	"github.com/inference-pio/inference-pio/sdk/internal/pipe"
	"github.com/inference-pio/inference-pio/sdk/internal/service"
)

// InProcess serves p in this process and returns the host's side of it: for tests, with breakpoints and the race detector
// on both sides. Everything but the process is as in serve.Main. stop ends the server and the connection.
func InProcess(p sdk.Plugin) (c *client.Client, stop func(), err error) {
	server := grpc.NewServer(service.Options(slog.Default(), func() {})...)
	service.Register(server, p)
	conn, stop, err := pipe.Connect(server)
	if err != nil {
		return nil, nil, err
	}
	return client.New(conn), stop, nil
}
