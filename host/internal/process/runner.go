package process

// runner.go: a child as go-plugin drives it, which is by a runner.Runner.

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin/runner"

	"github.com/inference-pio/inference-pio/sdk/client"
)

var _ runner.Runner = (*child)(nil)

// adopt is go-plugin's RunnerFunc: of its command, only the environment is of use.
func (c *child) adopt(_ hclog.Logger, cmd *exec.Cmd, socketDir string) (_ runner.Runner, err error) {
	c.env, c.socketDir = cmd.Env, socketDir
	c.held, err = c.sockets.hold(socketDir)
	c.sockets.close()
	return c, err
}

// Start implements runner.Runner.
func (c *child) Start(context.Context) error {
	if err := c.spawn(); err != nil {
		return err
	}
	return <-c.born // a keeper that says nothing ends with Start's bound, by kill
}

// Wait implements runner.Runner.
func (c *child) Wait(context.Context) error {
	<-c.gone
	return nil
}

// Kill implements runner.Runner. go-plugin calls it two seconds after it asked the plugin to exit, which is too soon for
// one that has much to free: StopGrace counts. It also calls it when a start fails, often because the process is about to end:
// then its own end says more than ours.
func (c *child) Kill(context.Context) error {
	if !c.isOrderly() {
		Closed(c.gone, drainTime)
		c.kill()
	}
	return nil
}

func (c *child) isOrderly() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.orderly
}

// Stdout implements runner.Runner: the handshake and nothing else.
func (c *child) Stdout() io.ReadCloser { return c.guard }

// Stderr implements runner.Runner. go-plugin sees nothing of it: HAZARDS.md, H12.
func (c *child) Stderr() io.ReadCloser { return io.NopCloser(strings.NewReader("")) }

// Name implements runner.Runner.
func (c *child) Name() string { return c.spec.Path }

// ID implements runner.Runner.
func (c *child) ID() string { return strconv.Itoa(c.pid) }

// Diagnose implements runner.Runner. startError says it better.
func (c *child) Diagnose(context.Context) string { return "" }

// PluginToHost implements runner.Runner: a plugin may listen in its own folder only, so that what the host connects to
// is what it started, and vanishes with it.
func (c *child) PluginToHost(network, address string) (string, string, error) {
	if network != "unix" || filepath.Dir(address) != c.socketDir {
		return "", "", fmt.Errorf("it listens on %s %.200q; expected a unix socket in the folder of $PLUGIN_UNIX_SOCKET_DIR", network, address)
	}
	if c.identity != nil && !c.guard.certified() {
		return "", "", fmt.Errorf("its handshake line has no certificate, though $%s asks for mutual TLS; the plugin must serve it, or models.toml say mtls = false under [plugins]", client.EnvCertificate)
	}
	return network, address, nil
}

// HostToPlugin implements runner.Runner; go-plugin's broker, its only caller, is not used.
func (c *child) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}
