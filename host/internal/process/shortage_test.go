package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// behaveInWant starts plugins until there are no descriptors left for another, tells how that one failed, and whether one
// starts when the others have stopped.
func behaveInWant() {
	const few = 64
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: few, Max: few}); err != nil {
		panic(err)
	}
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	begin := func() (*Process, error) {
		return Start(context.Background(), Spec{
			Name: "obedient", Path: self, MTLS: true, Env: []string{modeVariable + "=good", "GORACE=atexit_sleep_ms=0"},
		})
	}
	fmt.Println(FewDescriptors(20))
	var running []*Process
	for len(running) < few {
		p, err := begin()
		if err != nil {
			var short *shortageError
			fmt.Println(errors.As(err, &short), err)
			break
		}
		running = append(running, p)
	}
	for _, p := range running {
		p.Stop(context.Background())
	}
	p, err := begin()
	if err != nil {
		panic(err)
	}
	fmt.Println(p.Stop(context.Background()))
	os.Exit(0)
}

func TestDescriptorsRunOut(t *testing.T) {
	ownTemp(t)
	cmd := exec.Command(spec(t, "").Path)
	cmd.Env = append(os.Environ(), modeVariable+"=host with 64 descriptors", "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(out), "\n")
	const limit = "raise the limit, with ulimit -n or LimitNOFILE in a systemd unit"
	if want := "this process may have 64 file descriptors; 20 models and a few clients take 240: " + limit; lines[0] != want {
		t.Errorf("got  %s\nwant %s", lines[0], want)
	}
	if len(lines) < 3 || !strings.HasPrefix(lines[1], "true plugin obedient (") || !strings.Contains(lines[1], "the host has used up its 64 file descriptors: "+limit) {
		t.Fatalf("got %q", lines)
	}
	if last := lines[len(lines)-2]; last != "<nil>" {
		t.Errorf("afterwards: %q", lines)
	}
}

func TestEnoughDescriptors(t *testing.T) {
	if got := FewDescriptors(0); descriptorLimit() >= 100 && got != "" {
		t.Errorf("got %q", got)
	}
}

func TestShortagesAreNamed(t *testing.T) {
	for err, want := range map[error]string{
		unix.EMFILE: "the host has used up its ",
		unix.ENFILE: "this machine has no file descriptors left: see sysctl fs.file-max (",
		unix.EAGAIN: "no further process or thread may be started: see ulimit -u",
		unix.ENOMEM: "there is no memory for it (",
		unix.ENOSPC: "there is no space left for it (",
	} {
		wrapped := &fs.PathError{Op: "fork/exec", Path: "/proc/self/exe", Err: err}
		for _, got := range []error{shortage(wrapped), forkError(wrapped), shortage(shortage(wrapped))} {
			var short *shortageError
			if !errors.As(got, &short) || !errors.Is(got, err) || !strings.HasPrefix(got.Error(), want) || strings.Count(got.Error(), want) != 1 {
				t.Errorf("%v: got %v", err, got)
			}
		}
	}
	var short *shortageError
	if err := forkError(unix.EBADF); !errors.As(err, &short) {
		t.Errorf("a descriptor beyond the limit: %v", err)
	}
	for _, err := range []error{nil, unix.EBADF, unix.ENOENT, errors.New("else")} {
		if got := shortage(err); got != err {
			t.Errorf("%v became %v", err, got)
		}
	}
}

// A system without its /dev, and one where somebody's redirection has made a file of the device.
func TestMissingNullDeviceIsTold(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "null")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none"): "no such file or directory",
		file:                       "it is not a device but has mode -rw-------",
	} {
		_, err := openNull(path)
		if err == nil || !strings.HasPrefix(err.Error(), path+", which plugins get as standard input, cannot be used (") || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "mount /dev") {
			t.Errorf("got %v", err)
		}
	}
	null, err := openNull(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	null.Close()
}
