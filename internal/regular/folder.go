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
		return absentError(path + ": there is no such folder; " + published)
	case err != nil:
		return fmt.Errorf("%s: cannot be examined: %w", path, reason(err))
	case !info.IsDir():
		f, _, err := Open(path)
		if err != nil {
			return err
		}
		f.Close()
		if what := byName(path); what != "" {
			return fmt.Errorf("%s: is %s; %s", path, what, published)
		}
		return fmt.Errorf("%s: is a file; %s", path, published)
	}
	if _, err := os.Lstat(filepath.Join(path, "config.json")); !errors.Is(err, fs.ErrNotExist) {
		return nil // what is wrong with it is told when it is read
	}
	names, err := List(path)
	if err != nil {
		return err
	}
	if slices.Contains(names, "snapshots") {
		return fmt.Errorf("%s: is the cache of a model's revisions; name one of them, such as %s", path, revision(path))
	}
	if cached := slices.IndexFunc(names, func(name string) bool { return strings.HasPrefix(name, "models--") }); cached >= 0 {
		return fmt.Errorf("%s: is the cache of many models; name one of them, such as %s", path, filepath.Join(path, names[cached]))
	}
	if other := OtherWeights(path); IsGGUF(other) {
		return fmt.Errorf("%s: holds %s and no config.json; name the file itself, %s", path, other, filepath.Join(path, other))
	} else if other != "" {
		return fmt.Errorf("%s: holds %s and no config.json; %s", path, other, published)
	}
	return absentError(path + ": there is no config.json; " + published)
}

// absentError is fs.ErrNotExist, in a sentence.
type absentError string

func (e absentError) Error() string        { return string(e) }
func (e absentError) Is(target error) bool { return target == fs.ErrNotExist }

// byName says what a file that is named in place of its folder is.
func byName(path string) string {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".bin", ".pt", ".pth":
		return "a PyTorch file, which is not read"
	case ".safetensors", ".json":
		return "a file of a checkpoint; name its folder, " + filepath.Dir(path)
	}
	return ""
}

// Snapshot finds the revision in the root of a model's hub cache: the one that refs/main names, else the only one. ok is false
// for any other folder, and where several could be meant.
func Snapshot(dir string) (path string, ok bool) {
	if _, err := os.Lstat(filepath.Join(dir, "config.json")); err == nil {
		return "", false
	}
	if path, ok = mainRevision(dir); ok {
		return path, true
	}
	names, err := List(filepath.Join(dir, "snapshots"))
	if err != nil || len(names) != 1 {
		return "", false
	}
	return filepath.Join(dir, "snapshots", names[0]), true
}

// OtherWeights names a file in a folder that holds weights in a form that is not read, "" if there is none.
func OtherWeights(dir string) string {
	names, _ := List(dir)
	for _, name := range names {
		switch strings.ToLower(filepath.Ext(name)) {
		case ".gguf", ".bin", ".pt", ".pth", ".h5", ".msgpack", ".onnx":
			return name
		}
	}
	return ""
}

// NoTensors is the error of a checkpoint's folder that has none of the files that its weights would be in, and says what it has instead.
func NoTensors(dir, single, index string) error {
	also := "; is the download complete?"
	if other := OtherWeights(dir); IsGGUF(other) {
		also = fmt.Sprintf(", only %s; name that file itself", other)
	} else if other != "" {
		also = fmt.Sprintf(", only %s, which is not read; download the model's safetensors or convert it to them", other)
	}
	return fmt.Errorf("checkpoint %s: holds neither %s nor %s%s", dir, single, index, also)
}

// List is the names in a folder, sorted; of a very large one not all.
func List(dir string) ([]string, error) {
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

// mainRevision is the snapshot that the cache's main names.
func mainRevision(dir string) (path string, ok bool) {
	main, err := Read(filepath.Join(dir, "refs", "main"), 256)
	name := strings.TrimSpace(string(main))
	if err != nil || name == "" || !filepath.IsLocal(name) {
		return "", false
	}
	path = filepath.Join(dir, "snapshots", name)
	info, err := os.Stat(path)
	return path, err == nil && info.IsDir()
}

// revision is the snapshot that the cache's main names, else any.
func revision(dir string) string {
	if path, ok := mainRevision(dir); ok {
		return path
	}
	snapshots := filepath.Join(dir, "snapshots")
	if names, _ := List(snapshots); len(names) > 0 {
		return filepath.Join(snapshots, names[0])
	}
	return filepath.Join(snapshots, "REVISION")
}
