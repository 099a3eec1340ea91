package process

// exit.go says how a process ended, in words.

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
)

// Exit is the end of a process.
type Exit struct {
	Code      int            // exit status; -1 if a signal ended it
	Signal    syscall.Signal // 0 if none did
	Killed    bool           // by this host
	LastLines []string       // of its log, at most 20; after a panic the first lines of the trace
}

func newExit(status syscall.WaitStatus, killed bool, last []string) Exit {
	e := Exit{Code: status.ExitStatus(), Killed: killed, LastLines: last}
	if status.Signaled() {
		e.Signal = status.Signal()
	}
	return e
}

// String is a clause such as "exited with status 3" or "was ended by SIGSEGV".
func (e Exit) String() string {
	switch {
	case e.Signal != 0 && e.Killed:
		return "was killed by the host"
	case e.Signal == syscall.SIGKILL:
		return "was ended by SIGKILL, which is also what the kernel does when memory runs out"
	case e.Signal != 0:
		return "was ended by " + unix.SignalName(e.Signal)
	}
	return fmt.Sprintf("exited with status %d", e.Code)
}

// startError is a plugin that did not start.
type startError struct {
	Name, Path string
	Text       string
	LastLines  []string // of its log
	cause      error
}

func (e *startError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "plugin %s (%s): %s", e.Name, e.Path, e.Text)
	for _, line := range e.LastLines {
		b.WriteString("\n    " + line)
	}
	return b.String()
}

func (e *startError) Unwrap() error { return e.cause }

// errSilent is the cause of a start's end by StartTimeout.
var errSilent = errors.New("no answer in time")

// startError explains why the start failed with err. exited says that the process had ended by itself.
func (c *child) startError(err error, exit Exit, exited bool) error {
	shook, core, major := c.guard.seen()
	exited = exited && !(exit.Killed && exit.Signal == syscall.SIGKILL) // else go-plugin ended it, disappointed
	e := &startError{Name: c.spec.Name, Path: c.spec.Path, LastLines: c.log.tail.lines(), cause: err}
	ours := strconv.Itoa(sdk.ProtocolMajor)
	var short *shortageError
	switch {
	case errors.As(err, &short):
		e.Text = err.Error()
	case shook && core != coreVersion:
		e.Text = fmt.Sprintf("its handshake has version %s, this host knows %s; build it with a current sdk", core, coreVersion)
	case shook && major != ours:
		e.Text = fmt.Sprintf("it speaks protocol %s, this host speaks protocol %s; build it with an sdk of protocol %s, or use a host that speaks %s", major, ours, ours, major)
	case exited && exit.Signal == syscall.SIGKILL:
		e.Text = exit.String() + "; it was still starting"
	case exited && !shook:
		e.Text = exit.String() + " before the handshake; is it a plugin of Inference-PIO?"
	case exited:
		e.Text = exit.String() + " right after the handshake"
	case errors.Is(err, errSilent) && !shook:
		e.Text = fmt.Sprintf("no handshake on its stdout within %s", c.spec.StartTimeout)
	case errors.Is(err, errSilent):
		e.Text = fmt.Sprintf("no answer to a health check within %s", c.spec.StartTimeout)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		e.Text = "its start was given up: " + err.Error()
	case c.wasBorn() && !shook:
		e.Text = "it closed its stdout without a handshake; is it a plugin of Inference-PIO?"
	default:
		e.Text = client.Printable(strings.TrimSpace(err.Error())) // go-plugin quotes the handshake
	}
	return e
}
