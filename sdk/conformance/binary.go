package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
)

// startBinary starts the plugin at path as a process, for Config.Start in go test. Unlike the host it lets the process
// inherit the environment and shows its warnings on standard error.
func startBinary(path string) func(context.Context) (*client.Client, func(), error) {
	return func(ctx context.Context) (*client.Client, func(), error) {
		identity, err := client.NewIdentity()
		if err != nil {
			return nil, nil, err
		}
		sockets, err := os.MkdirTemp("", "pio")
		if err != nil {
			return nil, nil, fmt.Errorf("no folder for the socket: %w", err)
		}
		cmd := exec.Command(path)
		cmd.Env = []string{plugin.EnvUnixSocketDir + "=" + sockets, identity.Env()}
		if file, err := filepath.Abs(path); err == nil {
			cmd.Env = append(cmd.Env, sdk.EnvFile+"="+file)
		}
		p := plugin.NewClient(&plugin.ClientConfig{
			Cmd:              cmd,
			HandshakeConfig:  plugin.HandshakeConfig{MagicCookieKey: sdk.CookieKey, MagicCookieValue: sdk.CookieValue},
			VersionedPlugins: map[int]plugin.PluginSet{sdk.ProtocolMajor: {sdk.PluginSet: &hostSide{}}},
			AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
			TLSConfig:        identity.TLS(), // not AutoMTLS: see client.Identity
			SyncStdout:       io.Discard,
			SyncStderr:       io.Discard,
			Logger:           hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: os.Stderr}),
		})
		stop := func() {
			p.Kill()
			_ = os.RemoveAll(sockets)
		}
		c, err := dispense(p)
		if err != nil {
			stop()
			return nil, nil, fmt.Errorf("%s: %w", path, err)
		}
		return c, stop, ctx.Err()
	}
}

func dispense(p *plugin.Client) (*client.Client, error) {
	protocol, err := p.Client()
	if err != nil {
		return nil, err
	}
	raw, err := protocol.Dispense(sdk.PluginSet)
	if err != nil {
		return nil, err
	}
	return raw.(*client.Client), nil // hostSide makes nothing else
}

// hostSide is the host's half of the go-plugin contract.
type hostSide struct{ plugin.NetRPCUnsupportedPlugin }

func (*hostSide) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error {
	return errors.New("a host serves no model")
}

func (*hostSide) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return client.New(conn), nil
}
