package serve

// lifeline.go: a plugin dies with its host, even one killed by SIGKILL. The host keeps the only write end of a pipe; when
// the host's process ends, however it does, the read end here reports end-of-file. Unlike a parent-death signal this does
// not depend on the thread that started the plugin, and works the same on every Unix.

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"

	"github.com/inference-pio/inference-pio/sdk"
)

// watchLifeline calls gone, from a goroutine of its own, when the descriptor whose number is fd ends. An empty fd is no
// lifeline: a debugger started the plugin.
func watchLifeline(fd string, gone func()) error {
	if fd == "" {
		return nil
	}
	n, err := strconv.Atoi(fd)
	if err != nil || n < 3 {
		return fmt.Errorf("%s is %q: it must be the number of an inherited descriptor", sdk.EnvLifeline, fd)
	}
	var stat syscall.Stat_t
	if err := syscall.Fstat(n, &stat); err != nil {
		return fmt.Errorf("%s is %s, but that descriptor is not open: %w", sdk.EnvLifeline, fd, err)
	}
	syscall.CloseOnExec(n) // a child of the plugin has no use for it
	pipe := os.NewFile(uintptr(n), "lifeline")
	go func() {
		if _, err := io.Copy(io.Discard, pipe); err != nil && errors.Is(err, os.ErrClosed) {
			return
		}
		gone()
	}()
	return nil
}
