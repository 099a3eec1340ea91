package fetch

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/inference-pio/inference-pio/internal/regular"
)

// file reads a file below an allowed folder. from is what the client wrote.
func (f *Fetcher) file(path, from string) ([]byte, error) {
	path = filepath.Clean(path)
	for _, dir := range f.rules.Dirs {
		name, err := filepath.Rel(dir, path)
		if err == nil && name != "." && filepath.IsLocal(name) {
			return f.below(dir, name, from)
		}
	}
	// The same words whether or not such a file exists.
	return nil, fmt.Errorf("%s is not in a folder that this host allows; pictures.dirs in models.toml lists them", quote(from))
}

// below opens name in dir. Symbolic links are followed only as far as they stay in dir.
func (f *Fetcher) below(dir, name, from string) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: its folder is not there", quote(from))
	}
	defer root.Close()
	file, err := regular.OpenIn(root, name)
	var kind *regular.KindError
	switch {
	case errors.As(err, &kind):
		return nil, fmt.Errorf("%s is no file", quote(from))
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s is not there", quote(from))
	case err != nil: // a link out of the folder, or no permission: which of them is not the client's business
		return nil, fmt.Errorf("%s cannot be opened", quote(from))
	}
	defer file.Close()
	return f.read(file, fmt.Errorf("%s cannot be read", quote(from)))
}

// read takes a whole picture, but not more than the most of one. broken is the error if it does not come to its end.
func (f *Fetcher) read(r io.Reader, broken error) ([]byte, error) {
	file, err := io.ReadAll(io.LimitReader(r, f.rules.MaxBytes+1))
	switch {
	case err != nil:
		return nil, broken
	case int64(len(file)) > f.rules.MaxBytes:
		return nil, f.tooLarge()
	}
	return file, looks(file)
}
