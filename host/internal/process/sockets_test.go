package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A host and the keepers of its plugins are killed in one blow, so that nobody tidies up. The next start does, and leaves
// alone what belongs to the living.
func TestFoldersOfDeadHostsAreSwept(t *testing.T) {
	ownTemp(t)
	dead, alive := startHost(t), startHost(t)
	before := socketDirs(t)
	keepers := []int{parentOf(dead.processes[0]), parentOf(dead.processes[1])}
	host := dead.cmd.Process.Pid
	var ends []func()
	for _, pid := range append(dead.processes, keepers...) {
		ends = append(ends, watch(t, pid))
	}
	for _, pid := range append(keepers, host) {
		unix.Kill(pid, unix.SIGSTOP)
	}
	for _, pid := range append(append(keepers, host), dead.processes...) {
		unix.Kill(pid, unix.SIGKILL)
	}
	for _, ended := range ends {
		ended()
	}
	dead.kill()
	if before != 4 || socketDirs(t) < 3 {
		t.Fatalf("%d folders before, %d now, so this test shows nothing", before, socketDirs(t))
	}
	p := start(t, spec(t, "good"))
	if got := socketDirs(t); got != 3 {
		t.Errorf("%d folders, want one and the living host's two", got)
	}
	for _, pid := range alive.processes {
		if letter(pid) == 0 {
			t.Errorf("process %d of the living host is gone", pid)
		}
	}
	if got := ask(t, p, "anything"); got != "done" {
		t.Errorf("got %q", got)
	}
	alive.kill()
	if err := p.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	waitEmpty(t)
}

func TestOnlyDeadFoldersOfThisUserAreSwept(t *testing.T) {
	base := ownTemp(t)
	dir := filepath.Join(base, fmt.Sprintf("pio-%d", os.Getuid()))
	folder := func(name string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(path, "plugin1"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	gone := []string{folder(socketFolder + "1"), folder(socketFolder + "2")}
	kept := []string{folder(socketFolder + "3"), folder("of something else"), folder(socketFolder + "4"), filepath.Join(dir, socketFolder+"5")}
	lock, err := os.Open(kept[0])
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(kept[2], 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(kept[1], kept[3]); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		foreign := folder(socketFolder + "6")
		if err := os.Chown(foreign, 12345, 12345); err != nil {
			t.Fatal(err)
		}
		kept = append(kept, foreign)
	}
	s, err := openSockets()
	if err != nil {
		t.Fatal(err)
	}
	s.close()
	for _, path := range gone {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s is still there", path)
		}
	}
	for _, path := range kept {
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("%v", err)
		}
	}
	os.RemoveAll(dir)
}

// While a plugin is being started its folder is not locked yet, and nobody sweeps.
func TestNobodySweepsDuringAStart(t *testing.T) {
	ownTemp(t)
	starting, err := openSockets()
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := os.MkdirTemp(starting.path, socketFolder)
	if err != nil {
		t.Fatal(err)
	}
	other, err := openSockets()
	if err != nil {
		t.Fatal(err)
	}
	other.close()
	held, err := starting.hold(fresh)
	if err != nil {
		t.Fatalf("another start took the folder away: %v", err)
	}
	starting.close()
	held.Close()
	os.RemoveAll(fresh)
}

// In a folder that is open to everybody, somebody may have made ours before us.
func TestForeignSocketFolderIsNotUsed(t *testing.T) {
	base := ownTemp(t)
	path := filepath.Join(base, fmt.Sprintf("pio-%d", os.Getuid()))
	for name, spoil := range map[string]func() error{
		"open to others": func() error { return os.Mkdir(path, 0o755) },
		"a link": func() error {
			elsewhere := filepath.Join(base, "elsewhere")
			return errors.Join(os.Mkdir(elsewhere, 0o700), os.Symlink(elsewhere, path))
		},
		"a file": func() error { return os.WriteFile(path, nil, 0o600) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if failure := startFails(t, spec(t, "good")); !strings.HasPrefix(failure.Text, "no folder for its socket: ") || !strings.Contains(failure.Text, path) {
			t.Errorf("%s: got %s", name, failure.Text)
		}
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
}
