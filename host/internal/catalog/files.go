package catalog

import (
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// candidate is a file that may be a plugin.
type candidate struct {
	path       string
	link       bool
	executable bool
}

// candidates lists the regular files of a folder, in the order of their names. Hidden ones are none.
func candidates(dir string) ([]candidate, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("the plugin folder cannot be read: %w", err)
	}
	var list []candidate
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		info, err := os.Stat(path) // of a link: of what it points to
		if err != nil || strings.HasPrefix(entry.Name(), ".") || !info.Mode().IsRegular() {
			continue
		}
		list = append(list, candidate{path, entry.Type()&fs.ModeSymlink != 0, info.Mode().Perm()&0o111 != 0})
	}
	return list, nil
}

// isThere says that something has the name, a link to nothing among others.
func isThere(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// pass says whether a file that is not executable is passed over in silence; a file that is a program, or has the name of a
// plugin in the lock, has probably lost its mode on the way here.
func (f candidate) pass(lock Lock) (silent bool, problem error) {
	switch {
	case f.executable:
		return false, nil
	case lock.names(f.path), isProgram(f.path):
		return false, fmt.Errorf("%s is not started: it is not executable; run `chmod +x %s`, or move it away if it is no plugin", f.path, f.path)
	}
	return true, nil
}

// isProgram says whether a file is a compiled program, and no library.
func isProgram(path string) bool {
	file, err := open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	magic := make([]byte, len(elf.ELFMAG))
	_, err = io.ReadFull(file, magic)
	return err == nil && string(magic) == elf.ELFMAG && !strings.Contains(filepath.Base(path), ".so")
}

// open opens a file that was regular; it may have become a pipe meanwhile.
func open(path string) (*os.File, error) { return os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) }

func hash(file *os.File) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return "", fmt.Errorf("%s cannot be read: %w", file.Name(), err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
