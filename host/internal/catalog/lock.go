package catalog

// lock.go reads and writes pio.lock, the list of the binaries that may be started. It lies beside the plugin folder: the
// lock of bin/plugins is bin/pio.lock, so that whoever can only add files to the folder cannot have them run.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/inference-pio/inference-pio/internal/regular"
)

const (
	maxLockFile    = 256 << 10
	maxLockEntries = 1000
)

// Entry is one binary.
type Entry struct {
	Name    string `toml:"name"`
	Version string `toml:"version"`
	SHA256  string `toml:"sha256"` // 64 lower-case hex digits
}

// Lock is a parsed pio.lock. The zero Lock lists nothing.
type Lock struct {
	path    string
	entries []Entry
}

// LockPath is the lock of a plugin folder.
func LockPath(dir string) string { return filepath.Join(filepath.Dir(filepath.Clean(dir)), "pio.lock") }

// readLock reads a lock; a file that does not exist lists nothing.
func readLock(path string) (Lock, error) {
	data, err := regular.Read(path, maxLockFile)
	if errors.Is(err, fs.ErrNotExist) {
		return Lock{path: path}, nil
	} else if err != nil {
		return Lock{}, fmt.Errorf("%w; move it away, and write it anew with `piohost plugin lock`", err)
	}
	return parseLock(path, data)
}

var (
	lockName    = regexp.MustCompile(`^[a-z0-9][a-z0-9_]{0,63}$`)
	lockVersion = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.+-]{0,63}$`)
	lockHash    = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

func parseLock(path string, data []byte) (Lock, error) {
	var content struct {
		Plugin []Entry `toml:"plugin"`
	}
	meta, err := toml.Decode(string(data), &content)
	var syntax toml.ParseError
	if errors.As(err, &syntax) && syntax.Position.Line > 0 {
		return Lock{}, fmt.Errorf("%s:%d: %s; write it anew with `piohost plugin lock`", path, syntax.Position.Line, syntax.Message)
	} else if err != nil {
		return Lock{}, fmt.Errorf("%s: %w; write it anew with `piohost plugin lock`", path, err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return Lock{}, fmt.Errorf("%s: unknown key %s; expected [[plugin]] with name, version, sha256", path, unknown[0])
	}
	if len(content.Plugin) > maxLockEntries {
		return Lock{}, fmt.Errorf("%s has more than %d entries", path, maxLockEntries)
	}
	lock := Lock{path: path}
	for i, entry := range content.Plugin {
		if err := lock.admit(entry); err != nil {
			return Lock{}, fmt.Errorf("%s: plugin[%d]: %w", path, i, err)
		}
	}
	return lock, nil
}

// admit checks an entry and adds it.
func (l *Lock) admit(e Entry) error {
	same := func(o Entry) bool { return o.Name == e.Name || o.SHA256 == e.SHA256 }
	switch {
	case !lockName.MatchString(e.Name):
		return fmt.Errorf("name %.80q: expected lower case letters, digits and underscores", e.Name)
	case !lockVersion.MatchString(e.Version):
		return fmt.Errorf("version %.80q of %s: expected one such as \"1.0.0\"", e.Version, e.Name)
	case !lockHash.MatchString(e.SHA256):
		return fmt.Errorf("sha256 %.80q of %s: expected 64 lower-case hex digits", e.SHA256, e.Name)
	case slices.ContainsFunc(l.entries, same):
		return fmt.Errorf("%s, or its sha256, has an entry already", e.Name)
	}
	l.entries = append(l.entries, e)
	return nil
}

func (l Lock) find(sha256 string) (Entry, bool) {
	i := slices.IndexFunc(l.entries, func(e Entry) bool { return e.SHA256 == sha256 })
	if i < 0 {
		return Entry{}, false
	}
	return l.entries[i], true
}

// names says whether a file has the name of a plugin that the lock lists.
func (l Lock) names(path string) bool {
	base := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	return slices.ContainsFunc(l.entries, func(e Entry) bool { return e.Name == base })
}

// unlisted says that the lock does not know a file, and what that probably means.
func (l Lock) unlisted(path string) error {
	if l.names(path) {
		return fmt.Errorf("%s is not started: it is not the binary that %s lists; if you rebuilt it, run `piohost plugin lock`", path, l.path)
	}
	return fmt.Errorf("%s is not started: %s does not list it; if you trust it, run `piohost plugin lock`", path, l.path)
}

// WriteLock starts every plugin in the folders, asks each who it is, and writes the locks. It returns what it listed. If
// any of them fails, no lock is written. Folders beside each other share a lock.
func WriteLock(ctx context.Context, start StartFunc, dirs ...string) ([]Plugin, error) {
	var all []Plugin
	locks := map[string]*Lock{}
	for _, dir := range dirs {
		found, err := describeAll(ctx, start, dir)
		if err != nil {
			return nil, err
		}
		path := LockPath(dir)
		if locks[path] == nil {
			locks[path] = &Lock{path: path}
		}
		for _, p := range found {
			if err := locks[path].admit(Entry{p.Name, p.Version, p.SHA256}); err != nil {
				return nil, fmt.Errorf("%s cannot be listed in %s: %w", p.Path, path, err)
			}
		}
		all = append(all, found...)
	}
	for _, lock := range locks {
		if err := lock.write(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func describeAll(ctx context.Context, start StartFunc, dir string) ([]Plugin, error) {
	files, err := candidates(dir)
	if err != nil {
		return nil, err
	}
	var found []Plugin
	for _, file := range files {
		switch silent, problem := file.pass(Lock{}); {
		case problem != nil:
			return nil, problem
		case silent:
			continue
		}
		sum, err := new(Memory).sumOf(file.path)
		if err != nil {
			return nil, err
		}
		p := Plugin{Path: file.path, SHA256: sum, Locked: true}
		d, err := describe(ctx, start, p)
		if err != nil {
			return nil, err
		}
		p.Name, p.Version = d.Name, d.Version
		found = append(found, p)
	}
	return found, nil
}

// write replaces the file as a whole: a reader sees the old lock or the new one.
func (l *Lock) write() error {
	slices.SortFunc(l.entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	var b bytes.Buffer
	b.WriteString("# The plugin binaries that may be started. Written by `piohost plugin lock`.\n")
	for _, e := range l.entries {
		fmt.Fprintf(&b, "\n[[plugin]]\nname = %q\nversion = %q\nsha256 = %q\n", e.Name, e.Version, e.SHA256)
	}
	file, err := os.CreateTemp(filepath.Dir(l.path), ".pio.lock")
	if err != nil {
		return fmt.Errorf("%s cannot be written: %w", l.path, err)
	}
	defer os.Remove(file.Name()) // fails once it is renamed
	_, err = file.Write(b.Bytes())
	err = errors.Join(err, file.Chmod(0o644), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), l.path)
	}
	if err != nil {
		return fmt.Errorf("%s cannot be written: %w", l.path, err)
	}
	return nil
}
