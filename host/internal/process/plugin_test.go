package process

// plugin_test.go: the plugins of the tests. The test binary starts itself; PIO_TEST_MODE says which plugin it then is.

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
	"github.com/inference-pio/inference-pio/sdk/serve"
)

const modeVariable = "PIO_TEST_MODE"

func TestMain(m *testing.M) {
	Keep()
	if mode := os.Getenv(modeVariable); mode != "" {
		behave(mode)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// rawStdout is a second number for the pipe that is descriptor 1 at start, as a library's own buffer would be.
const rawStdout = 50

func behave(mode string) {
	switch mode {
	case "good":
	case "exit":
		fmt.Fprintln(os.Stderr, "cannot find libsomething.so")
		os.Exit(3)
	case "hang":
		forever()
	case "killed by somebody":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "closed stdout":
		os.Stdout.Close()
		forever()
	case "chatty stdout":
		fmt.Println("found 1 CUDA devices")
		fmt.Println(strings.Repeat("x", 100_000))
		fmt.Print("1|2|3\n\n")
	case "major 9":
		fmt.Println("1|9|unix|" + socketPath() + "|grpc|")
		forever()
	case "core 2":
		fmt.Println("2|1|unix|" + socketPath() + "|grpc|")
		forever()
	case "no certificate":
		os.Unsetenv(client.EnvCertificate)
	case "strange certificate":
		fmt.Println("1|1|unix|" + socketPath() + "|grpc|" + strings.Repeat("TUlJ", 50))
		forever()
	case "tcp":
		fmt.Println("1|1|tcp|127.0.0.1:1|grpc|")
		forever()
	case "elsewhere":
		dir, err := os.MkdirTemp("", "elsewhere")
		if err != nil {
			panic(err)
		}
		os.Setenv("PLUGIN_UNIX_SOCKET_DIR", dir)
	case "frozen after the handshake":
		listener, err := net.Listen("unix", socketPath())
		if err != nil {
			panic(err)
		}
		defer listener.Close()
		fmt.Println("1|1|unix|" + socketPath() + "|grpc|")
		syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	case "dead after the handshake":
		fmt.Println("1|1|unix|" + socketPath() + "|grpc|")
		fmt.Fprintln(os.Stderr, "out of luck")
		os.Exit(4)
	case "stubborn": // wants to outlive everybody
		unix.Close(lifelineFD)
		os.Unsetenv(sdk.EnvLifeline)
		go func() {
			for { // serve.Main handles it otherwise
				signal.Ignore(syscall.SIGTERM, syscall.SIGHUP)
				time.Sleep(time.Millisecond)
			}
		}()
	case "forks twice": // its child has lost its parent, left the session, and has every stream of the plugin
		sleep := exec.Command("sleep", "600")
		sleep.Stdout, sleep.Stderr = os.Stderr, os.Stderr
		sleep.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := sleep.Start(); err != nil {
			panic(err)
		}
		fmt.Print(sleep.Process.Pid)
		os.Exit(0)
	case "host":
		behaveAsHost()
	case "host with 64 descriptors":
		behaveInWant()
	default:
		panic("no mode " + mode)
	}
	unix.Dup2(1, rawStdout)
	serve.Main(obedient{})
}

func socketPath() string { return filepath.Join(os.Getenv("PLUGIN_UNIX_SOCKET_DIR"), "s") }

func forever() {
	for {
		time.Sleep(time.Hour)
	}
}

// obedient is a plugin that does what the path of an Inspect says and answers in its Reason.
type obedient struct{}

func (obedient) Describe() sdk.Description {
	return sdk.Description{Name: "obedient", Version: "1.0.0"}
}

func (obedient) Load(context.Context, sdk.LoadRequest, func(sdk.Progress)) (sdk.LayerTable, error) {
	return sdk.LayerTable{}, nil
}

func (obedient) Generate(context.Context, sdk.GenerateRequest, func(sdk.Event) error) error {
	return nil
}

// Unload tells how long it may take.
func (obedient) Unload(ctx context.Context) error {
	deadline, ok := ctx.Deadline()
	slog.Info("unloading", "bounded", ok, "seconds", int(time.Until(deadline).Seconds()))
	return nil
}

func (obedient) Inspect(ctx context.Context, req sdk.InspectRequest) (sdk.Inspection, error) {
	command, argument, _ := strings.Cut(req.Path, ": ")
	answer := "done"
	switch command {
	case "environment":
		answer = strings.Join(os.Environ(), "\n")
	case "descriptors":
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			return sdk.Inspection{}, err
		}
		for _, e := range entries {
			target, _ := os.Readlink("/proc/self/fd/" + e.Name())
			answer += "\n" + e.Name() + " " + target
		}
	case "panic":
		go panic("the tensor library gave up")
		<-ctx.Done()
	case "panic in the call":
		panic("index out of range")
	case "wait":
		<-ctx.Done()
	case "exit":
		code, err := strconv.Atoi(argument)
		if err != nil {
			return sdk.Inspection{}, err
		}
		os.Exit(code)
	case "orphan":
		fork := exec.Command("/proc/self/exe")
		fork.Env, fork.Stderr = append(os.Environ(), modeVariable+"=forks twice"), os.Stderr
		pid, err := fork.Output()
		if err != nil {
			return sdk.Inspection{}, err
		}
		answer = string(pid)
	case "child": // it holds our stderr
		sleep := exec.Command("sleep", "600")
		sleep.Stderr = os.Stderr
		sleep.SysProcAttr = &syscall.SysProcAttr{Setsid: argument == "apart"}
		if err := sleep.Start(); err != nil {
			return sdk.Inspection{}, err
		}
		answer = strconv.Itoa(sleep.Process.Pid)
	case "stderr":
		line, err := strconv.Unquote(argument)
		if err != nil {
			return sdk.Inspection{}, err
		}
		syscall.Write(2, []byte(line+"\n"))
	case "print":
		fmt.Println("by fmt")
		fmt.Fprintln(os.Stderr, "by os.Stderr")
		log.Print("by log")
		slog.Warn("by slog", "key", "value")
	case "flood":
		lines, _ := strconv.Atoi(argument)
		for i := range lines {
			fmt.Fprintf(os.Stderr, "flood %d\n", i)
		}
	case "stdout":
		bytes, _ := strconv.Atoi(argument)
		line := []byte(strings.Repeat("y", 70_000) + "\n")
		for ; bytes > 0; bytes -= len(line) {
			if _, err := unix.Write(rawStdout, line); err != nil {
				return sdk.Inspection{}, err
			}
		}
	}
	return sdk.Inspection{Reason: answer}, nil
}
