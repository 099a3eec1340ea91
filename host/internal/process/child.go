package process

// child.go: the operating system's side of a plugin. A child owns the process, its pipes and its end; go-plugin drives it as a
// runner (runner.go).

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/inference-pio/inference-pio/internal/traces"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
)

// drainTime is how long the pipes are read on after the exit. Only a descendant that left the process group can still
// hold their other ends by then.
const drainTime = 200 * time.Millisecond

// lifelineFD is the number the lifeline has in the child: the first after stderr.
const lifelineFD = 3

type child struct {
	spec     Spec
	binary   *binary
	identity *client.Identity // nil without mutual TLS

	env       []string // go-plugin's part: cookie, versions, socket folder
	sockets   *sockets // until the folder is ours
	socketDir string
	held      *os.File // the lock on it
	guard     *guard   // of stdout
	log       *stderr

	orders, lifeline        *os.File // write ends; nobody else has them, so their end is the host's end
	reports, stdout, stderr *os.File // read ends
	readers                 sync.WaitGroup

	keeper *os.Process // valid while running

	pid  int           // of the plugin; the keeper's is of no interest to others
	born chan error    // has what came of the start
	gone chan struct{} // closed when nothing is left of the plugin and its pipes are read
	exit Exit          // valid after gone

	mu      sync.Mutex
	state   state
	killed  bool // by us
	orderly bool // Stop is under way and decides when to kill
}

type state int

const (
	unborn  state = iota
	running       // there is a keeper
	reaped
)

// newChild opens and checks the binary; nothing runs yet.
func newChild(spec Spec) (*child, error) {
	c := &child{spec: spec, guard: newGuard(), log: newStderr(spec.Log.With("plugin", spec.Name)), born: make(chan error, 1), gone: make(chan struct{})}
	var err error
	if spec.MTLS {
		if c.identity, err = client.NewIdentity(); err != nil {
			return nil, err
		}
		c.guard.certificate = true
	}
	if c.binary, err = seal(spec.Path, spec.SHA256); err != nil {
		return nil, err
	}
	if c.sockets, err = openSockets(); err != nil {
		c.binary.close()
		return nil, err
	}
	return c, nil
}

// spawn starts the keeper.
func (c *child) spawn() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.killed {
		return errors.New("killed before it started")
	}
	if os.Getenv(envKeeper) != "" {
		return errors.New("this program starts plugins, but its main function does not call process.Keep first of all")
	}
	cmd, theirs, err := c.command()
	if err != nil {
		return err
	}
	err = cmd.Start()
	closeAll(theirs...)
	if err != nil {
		closeAll(c.ours()...)
		c.binary.close()
		return fmt.Errorf("no process for it: %w", forkError(err))
	}
	c.state, c.keeper = running, cmd.Process
	c.readers.Go(func() { c.guard.read(c.stdout, c.log.stray) })
	c.readers.Go(func() { c.log.read(c.stderr) })
	go c.follow(cmd)
	return nil
}

// command makes the pipes and the keeper's command; theirs are the ends that only the keeper and the plugin need.
func (c *child) command() (cmd *exec.Cmd, theirs []*os.File, err error) {
	null, err := openNull(os.DevNull)
	if err != nil {
		return nil, nil, err
	}
	var orders, reports, lifeline, stdout, stderr *os.File
	for _, p := range []struct{ read, write **os.File }{
		{&orders, &c.orders}, {&c.reports, &reports}, {&lifeline, &c.lifeline}, {&c.stdout, &stdout}, {&c.stderr, &stderr},
	} {
		if *p.read, *p.write, err = os.Pipe(); err != nil {
			closeAll(null, orders, reports, lifeline, stdout, stderr)
			closeAll(c.ours()...)
			return nil, nil, fmt.Errorf("no pipe for it: %w", shortage(err))
		}
	}
	return &exec.Cmd{
		Path:       "/proc/self/exe",
		Args:       []string{keeperName, c.spec.Path}, // the second for people only
		Env:        []string{envKeeper + "=1"},
		Stdin:      null,
		Stdout:     stdout,
		Stderr:     stderr,
		ExtraFiles: []*os.File{orders, reports, lifeline, c.binary.memory},
		// A group of its own: a Ctrl-C at the terminal is the host's alone.
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
	}, []*os.File{null, orders, reports, lifeline, stdout, stderr}, nil
}

// ours are the host's ends of the pipes.
func (c *child) ours() []*os.File {
	return []*os.File{c.orders, c.reports, c.lifeline, c.stdout, c.stderr}
}

// environment is what the plugin gets.
func (c *child) environment() []string {
	env := allowed(os.Environ())
	if c.spec.Traces != nil {
		env = append(env, traces.Passed(os.Environ())...)
	}
	env = append(env, c.spec.Env...)
	env = append(env, c.env...)
	env = append(env, sdk.EnvLifeline+"="+strconv.Itoa(lifelineFD), sdk.EnvFile+"="+absolute(c.spec.Path))
	if c.identity != nil {
		env = append(env, c.identity.Env())
	}
	return lastValues(env)
}

// follow gives the keeper its order and hears its reports until it has ended, and everything below it with it.
func (c *child) follow(cmd *exec.Cmd) {
	err := json.NewEncoder(c.orders).Encode(order{
		Path: c.spec.Path, Script: c.binary.interpreter != "", Env: c.environment(), Sockets: c.socketDir,
	})
	if err != nil {
		c.born <- fmt.Errorf("its keeper takes no orders: %w", err)
	}
	c.binary.close()
	status := syscall.WaitStatus(syscall.SIGKILL) // unless the keeper says otherwise: it was killed, and the plugin with it
	ended, heard := make(chan syscall.WaitStatus, 1), make(chan struct{})
	go func() {
		defer close(heard)
		readReports(c.reports, func(what string, number int) {
			if what == reportEnded {
				ended <- syscall.WaitStatus(number)
				return
			}
			c.hear(what, syscall.Errno(number))
		})
		close(ended)
	}()
	if last, told := <-ended; told {
		status = last
	}
	// The rest takes a moment. A child of the plugin that hangs in the kernel must not hide that the plugin has ended.
	if Closed(heard, afterKill) {
		cmd.Wait() // its own status says nothing
	} else {
		c.spec.Log.Warn("a process that the plugin left behind does not die after SIGKILL; it hangs in the kernel", "plugin", c.spec.Name)
		go cmd.Wait()
	}
	c.mu.Lock()
	c.state = reaped
	c.mu.Unlock()
	select {
	case c.born <- errors.New("its keeper ended before it was started"):
	default: // it was
	}

	read := make(chan struct{})
	go func() {
		c.readers.Wait()
		close(read)
	}()
	Closed(read, drainTime)
	closeAll(c.ours()...)
	<-read
	c.removeSockets()
	c.exit = newExit(status, c.wasKilled(), c.log.tail.lines())
	close(c.gone)
}

// hear takes what the keeper reports of the start.
func (c *child) hear(what string, number syscall.Errno) {
	switch what {
	case reportFailed:
		c.born <- c.binary.execError(number)
	case reportStarted:
		c.mu.Lock()
		c.pid = int(number)
		c.mu.Unlock()
		c.born <- nil
	case reportLoose:
		c.spec.Log.Warn("this system does not keep a plugin's orphans together (PR_SET_CHILD_SUBREAPER): what the plugin starts may outlive it",
			"plugin", c.spec.Name, "error", number.Error())
	}
}

// kill has the keeper kill the plugin and all that came of it, and forbids a start that has not happened yet.
func (c *child) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != reaped {
		c.killed = true
	}
	if c.state == running {
		c.orders.Close()
		c.keeper.Signal(syscall.SIGCONT) // somebody may have stopped it
	}
}

// discard tidies up after a start that came to nothing.
func (c *child) discard() {
	c.mu.Lock()
	spawned := c.state != unborn
	c.mu.Unlock()
	if spawned {
		<-c.gone
		return
	}
	c.binary.close()
	c.sockets.close()
	c.removeSockets()
}

func (c *child) removeSockets() {
	if c.socketDir != "" {
		os.RemoveAll(c.socketDir)
	}
	closeAll(c.held)
}

// wasBorn says whether there ever was a process of the plugin.
func (c *child) wasBorn() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pid != 0
}

func (c *child) wasKilled() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.killed
}

// exitIfGone says how the plugin ended, if it ever ran.
func (c *child) exitIfGone() (Exit, bool) {
	select {
	case <-c.gone:
		return c.exit, c.wasBorn()
	default:
		return Exit{}, false
	}
}

// leave makes the end of the process a matter of kill alone.
func (c *child) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.orderly = true
}

// absolute is path as a process in another folder would name it.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path // the working folder was removed
}

func closeAll(files ...*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}
