// folder.go tells what is not a checkpoint's folder.

package regular

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// mostNames is how many names of a folder are looked at.
const mostNames = 1000

// Folder returns an error unless path is a folder with a config.json in it, and says what it is instead: a file, the root of a hub
// cache, a folder of another kind of weights. That it is absent is fs.ErrNotExist.
func Folder(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: there is no such folder; %s: %w", path, published, fs.ErrNotExist)
	case err != nil:
		return fmt.Errorf("%s: cannot be examined: %w", path, reason(err))
	case !info.IsDir():
		f, _, err := Open(path)
		if err != nil {
			return err
		}
		f.Close()
		return fmt.Errorf("%s: is a file; %s", path, published)
	}
	if _, err := os.Lstat(filepath.Join(path, "config.json")); !errors.Is(err, fs.ErrNotExist) {
		return nil // what is wrong with it is told when it is read
	}
	names, err := list(path)
	if err != nil {
		return err
	}
	if slices.Contains(names, "snapshots") {
		return fmt.Errorf("%s: is the cache of a model's revisions; name one of them, such as %s", path, revision(path))
	}
	if other := OtherWeights(path); other != "" {
		return fmt.Errorf("%s: holds %s and no config.json; %s", path, other, published)
	}
	return fmt.Errorf("%s: there is no config.json; %s: %w", path, published, fs.ErrNotExist)
}

// OtherWeights names a file in a folder that holds weights in a form that is not read, "" if there is none.
func OtherWeights(dir string) string {
	names, _ := list(dir)
	for _, name := range names {
		switch strings.ToLower(filepath.Ext(name)) {
		case ".gguf", ".bin", ".pt", ".pth", ".h5", ".msgpack", ".onnx":
			return name
		}
	}
	return ""
}

func list(dir string) ([]string, error) {
	d, err := os.OpenFile(dir, flags, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: cannot be opened: %w", dir, reason(err))
	}
	defer d.Close()
	names, err := d.Readdirnames(mostNames)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: cannot be read: %w", dir, reason(err))
	}
	slices.Sort(names)
	return names, nil
}

// revision is the snapshot that the cache's main names, else any.
func revision(dir string) string {
	snapshots := filepath.Join(dir, "snapshots")
	if main, err := Read(filepath.Join(dir, "refs", "main"), 256); err == nil {
		name := strings.TrimSpace(string(main))
		if _, err := os.Stat(filepath.Join(snapshots, name)); err == nil && name != "" && filepath.IsLocal(name) {
			return filepath.Join(snapshots, name)
		}
	}
	if names, _ := list(snapshots); len(names) > 0 {
		return filepath.Join(snapshots, names[0])
	}
	return filepath.Join(snapshots, "REVISION")
}
