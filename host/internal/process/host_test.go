package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// behaveAsHost starts two plugins, tells their ids and that of a child of the second, and runs until it is killed.
func behaveAsHost() {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	var last *Process
	for range 2 {
		last, err = Start(context.Background(), Spec{
			Name: "obedient", Path: self, MTLS: true, Env: []string{modeVariable + "=good", "GORACE=atexit_sleep_ms=0"},
			Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		})
		if err != nil {
			panic(err)
		}
		fmt.Println(last.PID())
	}
	child, err := askFor(last, "child")
	if err != nil {
		panic(err)
	}
	fmt.Println(child)
	forever()
}

// host is another host process of the same user on the same machine.
type host struct {
	cmd       *exec.Cmd
	processes []int // two plugins and a child of the second
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
	for lines := bufio.NewScanner(out); len(h.processes) < 3; {
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
	dir := ownTemp(t)
	h := startHost(t)
	var ends []func()
	for _, pid := range h.processes {
		ends = append(ends, watch(t, pid))
	}
	h.kill()
	for _, ended := range ends {
		ended()
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A plugin that is frozen cannot watch its lifeline. The kernel lets it go on when its group is orphaned.
// It dies of that without tidying up.
func TestKilledHostLeavesNoFrozenOrphan(t *testing.T) {
	dir := ownTemp(t)
	h := startHost(t)
	ended, other := watch(t, h.processes[0]), watch(t, h.processes[1])
	if err := unix.Kill(h.processes[0], unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for letter(h.processes[0]) != 'T' { // all its threads; nobody but its parent could wait for that
		runtime.Gosched()
	}
	h.kill()
	ended()
	other()
	left, _ := filepath.Glob(filepath.Join(dir, "plugin-dir*"))
	for _, folder := range left {
		os.RemoveAll(folder)
	}
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
