package catalog

import (
	"crypto/sha256"
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
	path string
	link bool
}

// candidates lists the executable files of a folder, in the order of their names.
func candidates(dir string) ([]candidate, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("the plugin folder cannot be read: %w", err)
	}
	var list []candidate
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		info, err := os.Stat(path) // of a link: of what it points to
		if err != nil || strings.HasPrefix(entry.Name(), ".") || !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
			continue
		}
		list = append(list, candidate{path: path, link: entry.Type()&fs.ModeSymlink != 0})
	}
	return list, nil
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
