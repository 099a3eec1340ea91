package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/inference-pio/inference-pio/sdk"
)

// patience is for what must happen; no test passes because it is over.
const patience = 20 * time.Second

// spec is a start of the test binary as the plugin of the given mode.
func spec(t testing.TB, mode string) Spec {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Spec{
		Name: "obedient", Path: self, StartTimeout: patience,
		Env: []string{modeVariable + "=" + mode, "GORACE=atexit_sleep_ms=0"}, // under -race a process else takes a second to exit
	}
}

// start starts a plugin that stops with the test.
func start(t *testing.T, s Spec) *Process {
	t.Helper()
	p, err := Start(context.Background(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return p
}

// startFails starts a plugin that does not start.
func startFails(t *testing.T, s Spec) *startError {
	t.Helper()
	p, err := Start(context.Background(), s)
	if err == nil {
		p.Kill()
		t.Fatal("it started")
	}
	var failure *startError
	if !errors.As(err, &failure) {
		t.Fatalf("got %T %v, want a *startError", err, err)
	}
	if failure.Name != s.Name || failure.Path != s.Path {
		t.Errorf("the error names %s, %s", failure.Name, failure.Path)
	}
	return failure
}

func checkLeaks(t *testing.T) {
	t.Helper()
	before, dirs := openFiles(t), socketDirs(t)
	t.Cleanup(func() {
		if err := goleak.Find(); err != nil {
			t.Error(err)
		}
		if after := openFiles(t); len(after) > len(before) {
			t.Errorf("descriptors left open: before %q, after %q", before, after)
		}
		if after := socketDirs(t); after != dirs {
			t.Errorf("socket folders: %d before, %d after", dirs, after)
		}
	})
}

func openFiles(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, e := range entries {
		target, _ := os.Readlink("/proc/self/fd/" + e.Name())
		if strings.HasPrefix(target, "pipe:") || strings.HasPrefix(target, "socket:") || strings.Contains(target, "memfd") {
			files = append(files, e.Name()+" "+target)
		}
	}
	return files
}

// socketDirs counts the folders of processes in the test's own temporary folder.
func socketDirs(t *testing.T) int {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(socketBase(), "pio-*", socketFolder+"*"))
	if err != nil {
		t.Fatal(err)
	}
	return len(found)
}

// ownTemp gives the test a short temporary folder of its own, for the sockets too, and checks at its end that nothing of
// its plugins is left in this process.
func ownTemp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "pio-test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv("XDG_RUNTIME_DIR", "")
	t.Setenv("TMPDIR", dir)
	checkLeaks(t)
	return dir
}

// ask has the plugin do something.
func ask(t *testing.T, p *Process, command string) string {
	t.Helper()
	answer, err := askFor(p, command)
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	return answer
}

func askFor(p *Process, command string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	answer, err := p.Client().Inspect(ctx, sdk.InspectRequest{Path: command})
	return answer.Reason, err
}

func waitDone(t *testing.T, p *Process) Exit {
	t.Helper()
	if !Closed(p.Done(), patience) {
		t.Fatal("the exit was not noticed")
	}
	return p.Exit()
}

// watch returns a function that waits for the end of a process that is not our child.
func watch(t *testing.T, pid int) func() {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatalf("process %d: %v", pid, err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return func() {
		t.Helper()
		deadline := time.Now().Add(patience)
		for time.Now().Before(deadline) {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(patience.Milliseconds()))
			if n == 1 {
				return
			}
			if err != nil && err != unix.EINTR {
				t.Fatal(err)
			}
		}
		t.Errorf("process %d lives on", pid)
	}
}

// journal is a log whose lines can be waited for.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
	more *sync.Cond
}

func newJournal() *journal {
	j := &journal{}
	j.more = sync.NewCond(&j.mu)
	return j
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.more.Broadcast()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// waitFor returns the whole log once part is in it.
func (j *journal) waitFor(t *testing.T, part string) string {
	t.Helper()
	over := false
	timer := time.AfterFunc(patience, func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		over = true
		j.more.Broadcast()
	})
	defer timer.Stop()
	j.mu.Lock()
	defer j.mu.Unlock()
	for !strings.Contains(j.text.String(), part) {
		if over {
			t.Fatalf("%q is not in the log:\n%s", part, j.text.String())
		}
		j.more.Wait()
	}
	return j.text.String()
}

func (j *journal) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(j, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
}

// alive says whether a process runs (a zombie does not).
func alive(pid int) bool {
	s := letter(pid)
	return s != 0 && s != 'Z'
}

// letter is the state as ps shows it, 0 for no such process.
func letter(pid int) byte {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, ok := strings.Cut(string(stat), ") ")
	if !ok {
		return 0
	}
	return rest[0]
}
