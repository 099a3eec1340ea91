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
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// behaveAsHost starts two plugins, tells their ids and that of the second one's child, and runs until it is killed.
func behaveAsHost() {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	for range 2 {
		p, err := Start(context.Background(), Spec{
			Name: "obedient", Path: self, MTLS: true, Env: []string{modeVariable + "=good"},
			Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		})
		if err != nil {
			panic(err)
		}
		fmt.Println(p.PID())
	}
	forever()
}

// host is another host process of the same user on the same machine.
type host struct {
	cmd     *exec.Cmd
	plugins []int
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
	t.Cleanup(func() {
		h.kill()
		sweep(t) // nobody is left to do it but the plugins themselves, and that is the sdk's to test
	})
	for lines := bufio.NewScanner(out); len(h.plugins) < 2; {
		if !lines.Scan() {
			t.Fatal("the host did not start")
		}
		h.plugins = append(h.plugins, number(t, lines.Text()))
	}
	return h
}

func (h *host) kill() {
	h.cmd.Process.Kill()
	h.cmd.Wait()
}

// sweep empties the test's temporary folder.
func sweep(t *testing.T) {
	left, err := filepath.Glob(filepath.Join(socketBase(), "plugin-dir*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range left {
		os.RemoveAll(dir)
	}
}

func TestKilledHostLeavesNoOrphans(t *testing.T) {
	ownTemp(t)
	h := startHost(t)
	var ends []func()
	for _, pid := range h.plugins {
		ends = append(ends, watch(t, pid))
	}
	h.kill()
	for _, ended := range ends {
		ended()
	}
}

// A plugin that is frozen cannot watch its lifeline. The kernel lets it go on when its group is orphaned.
func TestKilledHostLeavesNoFrozenOrphan(t *testing.T) {
	ownTemp(t)
	h := startHost(t)
	ended := watch(t, h.plugins[0])
	if err := unix.Kill(h.plugins[0], unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for letter(h.plugins[0]) != 'T' { // all its threads; nobody but its parent could wait for that
		runtime.Gosched()
	}
	h.kill()
	ended()
}

func TestTwoHostsDoNotCollide(t *testing.T) {
	ownTemp(t)
	ours := start(t, spec(t, "good"))
	theirs := startHost(t)
	if got := ask(t, ours, "anything"); got != "done" {
		t.Errorf("got %q", got)
	}
	ended := watch(t, theirs.plugins[0])
	theirs.kill()
	ended()
	if got := ask(t, ours, "anything"); got != "done" {
		t.Errorf("after the other host's end: got %q", got)
	}
	if err := unix.Kill(ours.PID(), 0); errors.Is(err, unix.ESRCH) {
		t.Error("the other host took our plugin with it")
	}
	if err := ours.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if strings.Contains(fmt.Sprint(theirs.plugins), fmt.Sprint(ours.PID())) {
		t.Error("one plugin, two hosts")
	}
}
