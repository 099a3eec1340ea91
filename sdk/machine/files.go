package machine

import (
	"cmp"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// files.go reads the kernel's files, which are small and made when they are read. A Watch does so several times a second on a machine that has
// nothing to do: os.ReadFile takes nine calls of the system for each, as it might have to wait for one, and here are three.

// EnvRoot names a folder whose files are read in place of the machine's, for tests of what happens when those change.
const EnvRoot = "PIO_MACHINE_ROOT"

// Root has the machine's files.
func Root() fs.FS {
	return kernel{os.DirFS(cmp.Or(os.Getenv(EnvRoot), "/")), cmp.Or(os.Getenv(EnvRoot), "/")}
}

// kernel is a file system whose files are read at once.
type kernel struct {
	fs.FS
	dir string
}

// ReadFile implements fs.ReadFileFS.
func (k kernel) ReadFile(name string) ([]byte, error) {
	fail := func(op string, err error) ([]byte, error) { return nil, &fs.PathError{Op: op, Path: name, Err: err} }
	if !fs.ValidPath(name) {
		return fail("open", fs.ErrInvalid)
	}
	fd, err := unix.Open(filepath.Join(k.dir, name), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return fail("open", err)
	}
	defer unix.Close(fd)
	text := make([]byte, 0, 4096)
	for {
		n, err := unix.Read(fd, text[len(text):cap(text)])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return fail("read", err)
		case n == 0:
			return text, nil
		}
		if text = text[:len(text)+n]; len(text) == cap(text) {
			text = append(text, 0)[:len(text)]
		}
	}
}

// once is a file system of which each file is read once: a look takes several numbers of some.
type once struct {
	fs.FS
	seen map[string][]byte // nil: there is none
}

func onceOf(root fs.FS) once { return once{root, map[string][]byte{}} }

// ReadFile implements fs.ReadFileFS.
func (o once) ReadFile(name string) ([]byte, error) {
	text, seen := o.seen[name]
	if !seen {
		text, _ = fs.ReadFile(o.FS, name)
		o.seen[name] = text
	}
	if text == nil {
		return nil, fs.ErrNotExist
	}
	return text, nil
}
