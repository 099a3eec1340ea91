package process

// shortage.go tells what this process or the machine has run out of. Such an end says nothing about the plugin, and a later
// start may succeed.

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// shortageError is an error of Start that may pass without anybody changing the plugin: errors.As finds it in a startError.
type shortageError struct {
	text  string
	cause error
}

func (e *shortageError) Error() string { return fmt.Sprintf("%s (%v)", e.text, e.cause) }
func (e *shortageError) Unwrap() error { return e.cause }

// shortage makes one of an error of a system call that is about a shortage, and leaves others as they are.
func shortage(err error) error {
	var short *shortageError
	if err == nil || errors.As(err, &short) {
		return err
	}
	text := ""
	switch {
	case errors.Is(err, unix.EMFILE):
		text = tooFewDescriptors()
	case errors.Is(err, unix.ENFILE):
		text = "this machine has no file descriptors left: see sysctl fs.file-max"
	case errors.Is(err, unix.EAGAIN):
		text = "no further process or thread may be started: see ulimit -u (LimitNPROC in a systemd unit) and pids.max of the control group"
	case errors.Is(err, unix.ENOMEM):
		text = "there is no memory for it"
	case errors.Is(err, unix.ENOSPC):
		text = "there is no space left for it"
	default:
		return err
	}
	return &shortageError{text, err}
}

func tooFewDescriptors() string {
	return fmt.Sprintf("the host has used up its %d file descriptors: raise the limit, with ulimit -n or LimitNOFILE in a systemd unit, and start the host again", descriptorLimit())
}

// forkError is shortage for errors of fork and exec. Near the limit, the numbers that a child's descriptors are moved to lie
// beyond it, which the kernel calls bad.
func forkError(err error) error {
	if errors.Is(err, unix.EBADF) {
		return &shortageError{tooFewDescriptors(), err}
	}
	return shortage(err)
}

// outOfDescriptors is the shortage that there is at this moment, nil if there is none. Libraries that open sockets tell of it
// in words only.
func outOfDescriptors() error {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err == nil {
		unix.Close(fd)
		return nil
	}
	return shortage(err)
}

// descriptorLimit is how many this process may have; Go has raised it as far as it may.
func descriptorLimit() uint64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return limit.Cur
}

// What the host takes of descriptors: by itself with some clients, for each plugin, and while one is started.
const (
	hostDescriptors   = 64
	pluginDescriptors = 8
	startDescriptors  = 16
)

// FewDescriptors is a sentence about the limit of descriptors if so many plugins would use it up, else "".
func FewDescriptors(plugins int) string {
	need := uint64(hostDescriptors + plugins*pluginDescriptors + startDescriptors)
	if limit := descriptorLimit(); limit < need {
		return fmt.Sprintf("this process may have %d file descriptors; %d models and a few clients take %d: raise the limit, with ulimit -n or LimitNOFILE in a systemd unit", limit, plugins, need)
	}
	return ""
}

// openNull opens what plugins get as standard input.
func openNull(path string) (*os.File, error) {
	null, err := os.Open(path)
	if err == nil {
		var info fs.FileInfo
		if info, err = null.Stat(); err == nil && info.Mode()&fs.ModeCharDevice == 0 {
			err = fmt.Errorf("it is not a device but has mode %s", info.Mode())
		}
		if err == nil {
			return null, nil
		}
		null.Close()
	}
	if short := shortage(err); short != err {
		return nil, short
	}
	return nil, fmt.Errorf("%s, which plugins get as standard input, cannot be used (%w): mount /dev as this system has it, in a container or chroot too", path, err)
}
