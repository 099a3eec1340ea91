package serve

// server.go: what go-plugin is given to serve, and how the process ends.

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-plugin"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/propagation"
	"google.golang.org/grpc"

	"github.com/inference-pio/inference-pio/internal/traces"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/internal/service"
)

// terminateGrace bounds what SIGTERM starts. Whoever sends it without a host in between, as a person or systemd may,
// expects an end; the host uses Drain and Unload with deadlines of its own.
const terminateGrace = 30 * time.Second

// flushGrace is for what is written but not sent, such as the end of the last answer. gRPC waits for a host's streams that
// last as long as the process, too, and those will not end by themselves.
const flushGrace = time.Second

// server is one plugin process. It implements plugin.GRPCPlugin.
type server struct {
	plugin.NetRPCUnsupportedPlugin
	plugin         sdk.Plugin
	log            *slog.Logger
	traces         *traces.Traces
	stdout, stderr *os.File  // the variables of package os before go-plugin replaced them
	restore        sync.Once // puts them back

	mu    sync.Mutex
	grpc  *grpc.Server // nil until go-plugin asks for it
	model *service.Model
}

// newServer is called by go-plugin with the options its TLS needs.
func (s *server) newServer(opts []grpc.ServerOption) *grpc.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.traces.On {
		opts = append(opts, grpc.StatsHandler(otelgrpc.NewServerHandler(otelgrpc.WithTracerProvider(s.traces), otelgrpc.WithPropagators(propagation.TraceContext{}))))
	}
	s.grpc = grpc.NewServer(append(opts, service.Options(s.log, s.restoreOutput)...)...)
	return s.grpc
}

// GRPCServer registers the services. go-plugin adds its own: health, controller, stdio.
func (s *server) GRPCServer(_ *plugin.GRPCBroker, g *grpc.Server) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.model = service.Register(g, s.plugin)
	return nil
}

// GRPCClient is the host's half, which a plugin does not have.
func (s *server) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("a plugin is no host")
}

// restoreOutput undoes go-plugin's replacement of os.Stdout and os.Stderr by pipes into a stream that a host may not read,
// where what an author prints would be lost. It runs in the first call, which comes after the replacement.
func (s *server) restoreOutput() {
	s.restore.Do(func() { os.Stdout, os.Stderr = s.stdout, s.stderr })
}

// handleSignals makes SIGTERM drain and then end the process. SIGINT is ignored: Ctrl-C in a terminal reaches the whole
// group, and the host, which gets it too, ends its plugins in order.
func (s *server) handleSignals() {
	signal.Ignore(os.Interrupt)
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	go func() {
		<-term
		s.terminate()
	}()
}

func (s *server) terminate() {
	s.mu.Lock()
	model := s.model
	s.mu.Unlock()
	if model != nil {
		ctx, cancel := context.WithTimeout(context.Background(), terminateGrace)
		defer cancel()
		if err := model.End(ctx); err != nil {
			s.log.Warn("not everything was finished before the end", "error", err.Error())
		}
	}
	s.stop()
}

// stop ends the gRPC server and with it plugin.Serve, which removes the socket; before there is a server, the process.
func (s *server) stop() {
	s.mu.Lock()
	server := s.grpc
	s.mu.Unlock()
	if server == nil {
		os.Exit(0)
	}
	hurry := time.AfterFunc(flushGrace, server.Stop)
	defer hurry.Stop()
	server.GracefulStop()
}

// abandon ends the process of a host that is gone. Nothing is finished, since nobody is left to read it, and nothing is
// left behind: neither the socket nor children, which the host's group kill would have ended.
func (s *server) abandon() {
	removeSockets(os.Getenv(plugin.EnvUnixSocketDir))
	if syscall.Getpgrp() == os.Getpid() { // the host gave this process a group of its own
		_ = syscall.Kill(0, syscall.SIGKILL)
	}
	os.Exit(1)
}

// removeSockets removes the sockets in dir, and dir if that was all it held. It touches only a folder that nobody else can
// enter, such as a host makes for each process.
func removeSockets(dir string) {
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm()&0o077 != 0 {
		return
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.Type() == os.ModeSocket {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
	_ = os.Remove(dir)
}
