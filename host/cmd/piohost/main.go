// Piohost runs language models as plugins and serves them over an OpenAI-compatible API.
//
// Without a sub-command it serves every model of models.toml:
//
//	piohost --config models.toml
//
// # Exit codes
//
//	0    done; for serve: ended by a signal, after every request had finished
//	1    failed; the last line on stderr says why
//	2    the command line or models.toml is wrong
//	3    the model could not be loaded
//	130  interrupted
//	141  nobody read the output to its end
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/inference-pio/inference-pio/host/internal/process"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
)

// The exit codes.
const (
	exitFailure     = 1
	exitUsage       = 2
	exitLoad        = 3
	exitInterrupted = 130
	exitPipe        = 141 // as a shell says of other programs
)

// codeError is an error with the exit code it deserves; one without is exitFailure.
type codeError struct {
	code int
	err  error
}

func (e *codeError) Error() string { return e.err.Error() }
func (e *codeError) Unwrap() error { return e.err }

// gcPercent is how much of what is in use may lie about unused before it is collected. What is large here is text and
// pictures on their way, in which the collector has nothing to look at, so that to collect early costs little.
const gcPercent = 30

func main() {
	process.Keep()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A write to a pipe that nobody reads fails, and does not end the process with what it has started still there. It is not
	// ignored, for plugins would inherit that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	code := command(ctx, os.Args[1:], stdio{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}

// stdio is where a command reads and writes.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

// command runs one command line and returns its exit code. The first signal ends ctx.
func command(ctx context.Context, args []string, std stdio) int {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	out := &output{w: std.out, terminal: isTerminal(std.out), end: end}
	std.out, std.err = out, &output{w: std.err, terminal: isTerminal(std.err)}
	parsed := false
	root := newRoot(std)
	root.PersistentPreRun = func(*cobra.Command, []string) { parsed = true }
	root.SetArgs(args)
	root.SetIn(std.in)
	root.SetOut(std.out)
	root.SetErr(std.err)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil && out.err() == nil {
		return 0
	}
	var coded *codeError
	code := exitFailure
	switch {
	case errors.Is(out.err(), syscall.EPIPE): // who read has had enough
		return exitPipe
	case out.err() != nil: // whatever else failed, failed for this
		err = out.err()
	case !parsed:
		code = exitUsage
		err = fmt.Errorf("%w\nsee %s --help", err, cmd.CommandPath())
	case ctx.Err() != nil: // what else went wrong on the way out is told, but is not the reason
		code = exitInterrupted
		if errors.Is(err, context.Canceled) {
			err = errors.New("interrupted")
		}
	case errors.As(err, &coded):
		code = coded.code
	}
	fmt.Fprintln(std.err, "piohost:", client.Printable(err.Error())) // it may quote a file, a plugin or another host
	return code
}

const defaultConfig = "models.toml"

// global holds the flags every command has, and those that several have.
type global struct {
	config    string
	logLevel  string
	logFormat string
	host      string // --host of the commands that have it
	listen    string // --listen of serve
	plugin    string // --plugin of those that take a checkpoint's path
	std       stdio
	console   *console
}

func newRoot(std stdio) *cobra.Command {
	g := &global{std: std, console: newConsole(std.err)}
	serve := newServe(g)
	root := &cobra.Command{
		Use:   "piohost",
		Short: "Runs language models as plugins and serves them over an OpenAI-compatible API",
		Long: `Runs language models as plugins and serves them over an OpenAI-compatible API.
Without a command it serves every model of models.toml.

Exit codes: 1 failed, 2 the command line or models.toml is wrong, 3 the model could not be loaded, 130 interrupted, 141 nobody read
the output to its end.`,
		Example: `  piohost                            serve what models.toml lists
  piohost pull Qwen/Qwen3-0.6B --add download one, and add it to models.toml
  piohost chat MODEL                 talk with one of them
  piohost run MODEL "Why is that?"   ask one question
  piohost bench MODEL                measure how fast it is
  piohost ps                         show what is loaded, and until when
  piohost top                        watch devices, models and where their layers are
  piohost restart MODEL              give one a new process; answers go on in it
  piohost config check               say what is wrong with models.toml
  piohost plan --gpu 8GiB            show what would lie where on a machine with such a card
  source <(piohost completion bash)  let the shell complete commands and the names of models`,
		Version:       sdk.Version,
		Args:          noArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          serve.RunE,
	}
	root.SetFlagErrorFunc(misspelled)
	g.listenFlag(root.Flags())
	f := root.PersistentFlags()
	f.StringVar(&g.config, "config", defaultConfig, "the file that says what to serve")
	f.StringVar(&g.logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&g.logFormat, "log-format", "text", "text or json")
	root.AddCommand(newControls(g)...)
	root.AddCommand(serve, newRun(g), newChat(g), newBench(g), newPull(g), newPs(g), newTop(g), newModels(g), newDevices(g), newPlan(g), newPlugin(g), newConfig(g), newJSONHelp())
	return root
}

// newGroup is a command that only has others below it.
func newGroup(name, short string) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: short, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
}
