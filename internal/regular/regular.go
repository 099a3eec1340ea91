// Package regular opens files that somebody else has put in place, such as those of a checkpoint: regular files alone, of bounded
// size, and without ever waiting for another process. What stands where a file should be (a pipe, a folder, the pointer that
// git-lfs leaves, a web page) is told by name. Links are followed: hub caches are made of them.
//
// It imports nothing of this module and everything here may import it.
package regular

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// KindError says that something else stands where a regular file was expected.
type KindError struct {
	Path string
	Mode fs.FileMode
}

func (e *KindError) Error() string {
	return fmt.Sprintf("%s: is %s, not a regular file", e.Path, kind(e.Mode))
}

func kind(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "something special (" + mode.Type().String() + ")"
}

// Open opens a file for reading and returns its size. That it is absent is fs.ErrNotExist; a link to nothing is not: whoever
// may do without a file would do without one that was meant to be there.
func Open(path string) (*os.File, int64, error) { return open(path, mistaken) }

// open has a look taken at the file before it is given.
func open(path string, look func(f *os.File, path string) error) (*os.File, int64, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if to, is := os.Readlink(path); is == nil {
			return nil, 0, fmt.Errorf("%s: is a link to %s, where there is nothing; is the download complete?", path, to)
		}
		return nil, 0, fmt.Errorf("%s: there is no such file: %w", path, fs.ErrNotExist)
	case err != nil:
		return nil, 0, fmt.Errorf("%s: cannot be examined: %w", path, reason(err))
	case !info.Mode().IsRegular(): // before it is opened: to open a device may do something
		return nil, 0, &KindError{path, info.Mode()}
	}
	f, err := os.OpenFile(path, flags, 0)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: cannot be opened: %w", path, reason(err))
	}
	if info, err = examine(f, path); err == nil {
		err = look(f, path)
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// flags: to open a pipe for reading would wait for its writer.
const flags = os.O_RDONLY | syscall.O_NONBLOCK | syscall.O_NOCTTY

// OpenIn opens a file below root in the same way, with the errors of [os.Root.OpenFile] and of what it is not asked.
func OpenIn(root *os.Root, name string) (*os.File, error) {
	f, err := root.OpenFile(name, flags, 0)
	if err != nil {
		return nil, err
	}
	if _, err := examine(f, name); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// examine looks at the open file: the name may mean another one by now.
func examine(f *os.File, path string) (fs.FileInfo, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("%s: cannot be examined: %w", path, reason(err))
	}
	if !info.Mode().IsRegular() {
		return nil, &KindError{path, info.Mode()}
	}
	return info, nil
}

// Read returns what is in a file of at most limit bytes, opened by [Open].
func Read(path string, limit int64) ([]byte, error) {
	f, size, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > limit {
		return nil, fmt.Errorf("%s: has %d bytes, more than the %d that are read", path, size, limit)
	}
	text := make([]byte, size, size+1) // the one more finds out whether the file has grown
	n, err := io.ReadFull(f, text)
	if err == nil {
		var more int
		more, err = f.Read(text[n : n+1])
		n += more
	}
	switch {
	case errors.Is(err, io.EOF) && int64(n) == size:
		return text, nil
	case err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("%s: changes while it is read; try again when it is complete", path)
	}
	return nil, fmt.Errorf("%s: cannot be read: %w", path, reason(err))
}

// reason is an error of the system without the path that it names once more.
func reason(err error) error {
	var e *fs.PathError
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}
