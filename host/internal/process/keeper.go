package process

// keeper.go: the process between the host and one plugin, so that nothing of a plugin outlives the plugin or the host.
//
// A plugin may start processes, and these may leave its group and session and let their parents die. Whose they were is then
// no longer to be seen, unless somebody has asked the kernel for orphans before. The keeper has (PR_SET_CHILD_SUBREAPER):
// whatever descends from it stays below it. It starts the plugin, and when the plugin ends, or the host does, or the host
// says so, it kills its children until there are none, and then ends.
//
// It is the host's own program, started anew under another name (see Keep), takes 2.6 MB and some 5 ms of a start, and does
// little enough to be alive when the host is not. When the keeper itself is killed, the kernel kills the plugin (PR_SET_PDEATHSIG); what had left the plugin
// by then is lost. This needs no privilege and no kernel option, so it is the same everywhere: a PID namespace would also
// hide the host from the plugin, but asks for rights that containers seldom have, and for a /proc of its own.

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// keeperName is what a process list shows in place of the host's name, so that whoever kills the host by its name does not
// kill the keepers with it.
const keeperName = "pio-keeper"

// envKeeper marks a keeper's environment.
const envKeeper = "PIO_KEEPER"

// The keeper's descriptors, behind those that the plugin gets as its first three.
const (
	ordersFD  = 3 + iota // read end; nobody but the host has the other, so its end is the host's end or the host's wish
	reportsFD            // write end
	keptLifelineFD
	keptMemoryFD
	keeperFDs
)

// order is what the host has the keeper start.
type order struct {
	Path    string // in messages and as the plugin's name
	Script  bool   // the plugin keeps the memory it is executed from
	Env     []string
	Sockets string // a folder that is removed at the end
}

// Keep does not return in a process that a host has started as a keeper. Every program that calls [Start] must call it
// first of all.
func Keep() {
	if filepath.Base(os.Args[0]) == keeperName && os.Getenv(envKeeper) != "" {
		keep()
		syscall.Exit(0) // at once: nothing of Go's own is waited for
	}
}

// keep is a keeper's life.
func keep() {
	runtime.LockOSThread() // PR_SET_PDEATHSIG means the death of this thread, the first, which lasts as long as the process
	for fd := ordersFD; fd < keeperFDs; fd++ {
		unix.CloseOnExec(fd)
	}
	os.WriteFile("/proc/self/comm", []byte(keeperName), 0) // only for people
	reports := os.NewFile(reportsFD, "reports")
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		report(reports, reportLoose, int(errnoOf(err)))
	}
	// The dump of a process that has a checkpoint mapped and caches full of other people's prompts helps nobody.
	unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGCHLD)
	// These reach a whole control group or terminal. The plugin decides what they mean to it, the host what becomes of both.
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM)

	orders := bufio.NewReader(os.NewFile(ordersFD, "orders"))
	var o order
	line, err := orders.ReadBytes('\n')
	if err != nil || json.Unmarshal(line, &o) != nil {
		return // the host was gone before it said anything
	}
	defer os.RemoveAll(o.Sockets)
	pid, err := o.start()
	if err != nil {
		report(reports, reportFailed, int(errnoOf(err)))
		return
	}
	report(reports, reportStarted, pid)
	released := make(chan struct{})
	go func() {
		defer close(released)
		io.Copy(io.Discard, orders)
	}()
	tend(pid, ended, released, reports)
}

// start executes the plugin, and keeps nothing of what only the plugin needs.
func (o order) start() (pid int, err error) {
	files := []uintptr{0, 1, 2, keptLifelineFD}
	path := fmt.Sprintf("/proc/self/fd/%d", scriptFD)
	if o.Script {
		files = append(files, keptMemoryFD)
	} else {
		// Between fork and exec the low numbers are moved about.
		high, err := unix.FcntlInt(keptMemoryFD, unix.F_DUPFD_CLOEXEC, 2*keeperFDs)
		if err != nil {
			return 0, err
		}
		defer unix.Close(high)
		path = fmt.Sprintf("/proc/self/fd/%d", high)
	}
	pid, err = syscall.ForkExec(path, []string{o.Path}, &syscall.ProcAttr{
		Env:   o.Env,
		Files: files,
		// A group of its own: a Ctrl-C at the terminal is the host's alone, and the plugin's sdk ends it as a whole.
		Sys: &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL},
	})
	unix.Close(keptLifelineFD)
	unix.Close(keptMemoryFD)
	for _, stream := range []int{1, 2} { // the host must see their end
		unix.Dup3(0, stream, 0)
	}
	return pid, err
}

// tend reaps until there is nothing left below this process. Signals, reaping and killing are of one goroutine: a number
// that is not reaped yet is nobody else's.
func tend(plugin int, ended <-chan os.Signal, released <-chan struct{}, reports io.Writer) {
	ending := false
	for {
		select {
		case <-ended:
		case <-released:
			ending, released = true, nil
		}
		for {
			var status unix.WaitStatus
			pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
			switch {
			case errors.Is(err, unix.EINTR):
				continue
			case err != nil: // ECHILD
				return
			case pid == plugin:
				report(reports, reportEnded, int(status))
				ending, plugin = true, -1 // its number may come again
			}
			if pid == 0 {
				break
			}
		}
		if ending {
			killChildren() // their ends tell of those that they leave behind
		}
	}
}

// killChildren kills what has this process for its parent now.
func killChildren() {
	self := os.Getpid()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return
	}
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil && parentOf(pid) == self {
			unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// parentOf is 0 for a process that is gone.
func parentOf(pid int) int {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	var state string
	var parent int
	fmt.Sscan(string(stat[bytes.LastIndexByte(stat, ')')+1:]), &state, &parent) // the name before it may hold anything
	return parent
}

// What a keeper reports, a line each with a number.
const (
	reportFailed  = "failed"  // errno: there is no process
	reportStarted = "started" // pid
	reportEnded   = "ended"   // wait status
	reportLoose   = "loose"   // errno: orphans will go astray
)

func report(w io.Writer, what string, number int) { fmt.Fprintf(w, "%s %d\n", what, number) }

func errnoOf(err error) unix.Errno {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return unix.EIO
}

// readReports calls back for each report until the keeper is gone.
func readReports(r io.Reader, each func(what string, number int)) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		what, text, _ := strings.Cut(lines.Text(), " ")
		if number, err := strconv.Atoi(text); err == nil {
			each(what, number)
		}
	}
}
