package process

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Whatever a plugin started, however it is hidden and however the plugin ends, it ends with it.
func TestNothingOutlivesThePlugin(t *testing.T) {
	for _, mode := range []string{"good", "stubborn"} {
		for _, end := range []string{"stop", "crash", "kill", "killed from outside"} {
			t.Run(mode+", "+end, func(t *testing.T) {
				ownTemp(t)
				p := start(t, spec(t, mode))
				var ends []func()
				for _, command := range []string{"child", "child: apart", "orphan"} {
					ends = append(ends, watch(t, number(t, ask(t, p, command))))
				}
				switch end {
				case "stop":
					if err := p.Stop(context.Background()); err != nil {
						t.Fatal(err)
					}
				case "crash":
					call(p, "exit: 1")
				case "kill":
					p.Kill()
				case "killed from outside":
					unix.Kill(p.PID(), unix.SIGKILL)
				}
				waitDone(t, p)
				for _, ended := range ends {
					ended()
				}
			})
		}
	}
}

// An orphan stays below the keeper, which is how it is found. A zombie of it would stay for as long as the plugin lives.
func TestOrphanBelongsToTheKeeperAndIsReaped(t *testing.T) {
	ownTemp(t)
	p := start(t, spec(t, "good"))
	orphan, keeper := number(t, ask(t, p, "orphan")), parentOf(p.PID())
	if got := parentOf(orphan); got != keeper || parentOf(keeper) != os.Getpid() {
		t.Errorf("the orphan's parent is %d, the keeper is %d, whose parent is %d", got, keeper, parentOf(keeper))
	}
	gone := watch(t, orphan)
	unix.Kill(orphan, unix.SIGKILL)
	gone()
	for letter(orphan) == 'Z' { // ends with the test's own bound
		unix.Nanosleep(&unix.Timespec{Nsec: 1e6}, nil)
	}
	if got := ask(t, p, "anything"); got != "done" {
		t.Errorf("got %q", got)
	}
}

// The keeper is not the plugin's master: what ends the plugin is between the plugin and the host.
func TestKeeperIsNotEndedBySignalsForEverybody(t *testing.T) {
	ownTemp(t)
	p := start(t, spec(t, "good"))
	for _, signal := range []syscall.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM} {
		if err := unix.Kill(parentOf(p.PID()), signal); err != nil {
			t.Fatal(err)
		}
	}
	if got := ask(t, p, "anything"); got != "done" {
		t.Errorf("got %q", got)
	}
}

func TestKilledKeeperTakesThePluginAlong(t *testing.T) {
	ownTemp(t)
	p := start(t, spec(t, "stubborn"))
	ended := watch(t, p.PID())
	if err := unix.Kill(parentOf(p.PID()), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if exit := waitDone(t, p); exit.Killed || exit.Signal != syscall.SIGKILL {
		t.Errorf("it %s (%+v)", exit, exit)
	}
	ended()
}

// A child of the plugin that hangs in the kernel keeps the keeper; the plugin's own end is told all the same.
func TestKeeperThatCannotEndHidesNoDeath(t *testing.T) {
	journal := newJournal()
	s := spec(t, "good").withDefaults()
	s.Log = journal.logger()
	ownTemp(t)
	c, err := newChild(s)
	if err != nil {
		t.Fatal(err)
	}
	c.sockets.close()
	hangs := exec.Command("sleep", "600")
	if err := hangs.Start(); err != nil {
		t.Fatal(err)
	}
	_, theirs, err := c.command()
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(theirs...)
	reports := theirs[2]
	c.state, c.keeper = running, hangs.Process
	report(reports, reportStarted, 1<<22)
	report(reports, reportEnded, 3<<8)
	c.follow(hangs)
	if exit, ok := c.exitIfGone(); !ok || exit.Code != 3 {
		t.Errorf("%+v, %v", exit, ok)
	}
	if log := journal.String(); !strings.Contains(log, "does not die after SIGKILL") {
		t.Errorf("log: %s", log)
	}
	gone := watch(t, hangs.Process.Pid)
	hangs.Process.Kill()
	gone()
}

// Whoever stops all processes of a user, as job control and debuggers may, must not hang the host.
func TestStoppedKeeperObeys(t *testing.T) {
	ownTemp(t)
	p := start(t, spec(t, "stubborn"))
	keeper := parentOf(p.PID())
	for _, pid := range []int{p.PID(), keeper} {
		if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		for letter(pid) != 'T' {
			runtime.Gosched()
		}
	}
	p.Kill()
	waitDone(t, p)
}

// A sandbox around the host may refuse what keeps orphans together. The plugin runs all the same, and that is said.
func TestLooseOrphansAreTold(t *testing.T) {
	journal := newJournal()
	c := &child{spec: Spec{Name: "obedient", Log: journal.logger()}}
	c.hear(reportLoose, unix.EPERM)
	if log := journal.String(); !strings.Contains(log, "level=WARN") || !strings.Contains(log, "may outlive it") || !strings.Contains(log, "plugin=obedient") {
		t.Errorf("log: %s", log)
	}
}

// The names by which people find processes, and kill them.
func TestKeeperGoesByItsOwnName(t *testing.T) {
	ownTemp(t)
	p := start(t, spec(t, "good"))
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", parentOf(p.PID())))
	if err != nil || string(name) != keeperName+"\n" {
		t.Errorf("%q, %v", name, err)
	}
}

// Without Keep a start would run the program once more in place of a keeper, and that one would start again.
func TestProgramThatForgetsToKeepIsTold(t *testing.T) {
	t.Setenv(envKeeper, "1")
	if failure := startFails(t, spec(t, "good")); !strings.Contains(failure.Text, "does not call process.Keep") {
		t.Errorf("got %s", failure.Text)
	}
}

// A keeper whose host is gone before it has said anything ends by itself.
func TestKeeperWithoutOrders(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	write.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Args, cmd.Env, cmd.ExtraFiles = []string{keeperName}, []string{envKeeper + "=1"}, []*os.File{read, os.Stderr, os.Stderr, os.Stderr}
	if out, err := cmd.Output(); err != nil || len(out) > 0 {
		t.Errorf("%v, %q", err, out)
	}
}
