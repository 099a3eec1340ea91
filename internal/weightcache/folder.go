package weightcache

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// folder.go lists files and makes room for others.

// Folder is where packed weights are kept.
type Folder struct {
	Path string // absolute; it is made when something is kept there
	Most int64  // bytes of all files together; 0: no limit but the disk's

	disk func(path string) (free, size int64, err error) // nil: the system's
}

// diskOf is how many bytes are free for us on the disk of a folder, and how many it has.
func diskOf(path string) (free, size int64, err error) {
	var s unix.Statfs_t
	err = unix.Statfs(path, &s)
	return int64(s.Bavail) * s.Bsize, int64(s.Blocks) * s.Bsize, err
}

// spareOf is what stays free of a disk of so many bytes.
func spareOf(disk int64) int64 { return 1<<30 + disk/20 }

// mostNames is how many names of the folder are looked at.
const mostNames = 10_000

// Entry is a file of the folder.
type Entry struct {
	Path  string
	About About
	Bytes int64 // on the disk
	Used  time.Time
	Whole bool  // it is finished
	InUse bool  // a process has it open
	Err   error // what is wrong with it
}

// Entries lists the files, the one used last first. A folder that is not there has none.
func (d Folder) Entries() ([]Entry, error) {
	dir, err := os.Open(d.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(mostNames)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var list []Entry
	for _, name := range names {
		if e, ok := d.entry(name); ok {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b Entry) int { return cmp.Or(b.Used.Compare(a.Used), cmp.Compare(a.Path, b.Path)) })
	return list, nil
}

// ours says whether a name is one of the package's.
func ours(name string) bool {
	key, end := strings.CutSuffix(name, sealedEnd)
	if !end {
		key, end = strings.CutSuffix(name, partEnd)
	}
	raw, err := hex.DecodeString(key)
	return end && err == nil && len(raw) == 32
}

func (d Folder) entry(name string) (e Entry, ok bool) {
	if !ours(name) {
		return e, false
	}
	e.Path, e.Whole = filepath.Join(d.Path, name), strings.HasSuffix(name, sealedEnd)
	f, info, err := open(e.Path, os.O_RDONLY|unix.O_NOATIME) // to look is not to use
	if errors.Is(err, fs.ErrPermission) {                    // it is somebody else's
		f, info, err = open(e.Path, os.O_RDONLY)
	}
	if errors.Is(err, fs.ErrNotExist) { // it went in the meantime
		return e, false
	}
	if err != nil {
		e.Err = err
		return e, true
	}
	defer f.Close()
	e.Bytes = info.Size()
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		e.Bytes, e.Used = st.Blocks*512, time.Unix(st.Atim.Unix())
	}
	e.InUse = locked(f)
	if h, err := readHead(f, info.Size()); err != nil {
		e.Err = err
	} else {
		e.About = h.About
	}
	return e, true
}

// Remove removes a file, whoever uses it: its bytes stay there for those who have mapped it.
func (d Folder) Remove(e Entry) error {
	if filepath.Dir(e.Path) != filepath.Clean(d.Path) || !ours(filepath.Base(e.Path)) {
		return fmt.Errorf("%s: is none of the packed weights of %s", e.Path, d.Path)
	}
	return os.Remove(e.Path)
}

// NoRoomError says why a file cannot be kept.
type NoRoomError struct {
	Path        string
	Needs       int64
	Most, InUse int64 // what the folder may hold, and what of that cannot go
	Free, Spare int64 // of the disk, when all has gone that can; what is to stay free
}

func (e *NoRoomError) Error() string {
	if e.Most > 0 && e.Needs > e.Most-e.InUse {
		return fmt.Sprintf("%s: %d bytes of packed weights do not fit into the %d that it may hold, %d of them in use", e.Path, e.Needs, e.Most, e.InUse)
	}
	return fmt.Sprintf("%s: %d bytes of packed weights do not fit on the disk, of which %d are free and %d stay so", e.Path, e.Needs, e.Free, e.Spare)
}

// makeRoom takes bytes of the disk for a file that is open and locked, once others have given way. Two do so one after the other.
func (d Folder) makeRoom(f *os.File, bytes int64) error {
	one, _, err := open(filepath.Join(d.Path, "lock"), os.O_RDWR|os.O_CREATE)
	if err != nil {
		return err
	}
	defer one.Close()
	if err := unix.Flock(int(one.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("locking %s: %w", one.Name(), err)
	}
	list, err := d.Entries()
	if err != nil {
		return err
	}
	leaving, err := d.goes(list, bytes)
	if err != nil {
		return err
	}
	for _, e := range leaving {
		if err := os.Remove(e.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	// Where bytes cannot be reserved a write could fail that is a page of a mapping, so that nothing is kept there.
	if err := unix.Fallocate(int(f.Fd()), 0, 0, bytes); err != nil {
		return fmt.Errorf("%s: %d bytes cannot be reserved for packed weights: %w", d.Path, bytes, err)
	}
	return nil
}

// goes lists what has to go so that a file of so many bytes has room, what was used longest ago first.
func (d Folder) goes(list []Entry, bytes int64) (out []Entry, err error) {
	disk := d.disk
	if disk == nil {
		disk = diskOf
	}
	free, size, err := disk(d.Path)
	if err != nil {
		return nil, fmt.Errorf("%s: how full its disk is cannot be told: %w", d.Path, err)
	}
	spare := spareOf(size)
	held, busy := int64(0), int64(0)
	for _, e := range list {
		held += e.Bytes
		if e.InUse {
			busy += e.Bytes
		}
	}
	fits := func() bool { return (d.Most == 0 || held+bytes <= d.Most) && bytes <= free-spare }
	for i := len(list) - 1; i >= 0 && !fits(); i-- {
		if e := list[i]; !e.InUse {
			out, held, free = append(out, e), held-e.Bytes, free+e.Bytes
		}
	}
	if !fits() {
		return nil, &NoRoomError{Path: d.Path, Needs: bytes, Most: d.Most, InUse: busy, Free: free, Spare: spare}
	}
	return out, nil
}
