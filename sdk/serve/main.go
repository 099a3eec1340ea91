// Package serve makes a program of a plugin. [Main] is an author's whole main function:
//
//	func main() { serve.Main(&plugin{}) }
//
// It answers `BIN describe` with the plugin's description as JSON, tells a person who starts the binary by hand what it is,
// and under a host serves the contract until the host ends it. What it takes care of:
//
//   - the handshake, the negotiated protocol major, mutual TLS if the host offers it, and message limits;
//   - descriptor 1, which carries nothing but the handshake: everything else that is printed, C libraries included, goes
//     to standard error and so to the host's log;
//   - [log/slog], whose default logger writes lines the host understands with their level and fields;
//   - spans of the calls, in the trace of the request that they are made for, if the host sends traces to a collector;
//   - death with the host, even a host that was killed (see lifeline.go); SIGTERM drains, SIGINT is left to the host;
//   - panics in a call, which become INTERNAL errors that name file and line, with the stack in the log. A panic in a goroutine of the author's own
//     ends the process, as always in Go; the host then starts it again and resumes its answers.
//
// What runs under a host is a copy of the file in memory, so that [os.Executable] leads nowhere; the variable [sdk.EnvFile] says
// where the file lies.
package serve

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"

	"github.com/inference-pio/inference-pio/internal/traces"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/internal/service"
)

// Main serves p and ends the process.
func Main(p sdk.Plugin) {
	out, err := guardStdout()
	if err != nil {
		fmt.Fprintf(os.Stderr, "cannot set standard output apart: %v\n", err)
		os.Exit(1)
	}
	os.Exit(run(p, os.Args[1:], out, os.Stderr))
}

// run returns the exit code. Out is where the handshake or the description goes, and nothing else.
func run(p sdk.Plugin, args []string, out, errs *os.File) int {
	if len(args) > 0 && args[0] == "describe" {
		return printDescription(p, out, errs)
	}
	if os.Getenv(sdk.CookieKey) != sdk.CookieValue {
		fmt.Fprintf(errs, "this is %s, a plugin of inference-pio: a host starts it\n"+
			"to see what it is:    %s describe\n"+
			"to test it:           piohost plugin test %s --model DIR\n", p.Describe().Name, os.Args[0], os.Args[0])
		return 1
	}
	log := slog.New(NewLogHandler(errs, levelFromEnv()))
	slog.SetDefault(log)
	return serve(p, log, out, errs)
}

func printDescription(p sdk.Plugin, out, errs io.Writer) int {
	text, err := json.MarshalIndent(service.Describe(p), "", "  ")
	if err == nil {
		_, err = fmt.Fprintf(out, "%s\n", text)
	}
	if err != nil {
		fmt.Fprintf(errs, "cannot print the description: %v\n", err)
		return 1
	}
	return 0
}

// serve runs the gRPC server until the host, the host's death, or SIGTERM ends it.
func serve(p sdk.Plugin, log *slog.Logger, out, errs *os.File) int {
	sent, err := traces.Below(context.Background(), func() (name, version string) {
		about := p.Describe()
		return about.Name, about.Version
	})
	if err != nil {
		log.Error("cannot send traces", "error", err.Error())
		return 1
	}
	s := &server{plugin: p, log: log, traces: sent, stdout: os.Stdout, stderr: os.Stderr}
	if err := watchLifeline(os.Getenv(sdk.EnvLifeline), s.abandon); err != nil {
		log.Error("cannot watch the host", "error", err.Error())
		return 1
	}
	s.handleSignals()
	os.Stdout = out // go-plugin prints the handshake there, then replaces the variable by a pipe
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig:  plugin.HandshakeConfig{MagicCookieKey: sdk.CookieKey, MagicCookieValue: sdk.CookieValue},
		VersionedPlugins: map[int]plugin.PluginSet{sdk.ProtocolMajor: {sdk.PluginSet: s}},
		GRPCServer:       s.newServer,
		Logger:           hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: errs, JSONFormat: true}),
	})
	ending, cancel := context.WithTimeout(context.Background(), flushGrace)
	defer cancel()
	if err := sent.Close(ending); err != nil {
		log.Warn("not all traces were sent", "error", err.Error())
	}
	return 0
}
