package catalog

// memory.go is what one look through the folders leaves to the next: a host looks before each start of a plugin, and most
// of what it sees it has seen before.

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inference-pio/inference-pio/sdk"
)

// Memory spares the next Open what this one found out. Its zero value remembers nothing yet. It only saves time: what is
// started is hashed again as it is started.
type Memory struct {
	mu        sync.Mutex
	sums      map[version]string
	described map[string]sdk.Description // by path and hash
	told      map[string]bool            // problems that were logged and are still there
}

// version is a file as it was at one time.
type version struct {
	device, inode     uint64
	size              int64
	modified, changed int64 // in nanoseconds
}

// settled is the age at which a file's times tell its versions apart: a younger one may be written again within the same
// tick of the clock.
const settled = 2 * time.Second

func versionOf(file *os.File) (v version, old bool, err error) {
	var s unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &s); err != nil {
		return version{}, false, err
	}
	v = version{device: uint64(s.Dev), inode: s.Ino, size: s.Size, modified: s.Mtim.Nano(), changed: s.Ctim.Nano()}
	return v, time.Since(time.Unix(0, max(v.modified, v.changed))) > settled, nil
}

// sumOf is the SHA-256 of the file at path.
func (m *Memory) sumOf(path string) (string, error) {
	file, err := open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	return m.sum(file)
}

// sum is the SHA-256 of an open file, from memory if it is the same version.
func (m *Memory) sum(file *os.File) (string, error) {
	v, old, err := versionOf(file)
	if err != nil {
		return "", err
	}
	m.mu.Lock()
	known, ok := m.sums[v]
	m.mu.Unlock()
	if ok {
		return known, nil
	}
	sum, err := hash(file)
	if err != nil || !old {
		return sum, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sums == nil || len(m.sums) > maxLockEntries {
		m.sums = map[version]string{}
	}
	m.sums[v] = sum
	return sum, nil
}

func (m *Memory) description(p Plugin) (sdk.Description, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, ok := m.described[p.Path+p.SHA256]
	return d, ok
}

func (m *Memory) remember(p Plugin, d sdk.Description) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.described == nil || len(m.described) > maxLockEntries {
		m.described = map[string]sdk.Description{}
	}
	m.described[p.Path+p.SHA256] = d
}

// news returns the problems that the last look did not have.
func (m *Memory) news(problems []error) []error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var fresh []error
	now := map[string]bool{}
	for _, p := range problems {
		if !m.told[p.Error()] {
			fresh = append(fresh, p)
		}
		now[p.Error()] = true
	}
	m.told = now
	return fresh
}

// Mark is a text that changes when one of the files does that lie at or directly in the paths: its name, size or times, or
// those of what a link points to. Nothing is read but the folders.
func Mark(paths ...string) string {
	h := sha256.New()
	note := func(path string) {
		info, err := os.Stat(path)
		if err != nil {
			fmt.Fprintf(h, "%q %v\n", path, err)
			return
		}
		fmt.Fprintf(h, "%q %v %d %d", path, info.Mode(), info.Size(), info.ModTime().UnixNano())
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			fmt.Fprintf(h, " %d %d", s.Ino, s.Ctim.Nano())
		}
		fmt.Fprintln(h)
	}
	for _, path := range paths {
		note(path)
		entries, _ := os.ReadDir(path) // none: a file, or nothing, which note has told
		for _, e := range entries {
			note(filepath.Join(path, e.Name()))
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
