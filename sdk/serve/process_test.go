package serve

// process_test.go starts this test binary as a plugin, to see what a host sees: descriptors, signals, exit codes.

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
	"github.com/inference-pio/inference-pio/sdk/internal/waiting"
)

const envPlugin = "PIO_SERVE_TEST_PLUGIN"

func TestMain(m *testing.M) {
	if os.Getenv(envPlugin) != "" {
		Main(&talker{})
	}
	goleak.VerifyTestMain(m)
}

// talker is a plugin that prints wherever it can.
type talker struct{}

func (*talker) Describe() sdk.Description {
	_, _ = syscall.Write(1, []byte("a library speaks on descriptor 1\n"))
	fmt.Println("the author speaks on os.Stdout")
	return sdk.Description{Name: "talker", Version: "1.2.3"}
}

func (*talker) Inspect(context.Context, sdk.InspectRequest) (sdk.Inspection, error) {
	return sdk.Inspection{}, errors.New("it is not asked")
}

func (*talker) Load(context.Context, sdk.LoadRequest, func(sdk.Progress)) (sdk.LayerTable, error) {
	return sdk.LayerTable{Context: 10}, nil
}

func (*talker) Generate(_ context.Context, req sdk.GenerateRequest, send func(sdk.Event) error) error {
	switch req.Text {
	case "print":
		fmt.Println("printed in a call")
		fmt.Fprintln(os.Stderr, "complained in a call")
		slog.Info("logged in a call", "time", 3)
	case "child":
		child := exec.Command("sleep", "3600")
		if err := child.Start(); err != nil {
			return err
		}
		return send(sdk.Event{Start: &sdk.Start{Prompt: []int32{int32(child.Process.Pid)}}})
	case "wait":
		if err := send(sdk.Event{Start: &sdk.Start{}}); err != nil {
			return err
		}
		if err := waitFor(os.Getenv("PIO_TEST_FILE")); err != nil {
			return err
		}
		return send(sdk.Event{Finish: &sdk.Finish{Reason: sdk.FinishStop}})
	}
	return errors.Join(send(sdk.Event{Start: &sdk.Start{}}), send(sdk.Event{Finish: &sdk.Finish{Reason: sdk.FinishStop}}))
}

// waitFor opens a named pipe, which returns when the test opens the other end.
func waitFor(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return f.Close()
}

// started is a plugin process after its handshake.
type started struct {
	*client.Client
	cmd      *exec.Cmd
	fields   []string // of the handshake line
	stdout   *bufio.Reader
	stderr   bytes.Buffer
	lifeline *os.File // the write end
	sockets  string
	ended    chan struct{} // closed after the process ended; cmd.ProcessState is set then
}

// command is this binary as a plugin, in an environment like a host's.
func command(t *testing.T, args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = []string{envPlugin + "=1", "PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

func startPlugin(t *testing.T, env ...string) *started {
	t.Helper()
	waiting.Bound(t)
	p := &started{cmd: command(t), ended: make(chan struct{})}
	var err error
	if p.sockets, err = os.MkdirTemp("", "pio"); err != nil { // t.TempDir is too long for a socket
		t.Fatal(err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.lifeline = write
	p.cmd.ExtraFiles = []*os.File{read}
	p.cmd.Env = append(p.cmd.Env, sdk.CookieKey+"="+sdk.CookieValue, sdk.EnvLifeline+"=3",
		"PLUGIN_PROTOCOL_VERSIONS=1", "PLUGIN_UNIX_SOCKET_DIR="+p.sockets)
	p.cmd.Env = append(p.cmd.Env, env...)
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stderr = &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = read.Close()
	p.stdout = bufio.NewReader(out)
	line, err := p.stdout.ReadString('\n')
	if err != nil {
		t.Fatalf("no handshake: %v; it said %s", err, &p.stderr)
	}
	go func() {
		_, _ = io.Copy(io.Discard, p.stdout)
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.ended
		_ = write.Close()
		_ = os.RemoveAll(p.sockets)
	})
	p.fields = strings.Split(strings.TrimSpace(line), "|")
	if len(p.fields) != 6 {
		t.Fatalf("the handshake is %q", line)
	}
	conn, err := grpc.NewClient("unix://"+p.fields[3], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	p.Client = client.New(conn)
	if _, err := p.Load(t.Context(), sdk.LoadRequest{InspectRequest: sdk.InspectRequest{Path: "/m"}}, nil); err != nil {
		t.Fatal(err)
	}
	return p
}

// exit waits for the end of the process and gives its exit code, -1 for a signal.
func (p *started) exit(t *testing.T) int {
	t.Helper()
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(30 * time.Second):
		t.Fatal("the process does not end")
		return 0
	}
}

func (p *started) say(t *testing.T, text string, send func(sdk.Event) error) error {
	return p.Generate(t.Context(), sdk.GenerateRequest{Text: text, HasText: true}, send)
}

func TestHandshakeIsAllThatStandardOutputCarries(t *testing.T) {
	p := startPlugin(t, sdk.EnvLogLevel+"=info")
	if got := strings.Join(append(p.fields[:3:3], p.fields[4:]...), "|"); got != "1|1|unix|grpc|" {
		t.Errorf("the handshake is %v", p.fields)
	}
	if filepath.Dir(p.fields[3]) != p.sockets {
		t.Errorf("the socket %s is not in %s", p.fields[3], p.sockets)
	}
	if _, err := p.Describe(t.Context()); err != nil {
		t.Error(err)
	}
	if err := p.say(t, "print", func(sdk.Event) error { return nil }); err != nil {
		t.Error(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.exit(t); code != 0 {
		t.Errorf("after SIGTERM the exit code is %d", code)
	}
	for _, want := range []string{"a library speaks on descriptor 1\n", "the author speaks on os.Stdout\n", "printed in a call\n",
		"complained in a call\n", `"@level":"info","@message":"logged in a call","_time":3}`} {
		if !strings.Contains(p.stderr.String(), want) {
			t.Errorf("standard error lacks %q:\n%s", want, &p.stderr)
		}
	}
	if _, err := os.Stat(p.fields[3]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

func TestDescribeNeedsNoHostAndPrintsJSONOnly(t *testing.T) {
	out, err := command(t, "describe").Output()
	if err != nil {
		t.Fatal(err)
	}
	var d sdk.Description
	if err := json.Unmarshal(out, &d); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if d.Name != "talker" || d.Version != "1.2.3" || d.SDKVersion != sdk.Version || len(d.Majors) != 1 || strings.Contains(string(out), "null") {
		t.Errorf("got %s", out)
	}
}

func TestStartedByHandItSaysWhatItIs(t *testing.T) {
	cmd := command(t)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || len(out) != 0 {
		t.Fatalf("got %v and %q", err, out)
	}
	for _, want := range []string{"talker", "plugin", "describe", "piohost"} {
		if !strings.Contains(string(exit.Stderr), want) {
			t.Errorf("it does not say %q: %s", want, exit.Stderr)
		}
	}
}

func TestPluginAndItsChildrenEndWithTheHost(t *testing.T) {
	p := startPlugin(t)
	child := 0
	_ = p.say(t, "child", func(e sdk.Event) error { // it has no finish, which is not the point
		child = int(e.Start.Prompt[0])
		return nil
	})
	if child == 0 || syscall.Kill(child, 0) != nil {
		t.Fatalf("there is no child %d", child)
	}
	if err := p.lifeline.Close(); err != nil { // as the kernel does when the host dies
		t.Fatal(err)
	}
	p.exit(t)
	if _, err := os.Stat(p.sockets); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder of the socket is left behind: %v", err)
	}
	for deadline := time.Now().Add(10 * time.Second); alive(child); {
		if time.Now().After(deadline) {
			t.Fatalf("the child %d lives on", child)
		}
	}
}

// alive is false for a zombie too, which nobody may reap in a container.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestSigtermFinishesAnswersAndSigintIsIgnored(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "go-on")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	p := startPlugin(t, "PIO_TEST_FILE="+fifo)
	finished := false
	err := p.say(t, "wait", func(e sdk.Event) error {
		if e.Finish != nil {
			finished = true
			return nil
		}
		for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM} {
			if err := p.cmd.Process.Signal(s); err != nil {
				return err
			}
		}
		for { // until it drains
			err := p.say(t, "", func(sdk.Event) error { return nil })
			if err != nil && sdk.ReasonOf(err) == sdk.ReasonState {
				break
			}
			if err != nil {
				return err
			}
		}
		f, err := os.OpenFile(fifo, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return f.Close()
	})
	if err != nil || !finished {
		t.Errorf("the running answer: %v", err)
	}
	if code := p.exit(t); code != 0 {
		t.Errorf("the exit code is %d", code)
	}
}

func TestLifelineThatIsNoneStopsTheStart(t *testing.T) {
	for fd, want := range map[string]string{"x": "number of an inherited descriptor", "1": "number of an inherited descriptor", "77": "not open"} {
		cmd := command(t)
		cmd.Env = append(cmd.Env, sdk.CookieKey+"="+sdk.CookieValue, sdk.EnvLifeline+"="+fd)
		out, err := cmd.Output()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 || len(out) != 0 || !strings.Contains(string(exit.Stderr), want) {
			t.Errorf("descriptor %s: got %v, %q", fd, err, out)
		}
	}
}

func TestLogLevelComesFromTheHost(t *testing.T) {
	for text, want := range map[string]slog.Level{"": slog.LevelInfo, "debug": slog.LevelDebug, "warn": slog.LevelWarn, "loud": slog.LevelInfo} {
		t.Setenv(sdk.EnvLogLevel, text)
		if got := levelFromEnv(); got != want {
			t.Errorf("%q is %v, want %v", text, got, want)
		}
	}
}

func TestOnlyAPrivateFolderIsCleared(t *testing.T) {
	for mode, cleared := range map[os.FileMode]bool{0o700: true, 0o755: false, 0o740: false, 0o720: false, 0o710: false, 0o704: false, 0o702: false, 0o701: false} {
		dir, err := os.MkdirTemp("", "pio")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = syscall.Close(fd) }()
		if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: filepath.Join(dir, "s")}); err != nil {
			t.Fatal(err)
		}
		removeSockets(dir)
		if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) != cleared {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
}
