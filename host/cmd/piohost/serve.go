package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/inference-pio/inference-pio/host/internal/api"
	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/host/internal/fetch"
	"github.com/inference-pio/inference-pio/host/internal/process"
	"github.com/inference-pio/inference-pio/host/internal/schedule"
	"github.com/inference-pio/inference-pio/host/internal/telemetry"
	"github.com/inference-pio/inference-pio/internal/traces"
	"github.com/inference-pio/inference-pio/sdk"
)

const (
	headerTime = 10 * time.Second // a client that connects and says nothing costs a goroutine
	idleTime   = 2 * time.Minute
	headerSize = 64 << 10

	// closeTime is what connections get to end after their requests have: the last bytes are on their way.
	closeTime = 2 * time.Second
)

func newServe(g *global) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve every model of models.toml (the default)",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return g.serve(cmd.Context()) },
	}
	g.listenFlag(cmd.Flags())
	return cmd
}

func (g *global) listenFlag(flags *pflag.FlagSet) {
	flags.StringVar(&g.listen, "listen", "", "listen at `HOST:PORT` in place of server.listen")
}

// loadServing is patient with what the command line says of serving.
func (g *global) loadServing() (*config.Config, error) {
	c, err := g.patient()
	if err != nil || g.listen == "" {
		return c, err
	}
	if c.Server.Listen, err = config.ParseListen(g.listen); err != nil {
		return nil, &codeError{exitUsage, fmt.Errorf("--listen: %w", err)}
	}
	return c, nil
}

// serve runs until a signal. The first drains: no new requests, running ones finish within server.drain; the second ends
// at once what is left. SIGHUP reads models.toml again.
func (g *global) serve(ctx context.Context) error {
	hangups := make(chan os.Signal, 1) // one that waits stands for all that come meanwhile
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	c, err := g.loadServing()
	if err != nil {
		return err
	}
	log, err := g.logger()
	if err != nil {
		return err
	}
	recent := telemetry.NewRecent()
	log = recent.Listen(log)
	if err := absent(c, log); err != nil {
		return err
	}
	tell(c, log)
	if few := process.FewDescriptors(len(c.Models)); few != "" {
		log.Warn(few)
	}
	doors, err := openDoors(c, log)
	if err != nil {
		return err
	}
	defer doors.close()
	metrics := telemetry.New(sdk.Version)
	sent, err := traces.New(ctx, "piohost", sdk.Version)
	if err != nil {
		return &codeError{exitUsage, err}
	}
	host, err := newHost(ctx, c, log, metrics, sent, func(s schedule.Status) { g.console.show(progressLine(s)) })
	if err != nil {
		return err
	}
	running := start(host)
	s := &service{load: g.loadServing, host: host, doors: doors, metrics: metrics, recent: recent, traces: sent, log: log}
	have := &stock{g: g, reload: s.reload, log: log, turn: make(chan struct{}, 1)}
	s.pull, s.remove = have.pull, have.remove
	if err := s.answer(c); err != nil {
		return err
	}
	failed := doors.serve(s, len(c.Models))
	serving, end := context.WithCancel(ctx)
	go s.hangups(serving, hangups)

	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	end()
	g.console.show("")
	drain(host, log)
	closing, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	doors.shut(closing)
	<-running
	if err := sent.Close(closing); err != nil {
		log.Warn("not all traces were sent", "error", err)
	}
	log.Info("stopped")
	return err
}

// apiOptions are what models.toml says of requests.
func apiOptions(c *config.Config, log *slog.Logger) api.Options {
	return api.Options{
		Log: log, Pictures: fetch.New(c.Pictures), MaxBody: c.Server.MaxBody, MaxBodies: c.Server.MaxBodies,
		MaxRequests: c.Server.MaxRequests, MaxQueue: c.Server.MaxQueue, Wait: c.Server.Wait, RequestLog: c.Server.RequestLog,
	}
}

// drain lets requests finish within server.drain, or until a further signal.
func drain(host *schedule.Host, log *slog.Logger) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	limit := host.Config().Server.Drain
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	log.Info("draining; a second signal ends what still runs", "limit", limit)
	host.Close(ctx)
}

// start runs the host; the channel is closed when no process is left.
func start(host *schedule.Host) <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		host.Run(context.Background())
	}()
	return ended
}

func newServer(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: headerTime, IdleTimeout: idleTime, MaxHeaderBytes: headerSize}
}
