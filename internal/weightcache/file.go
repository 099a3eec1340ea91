package weightcache

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// file.go opens the file of a key, whoever else is about to, and notes what is made in it.

const (
	sealedEnd = ".packed"
	partEnd   = ".part"
)

// patience is how long another process may make nothing before it is no longer waited for.
const patience = time.Minute

// lookEvery is how often is looked whether it is done: a lock tells nobody that it was given up.
const lookEvery = 50 * time.Millisecond

// Wish is a file that somebody needs.
type Wish struct {
	Key     [32]byte // of all that its bytes depend on
	About   About
	Modules []int64 // bytes of each
}

// File is one of a folder, open and locked: by its maker alone until it is sealed, then by all who use it.
type File struct {
	Head
	At   []int64 // where each module begins
	Size int64

	f      *os.File
	folder Folder
	made   []bool
}

// ErrBusy says that another process makes the file, and does not come on.
var ErrBusy = errors.New("another process makes the same packed weights and stands still")

// Open finds the file of a wish, or begins one. While another process makes it, Open waits, and tells how many bytes of modules are made. Modules of which
// Made is not true are to be made; of those that are, somebody has noted so. An error leaves nothing behind that was not there.
func (d Folder) Open(ctx context.Context, w Wish, others func(made int64)) (*File, error) {
	if err := os.MkdirAll(d.Path, 0o700); err != nil {
		return nil, fmt.Errorf("the folder of packed weights: %w", err)
	}
	last, since := int64(-1), time.Now()
	for {
		f, err := d.sealed(w)
		if f != nil || err != nil {
			return f, err
		}
		f, made, err := d.part(w)
		if f != nil || err != nil {
			return f, err
		}
		if made != last {
			last, since = made, time.Now()
			others(made)
		}
		if time.Since(since) > patience {
			return nil, ErrBusy
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(lookEvery):
		}
	}
}

func (d Folder) path(key [32]byte, end string) string {
	return filepath.Join(d.Path, hex.EncodeToString(key[:])+end)
}

// open opens a file of the folder, which is no link and no device.
func open(path string, flags int) (*os.File, fs.FileInfo, error) {
	f, err := os.OpenFile(path, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: is no regular file", path)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// Locks are of open files, so that a process may hold several, and who asks about one takes none.
const (
	shared = unix.F_RDLCK
	alone  = unix.F_WRLCK
)

// lock takes a lock, or changes the one that f has, without waiting; false if somebody else's is in the way.
func lock(f *os.File, how int16) bool {
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: how, Whence: io.SeekStart}) == nil
}

// locked says whether anybody has a lock on a file.
func locked(f *os.File) bool {
	l := unix.Flock_t{Type: alone, Whence: io.SeekStart}
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &l) == nil && l.Type != unix.F_UNLCK
}

// sealed opens a finished file, nil if there is none or somebody is about to take it away. One that is not what it should be becomes a part
// again, so that what is whole of it stays, or goes.
func (d Folder) sealed(w Wish) (*File, error) {
	path := d.path(w.Key, sealedEnd)
	f, info, err := open(path, os.O_RDWR)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	h, err := readHead(f, info.Size())
	if err == nil && h.answers(w) && h.stamped(info.ModTime()) {
		if !lock(f, shared) {
			return nil, f.Close()
		}
		_ = used(path)
		return d.file(f, h), nil
	}
	defer f.Close()
	if !isNamed(f, path) {
		return nil, nil
	}
	if lock(f, alone) { // nobody uses it
		return nil, os.Rename(path, d.path(w.Key, partEnd))
	}
	return nil, os.Remove(path)
}

// isNamed says whether a path is that of an open file.
func isNamed(f *os.File, path string) bool {
	info, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(path)
	return err == nil && os.SameFile(info, named)
}

// used notes that a file was needed now. When it was changed stays.
func used(path string) error {
	now := unix.NsecToTimespec(time.Now().UnixNano())
	return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{now, {Nsec: unix.UTIME_OMIT}}, unix.AT_SYMLINK_NOFOLLOW)
}

// part opens the file that is being made, or begins one. nil: another process makes it, and has made so many bytes of it.
func (d Folder) part(w Wish) (_ *File, made int64, err error) {
	path := d.path(w.Key, partEnd)
	f, info, err := open(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, 0, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if !lock(f, alone) {
		defer f.Close()
		return nil, madeOf(f, info.Size()), nil
	}
	if _, err := os.Lstat(d.path(w.Key, sealedEnd)); err == nil || !isNamed(f, path) { // it was finished just now
		defer f.Close()
		if isNamed(f, path) && info.Size() == 0 {
			_ = os.Remove(path) // who opens it next tries again
		}
		return nil, 0, nil
	}
	if info, err = f.Stat(); err != nil {
		return nil, 0, err
	}
	h, headErr := readHead(f, info.Size())
	if headErr != nil || !h.answers(w) {
		if h, err = d.begin(f, w); err != nil {
			return nil, 0, errors.Join(err, os.Remove(path))
		}
	}
	return d.file(f, h), 0, nil
}

// madeOf is how many bytes of modules are noted in a file.
func madeOf(f *os.File, size int64) (made int64) {
	h, err := readHead(f, size)
	if err != nil {
		return 0
	}
	for i, n := range h.Modules {
		if _, noted := h.sum(i); noted {
			made += n
		}
	}
	return made
}

// begin makes room for a file and writes its head.
func (d Folder) begin(f *os.File, w Wish) (*Head, error) {
	h, err := newHead(w)
	if err != nil {
		return nil, err
	}
	_, end := h.Place()
	if err := f.Truncate(0); err != nil {
		return nil, err
	}
	if err := d.makeRoom(f, end); err != nil {
		return nil, err
	}
	if _, err := f.WriteAt(h.encode(), 0); err != nil {
		return nil, err
	}
	return h, nil
}

func (h *Head) answers(w Wish) bool {
	if h.Key != w.Key || len(h.Modules) != len(w.Modules) {
		return false
	}
	for i, n := range h.Modules {
		if n != w.Modules[i] {
			return false
		}
	}
	return true
}

// readHead reads the head of an open file.
func readHead(f io.ReaderAt, size int64) (*Head, error) {
	var first [fixedBytes]byte
	if _, err := f.ReadAt(first[:], 0); err != nil {
		return nil, errNoHead
	}
	n, err := headSize(first[:])
	if err != nil {
		return nil, err
	}
	if n > size {
		return nil, fmt.Errorf("it ends after %d of the %d bytes of its head", size, n)
	}
	b := make([]byte, n)
	if _, err := f.ReadAt(b, 0); err != nil {
		return nil, err
	}
	return parseHead(b, size)
}

func (d Folder) file(f *os.File, h *Head) *File {
	x := &File{Head: *h, f: f, folder: d, made: make([]bool, len(h.Modules))}
	x.At, x.Size = h.Place()
	for i := range x.made {
		_, x.made[i] = h.sum(i)
	}
	return x
}

// Descriptor is the open file, to be mapped. Until it is sealed it may be written to where modules lie.
func (x *File) Descriptor() *os.File { return x.f }

// IsSealed says that the file is finished: all modules are there, and it is not written to.
func (x *File) IsSealed() bool { return isNamed(x.f, x.folder.path(x.Key, sealedEnd)) }

// Made says whether a module is there.
func (x *File) Made(module int) bool { return x.made[module] }

// Compare looks whether a module is what was noted of it; one that is not is to be made. data is the whole file.
func (x *File) Compare(module int, data []byte) bool {
	sum, noted := x.sum(module)
	x.made[module] = noted && crc32.Checksum(x.Module(module, data), castagnoli) == sum
	return x.made[module]
}

// Module is the bytes of a module in those of the file.
func (x *File) Module(module int, data []byte) []byte {
	at, n := x.At[module], x.Modules[module]
	return data[at : at+n : at+n]
}

// Note says that a module is made: its bytes are in the file.
func (x *File) Note(module int, data []byte) error {
	r := record(module, crc32.Checksum(x.Module(module, data), castagnoli))
	if _, err := x.f.WriteAt(r[:], x.recordAt(module)); err != nil {
		return fmt.Errorf("noting a module of packed weights: %w", err)
	}
	copy(x.records[8*module:], r[:])
	x.made[module] = true
	return nil
}

// DiskError says that a file could not be written out: what is read of it may be something else than what was written.
type DiskError struct{ Err error }

func (e *DiskError) Error() string { return "writing packed weights to the disk: " + e.Err.Error() }
func (e *DiskError) Unwrap() error { return e.Err }

// Seal finishes a file all of whose modules are made: it is on the disk, and others may use it. A mapping stays valid, unless the error is a
// *DiskError.
func (x *File) Seal() error {
	x.Sealed = stampOf(time.Now())
	if err := x.f.Sync(); err != nil { // what the head says is true before it says it
		return &DiskError{err}
	}
	if _, err := x.f.WriteAt(binary.LittleEndian.AppendUint64(nil, uint64(x.Sealed)), sealedAt); err != nil {
		return &DiskError{err}
	}
	if err := x.f.Sync(); err != nil {
		return &DiskError{err}
	}
	part := x.folder.path(x.Key, partEnd)
	if !isNamed(x.f, part) {
		return fmt.Errorf("%s: was taken away while it was made", part)
	}
	if err := os.Chtimes(part, time.Now(), time.Unix(x.Sealed, 0)); err != nil {
		return fmt.Errorf("stamping packed weights: %w", err)
	}
	if err := os.Rename(part, x.folder.path(x.Key, sealedEnd)); err != nil {
		return fmt.Errorf("keeping packed weights: %w", err)
	}
	lock(x.f, shared)
	return syncFolder(x.folder.Path)
}

func syncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Doubt has whoever opens the finished file next compare all modules.
func (x *File) Doubt() error {
	path := x.folder.path(x.Key, sealedEnd)
	if !isNamed(x.f, path) {
		return nil
	}
	return os.Chtimes(path, time.Time{}, time.Unix(x.Sealed, 1))
}

// Give gives a file up that is not finished: it is removed, and must still be closed.
func (x *File) Give() error {
	path := x.folder.path(x.Key, partEnd)
	if !isNamed(x.f, path) {
		return nil
	}
	return os.Remove(path)
}

// Close gives the lock up. What is mapped stays so.
func (x *File) Close() error { return x.f.Close() }
