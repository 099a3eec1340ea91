package process

// process.go: Start and Stop of one plugin process, each bounded whatever the plugin does.

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
)

const (
	// defaultStart is generous to a cold disk; a plugin shakes hands before it loads anything (8 ms when warm).
	defaultStart = 10 * time.Second
	// defaultGrace lets a plugin free its GPU memory, which takes some 0.3 s for 60 GB.
	defaultGrace = 5 * time.Second
	// afterKill is how long a killed process may take to vanish. One that hangs in the kernel (a dead GPU, a dead
	// network disk) may never do so, and must not hold the host.
	afterKill = 2 * time.Second
)

// Spec says what to start and how.
type Spec struct {
	Name   string // of the plugin, for logs and errors
	Path   string // of the binary
	SHA256 string // of the binary, in hex; "" runs whatever lies there
	Env    []string
	MTLS   bool // encrypt the socket, and each side proves that it is the one

	StartTimeout time.Duration // until the plugin answers; 0: 10 s
	StopGrace    time.Duration // until Stop uses SIGKILL; 0: 5 s

	Log *slog.Logger // gets the plugin's log; nil: nobody does

	Traces trace.TracerProvider // of the calls, and where the plugin sends its own spans; nil: there are none
}

// Process is a running plugin. It is not restarted: a new start is a new Process.
type Process struct {
	spec   Spec
	child  *child
	shell  *plugin.Client // go-plugin's: speaks the handshake, holds the connection
	conn   *grpc.ClientConn
	client *client.Client

	stop     sync.Once
	stopErr  error
	released chan struct{} // closed when nothing of the process is left in the host
}

// Start runs the binary and returns when it has answered a health check. When ctx ends earlier, or the plugin fails, or
// StartTimeout is over, the process is killed and nothing is left of it. A plugin's failure is a startError.
func Start(ctx context.Context, spec Spec) (*Process, error) {
	spec = spec.withDefaults()
	c, err := newChild(spec)
	if err != nil {
		return nil, &startError{Name: spec.Name, Path: spec.Path, Text: err.Error(), cause: err}
	}
	p := &Process{spec: spec, child: c, released: make(chan struct{})}
	p.shell = plugin.NewClient(p.shellConfig())

	ctx, cancel := context.WithTimeoutCause(ctx, spec.StartTimeout, errSilent)
	defer cancel()
	opened := make(chan struct{})
	go func() {
		defer close(opened)
		err = p.open(ctx)
	}()
	select {
	case <-opened:
	case <-ctx.Done():
		return nil, p.abandon(context.Cause(ctx), opened)
	}
	if err != nil {
		if ctx.Err() != nil { // what broke is our own deadline
			err = context.Cause(ctx)
		}
		return nil, p.abandon(err, opened)
	}
	go p.reap()
	return p, nil
}

func (s Spec) withDefaults() Spec {
	if s.StartTimeout <= 0 {
		s.StartTimeout = defaultStart
	}
	if s.StopGrace <= 0 {
		s.StopGrace = defaultGrace
	}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	return s
}

// shellConfig is made afresh for each start: go-plugin writes into what it is given.
func (p *Process) shellConfig() *plugin.ClientConfig {
	c := &plugin.ClientConfig{
		HandshakeConfig: plugin.HandshakeConfig{MagicCookieKey: sdk.CookieKey, MagicCookieValue: sdk.CookieValue},
		VersionedPlugins: map[int]plugin.PluginSet{
			sdk.ProtocolMajor: {sdk.PluginSet: &connector{}},
		},
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		RunnerFunc:       p.child.adopt,
		UnixSocketConfig: &plugin.UnixSocketConfig{TempDir: p.child.sockets.path},
		SkipHostEnv:      true,
		StartTimeout:     p.spec.StartTimeout + afterKill, // ours comes first
		GRPCDialOptions:  traced(p.spec.Traces),
		Logger:           hclog.NewNullLogger(), // what matters is told by our errors and the plugin's own log
	}
	if p.child.identity != nil {
		c.TLSConfig = p.child.identity.TLS() // not AutoMTLS: see client.Identity
	}
	return c
}

// connector takes the bare connection out of go-plugin.
type connector struct{ plugin.NetRPCUnsupportedPlugin }

func (*connector) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return conn, nil
}

func (*connector) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error {
	return errors.New("a host serves no plugins")
}

// open starts the process, shakes hands, and asks whether the plugin is well. It may outlast ctx until the process is
// killed, since go-plugin's part of it takes no context.
func (p *Process) open(ctx context.Context) error {
	protocol, err := p.shell.Client()
	if err != nil {
		return err
	}
	conn, err := protocol.Dispense(sdk.PluginSet)
	if err != nil {
		return err
	}
	p.conn = conn.(*grpc.ClientConn)
	p.client = client.New(p.conn)
	return p.Health(ctx)
}

// abandon ends a start that failed because of err.
func (p *Process) abandon(err error, opened <-chan struct{}) error {
	select {
	case <-opened:
		if short := outOfDescriptors(); short != nil {
			err = short
		}
		// Something broke. If that is because the process exits, its status says more than what broke.
		Closed(p.child.gone, drainTime)
	default: // out of time
	}
	exit, exited := p.child.exitIfGone()
	p.child.kill()
	go func() {
		<-opened // comes when the process is dead
		p.shell.Kill()
		p.child.discard()
		close(p.released)
	}()
	Closed(p.released, afterKill)
	return p.child.startError(err, exit, exited)
}

// reap tidies up when the process has exited, for whatever reason.
func (p *Process) reap() {
	<-p.child.gone
	p.shell.Kill()
	close(p.released)
}

// Client speaks to the plugin. After Done its calls fail with [client.ErrGone].
func (p *Process) Client() *client.Client { return p.client }

// Done is closed as soon as the process has exited and its last log lines are read.
func (p *Process) Done() <-chan struct{} { return p.child.gone }

// Exit says how the process ended. Before Done it is the zero Exit.
func (p *Process) Exit() Exit {
	exit, _ := p.child.exitIfGone()
	return exit
}

// PID of the process, which is also the id of its process group.
func (p *Process) PID() int { return p.child.pid }

// Path of the binary it was started from.
func (p *Process) Path() string { return p.spec.Path }

// SHA256 of the binary that runs, in hex.
func (p *Process) SHA256() string { return p.child.binary.sha256 }

// Health asks the plugin's gRPC server whether it serves. A plugin that is frozen answers only by ctx's end.
func (p *Process) Health(ctx context.Context) error { return p.client.Health(ctx) }

// Kill ends the process and its children with SIGKILL, at once. Done tells when it is over.
func (p *Process) Kill() { p.child.kill() }

// Stop ends the process: it asks the plugin to unload, then to exit, and when StopGrace or ctx is over kills it together
// with its children. It returns when nothing is left, at the latest two seconds after the kill; only a process that even
// SIGKILL cannot end gives an error. Stop may be called at any time, also of a process that has exited.
func (p *Process) Stop(ctx context.Context) error {
	p.stop.Do(func() { p.stopErr = p.end(ctx) })
	return p.stopErr
}

func (p *Process) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.spec.StopGrace)
	defer cancel()
	p.child.leave()
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		p.client.Unload(ctx) // its failure changes nothing: the process ends either way
		if ctx.Err() == nil {
			p.shell.Kill() // go-plugin's Shutdown call
		}
	}()
	select {
	case <-p.released:
	case <-ctx.Done():
		p.child.kill()
	}
	if !Closed(p.released, afterKill) {
		return fmt.Errorf("plugin %s: process %d does not die after SIGKILL; it hangs in the kernel, perhaps in a device driver", p.spec.Name, p.PID())
	}
	<-asked
	return nil
}

// Closed says whether c is closed in time. Of one that is closed already it says so, however short the time.
func Closed(c <-chan struct{}, limit time.Duration) bool {
	select {
	case <-c:
		return true
	default:
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-c:
		return true
	case <-timer.C:
		return false
	}
}
