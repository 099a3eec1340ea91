package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
)

// freeze stops a plugin as a hanging GPU would: it answers nothing, not even a polite signal.
func freeze(t *testing.T, p *Process) {
	t.Helper()
	if err := unix.Kill(p.PID(), unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for letter(p.PID()) != 'T' { // all its threads; nobody but its keeper could wait for that
		runtime.Gosched()
	}
}

// call asks the plugin for something it will not answer; the channel gets the call's error.
func call(p *Process, command string) <-chan error {
	failed := make(chan error, 1)
	go func() {
		_, err := p.Client().Inspect(context.Background(), sdk.InspectRequest{Path: command})
		failed <- err
	}()
	return failed
}

func TestFrozenPluginIsStoppedAllTheSame(t *testing.T) {
	for name, mtls := range map[string]bool{"plain": false, "mtls": true} {
		t.Run(name, func(t *testing.T) {
			ownTemp(t)
			s := spec(t, "good")
			s.MTLS, s.StopGrace = mtls, 100*time.Millisecond
			p := start(t, s)
			freeze(t, p)
			failed := call(p, "anything")
			brief, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
			defer cancel()
			if err := p.Health(brief); err == nil {
				t.Error("a frozen plugin is well")
			}
			if err := p.Stop(context.Background()); err != nil {
				t.Fatal(err)
			}
			if exit := waitDone(t, p); !exit.Killed || exit.Signal != syscall.SIGKILL || exit.String() != "was killed by the host" {
				t.Errorf("it %s (%+v)", exit, exit)
			}
			if err := <-failed; !errors.Is(err, client.ErrGone) {
				t.Errorf("the call under way: %v", err)
			}
		})
	}
}

func TestStopWithAContextThatIsOverKillsAtOnce(t *testing.T) {
	ownTemp(t)
	s := spec(t, "good")
	s.StopGrace = time.Hour
	p := start(t, s)
	freeze(t, p)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	waitDone(t, p)
}

func TestStopFromManySidesAndAfterTheEnd(t *testing.T) {
	ownTemp(t)
	p := start(t, spec(t, "good"))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := p.Stop(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	waitDone(t, p)
	p.Kill() // of a process that is gone: must not hit a stranger
	if exit := p.Exit(); exit.Killed {
		t.Errorf("it %s", exit)
	}
}

func TestCrashIsNoticedWithItsLastWords(t *testing.T) {
	ownTemp(t)
	p := start(t, spec(t, "good"))
	failed := call(p, "panic")
	exit := waitDone(t, p)
	if exit.Code != 2 || exit.Signal != 0 || exit.Killed || exit.String() != "exited with status 2" {
		t.Errorf("it %s (%+v)", exit, exit)
	}
	if len(exit.LastLines) == 0 || exit.LastLines[0] != "panic: the tensor library gave up" {
		t.Errorf("last lines %q", exit.LastLines)
	}
	if !strings.Contains(strings.Join(exit.LastLines, "\n"), "plugin_test.go") {
		t.Errorf("the trace is not in the last lines %q", exit.LastLines)
	}
	if err := <-failed; !errors.Is(err, client.ErrGone) {
		t.Errorf("the call under way: %v", err)
	}
	if _, err := p.Client().Describe(context.Background()); !errors.Is(err, client.ErrGone) {
		t.Errorf("a call afterwards: %v", err)
	}
}

func TestPanicInACallIsThatCallsAlone(t *testing.T) {
	ownTemp(t)
	p := start(t, spec(t, "good"))
	if _, err := askFor(p, "panic in the call"); sdk.ReasonOf(err) != sdk.ReasonInternal || errors.Is(err, client.ErrGone) {
		t.Errorf("got %v", err)
	}
	if got := ask(t, p, "anything"); got != "done" {
		t.Errorf("afterwards: %q", got)
	}
}

// go-plugin calls its runner's Kill two seconds after it asked the plugin to exit. Once Stop has begun that means nothing.
func TestStopIsNotCutShortByGoPlugin(t *testing.T) {
	ownTemp(t)
	p := start(t, spec(t, "good"))
	p.child.leave()
	if err := p.child.Kill(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, p, "anything"); got != "done" {
		t.Errorf("got %q", got)
	}
	if err := p.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	if exit := waitDone(t, p); exit.Killed {
		t.Errorf("it %s", exit)
	}
}

// What a plugin is told of its time is StopGrace, neither go-plugin's two seconds nor the default.
func TestUnloadGetsTheWholeGrace(t *testing.T) {
	ownTemp(t)
	journal := newJournal()
	s := spec(t, "good")
	s.StopGrace, s.Log = time.Hour, journal.logger()
	p := start(t, s)
	if _, err := p.Client().Load(t.Context(), sdk.LoadRequest{InspectRequest: sdk.InspectRequest{Path: "/none"}, Devices: []sdk.DeviceBudget{{Name: "cpu"}}}, nil); err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(journal.waitFor(t, "msg=unloading"), "bounded=true seconds=")
	text, _, _ := strings.Cut(rest, "\n")
	if got := number(t, text); got < 3000 || got > 3600 {
		t.Errorf("of an hour the plugin has %d seconds", got)
	}
	if d := (Spec{}).withDefaults(); d.StopGrace != defaultGrace || d.StartTimeout != defaultStart {
		t.Errorf("without a word: %v, %v", d.StopGrace, d.StartTimeout)
	}
}

// Stop asks the plugin to exit, and only its grace or its caller makes it impatient: a plugin that takes its time exits by itself.
func TestPluginIsNotKilledWithinItsGrace(t *testing.T) {
	ownTemp(t)
	s := spec(t, "good")
	s.StopGrace = time.Hour
	p := start(t, s)
	freeze(t, p)
	stopped := make(chan error, 1)
	go func() { stopped <- p.Stop(context.Background()) }()
	for !p.child.isOrderly() {
		runtime.Gosched()
	}
	p.child.Kill(context.Background()) // what go-plugin does after two seconds
	if err := unix.Kill(p.PID(), unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	if exit := waitDone(t, p); exit.Killed || exit.Signal != 0 || exit.Code != 0 {
		t.Errorf("it %s (%+v)", exit, exit)
	}
}

func TestCallUnderWayEndsWithStop(t *testing.T) {
	ownTemp(t)
	p := start(t, spec(t, "good"))
	failed := call(p, "wait")
	if err := p.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; err == nil {
		t.Error("it was answered")
	}
}

func TestEndsAreToldApart(t *testing.T) {
	ownTemp(t)
	p := start(t, spec(t, "good"))
	call(p, "exit: 7")
	if exit := waitDone(t, p); exit.Code != 7 || exit.String() != "exited with status 7" {
		t.Errorf("it %s", exit)
	}
	for signal, want := range map[syscall.Signal]string{
		syscall.SIGKILL: "was ended by SIGKILL, which is also what the kernel does when memory runs out",
		syscall.SIGSYS:  "", // the Go runtime turns most signals into a trace and status 2
	} {
		p := start(t, spec(t, "good"))
		if err := unix.Kill(p.PID(), signal); err != nil {
			t.Fatal(err)
		}
		exit := waitDone(t, p)
		if exit.Killed || want != "" && exit.String() != want {
			t.Errorf("after %v it %s (%+v)", signal, exit, exit)
		}
	}
	if got := (Exit{Code: -1, Signal: syscall.SIGSEGV}).String(); got != "was ended by SIGSEGV" {
		t.Errorf("got %q", got)
	}
}

// Somebody else may hold the plugin's stderr: a process that was handed it, or a person's shell.
func TestWhoeverHoldsThePipesDoesNotDelayTheEnd(t *testing.T) {
	ownTemp(t)
	p := start(t, spec(t, "good"))
	held, err := os.OpenFile(fmt.Sprintf("/proc/%d/fd/2", p.PID()), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	call(p, "exit: 5")
	if exit := waitDone(t, p); exit.Code != 5 {
		t.Errorf("it %s", exit)
	}
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
