package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// behaveAsHost starts a good plugin and a stubborn one, tells their ids, those of two children of the second, one of which
// has left it, and runs until it is killed.
func behaveAsHost() {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	var last *Process
	for _, mode := range []string{"good", "stubborn"} {
		last, err = Start(context.Background(), Spec{
			Name: "obedient", Path: self, MTLS: true, Env: []string{modeVariable + "=" + mode, "GORACE=atexit_sleep_ms=0"},
			Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		})
		if err != nil {
			panic(err)
		}
		fmt.Println(last.PID())
	}
	for _, command := range []string{"child", "orphan"} {
		child, err := askFor(last, command)
		if err != nil {
			panic(err)
		}
		fmt.Println(child)
	}
	forever()
}

// host is another host process of the same user on the same machine.
type host struct {
	cmd       *exec.Cmd
	processes []int // two plugins and two children of the second
}

func startHost(t *testing.T) *host {
	t.Helper()
	h := &host{cmd: exec.Command(spec(t, "").Path)}
	h.cmd.Env = append(os.Environ(), modeVariable+"=host")
	h.cmd.Stderr = os.Stderr
	out, err := h.cmd.StdoutPipe()
	if err == nil {
		err = h.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.kill)
	for lines := bufio.NewScanner(out); len(h.processes) < 4; {
		if !lines.Scan() {
			t.Fatal("the host did not start")
		}
		h.processes = append(h.processes, number(t, lines.Text()))
	}
	return h
}

func (h *host) kill() {
	h.cmd.Process.Kill()
	h.cmd.Wait()
}

// The plugins end, what they started ends, and their sockets are gone.
func TestKilledHostLeavesNoOrphans(t *testing.T) {
	ownTemp(t)
	h := startHost(t)
	var ends []func()
	for _, pid := range h.processes {
		ends = append(ends, watch(t, pid))
	}
	h.kill()
	for _, ended := range ends {
		ended()
	}
	waitEmpty(t)
}

// waitEmpty waits until the keepers, which nobody here can wait for, have tidied up.
func waitEmpty(t *testing.T) {
	t.Helper()
	for limit := time.Now().Add(patience); socketDirs(t) > 0; runtime.Gosched() {
		if time.Now().After(limit) {
			t.Fatalf("%d socket folders are left behind", socketDirs(t))
		}
	}
}

// A plugin that is frozen cannot watch its lifeline.
func TestKilledHostLeavesNoFrozenOrphan(t *testing.T) {
	ownTemp(t)
	h := startHost(t)
	var ends []func()
	for _, pid := range h.processes {
		ends = append(ends, watch(t, pid))
		if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	for letter(h.processes[0]) != 'T' { // all its threads; nobody but its keeper could wait for that
		runtime.Gosched()
	}
	h.kill()
	for _, ended := range ends {
		ended()
	}
	waitEmpty(t)
}

func TestTwoHostsDoNotCollide(t *testing.T) {
	ownTemp(t)
	ours := start(t, spec(t, "good"))
	theirs := startHost(t)
	if got := ask(t, ours, "anything"); got != "done" {
		t.Errorf("got %q", got)
	}
	var ends []func()
	for _, pid := range theirs.processes {
		ends = append(ends, watch(t, pid))
	}
	theirs.kill()
	for _, ended := range ends {
		ended()
	}
	if got := ask(t, ours, "anything"); got != "done" {
		t.Errorf("after the other host's end: got %q", got)
	}
	if err := unix.Kill(ours.PID(), 0); errors.Is(err, unix.ESRCH) {
		t.Error("the other host took our plugin with it")
	}
	if err := ours.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if slices.Contains(theirs.processes, ours.PID()) {
		t.Error("one plugin, two hosts")
	}
}
