package process

// sockets.go: where the sockets of plugins lie. A user has one folder for them, and each process of a plugin one in that.
// The host holds a lock on the latter for as long as it lives, so a folder that is not locked is a dead host's, and is
// swept away by whoever starts a plugin next.

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// socketFolder is how go-plugin begins the names of the folders it makes.
const socketFolder = "plugin-dir"

// socketBase is where users have their folders: private to this one if there is such a place, and short, since the path of a
// socket has 107 bytes at most.
func socketBase() string {
	const most = 107 - len("/pio-4294967295/plugin-dir4294967295/plugin4294967295")
	for _, dir := range []string{os.Getenv("XDG_RUNTIME_DIR"), os.TempDir()} {
		if filepath.IsAbs(dir) && len(dir) <= most && unix.Access(dir, unix.W_OK|unix.X_OK) == nil {
			return filepath.Clean(dir) // PluginToHost compares
		}
	}
	return "/tmp"
}

// sockets is this user's folder, open and locked against sweepers until a new folder in it is locked.
type sockets struct {
	path string
	lock *os.File
}

// openSockets makes the folder if there is none, and sweeps it.
func openSockets() (*sockets, error) {
	path := filepath.Join(socketBase(), fmt.Sprintf("pio-%d", os.Getuid()))
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("no folder for its socket: %w", shortage(err))
	}
	// The base may be open to everybody, and somebody may have been here first.
	dir, err := openFolder(path)
	if err != nil {
		return nil, fmt.Errorf("no folder for its socket: %w", shortage(err))
	}
	s := &sockets{path, dir}
	if unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil { // else somebody starts a plugin just now
		s.sweep()
	}
	if err := lockFolder(dir, unix.LOCK_SH); err != nil {
		dir.Close()
		return nil, err
	}
	return s, nil
}

// sweep removes the folders of hosts that are dead.
func (s *sockets) sweep() {
	entries, err := os.ReadDir(s.path)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), socketFolder) {
			continue
		}
		path := filepath.Join(s.path, e.Name())
		dir, err := openFolder(path)
		if err != nil {
			continue
		}
		if unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			os.RemoveAll(path)
		}
		dir.Close()
	}
}

// hold locks a folder that was made since openSockets; its lock ends with the file, or with this process.
func (s *sockets) hold(path string) (*os.File, error) {
	dir, err := openFolder(path)
	if err != nil {
		return nil, err
	}
	if err := lockFolder(dir, unix.LOCK_EX); err != nil {
		dir.Close()
		return nil, err
	}
	return dir, nil
}

func (s *sockets) close() { s.lock.Close() }

// openFolder opens a folder that is this user's alone, not a link to one.
func openFolder(path string) (*os.File, error) {
	dir, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	info, err := dir.Stat()
	if err == nil {
		if owner := info.Sys().(*syscall.Stat_t).Uid; owner != uint32(os.Getuid()) || info.Mode().Perm()&0o077 != 0 {
			err = fmt.Errorf("%s is of user %d with mode %s; it must be this user's alone: remove it, or set TMPDIR to a folder of your own", path, owner, info.Mode().Perm())
		}
	}
	if err != nil {
		dir.Close()
		return nil, err
	}
	return dir, nil
}

func lockFolder(dir *os.File, how int) error {
	for {
		err := unix.Flock(int(dir.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			if err != nil {
				err = fmt.Errorf("%s cannot be locked: %w", dir.Name(), err)
			}
			return err
		}
	}
}
