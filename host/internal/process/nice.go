package process

// nice.go: how much of the cores a plugin gets where others want them too.

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Nice makes every thread of the plugin and its children, now and to come, that much nicer than the host, up to the system's
// 19. The scheduler gives a thread about a tenth of the time of one that is 10 less nice and wants the same core. What was
// made nicer can seldom be made less nice again without privilege; the error says so.
func (p *Process) Nice(n int) error {
	if Closed(p.child.gone, 0) {
		return nil
	}
	mine, err := unix.Getpriority(unix.PRIO_PROCESS, 0) // 20 - nice, as the kernel gives it
	if err == nil {
		// The plugin leads a group of its own. As PRIO_PROCESS the number would mean its first thread alone.
		err = unix.Setpriority(unix.PRIO_PGRP, p.child.pid, min(20-mine+n, 19))
	}
	if err != nil && !errors.Is(err, unix.ESRCH) { // it may end at any time
		return fmt.Errorf("the niceness of process %d: %w", p.child.pid, err)
	}
	return nil
}
