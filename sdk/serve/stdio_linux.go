package serve

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// guardStdout sets descriptor 1 apart: what it was is returned, under a number that children do not inherit, and the
// number 1 becomes a copy of standard error. A library that prints on stdout, as CUDA ones do, then neither spoils the
// handshake nor fills a pipe that nobody reads.
func guardStdout() (*os.File, error) {
	private, err := unix.FcntlInt(1, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("cannot copy descriptor 1: %w", err)
	}
	if err := unix.Dup3(2, 1, 0); err != nil {
		return nil, fmt.Errorf("cannot make descriptor 1 a copy of 2: %w", err)
	}
	return os.NewFile(uintptr(private), "handshake"), nil
}
