// gguf.go knows checkpoints that are one file, or several of which the first is named.

package regular

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// IsGGUF says whether a path names a GGUF file: by its end, since what is not there yet, or no longer, was meant as one all the same. Ollama
// keeps such files by their hashes, without that end.
func IsGGUF(path string) bool {
	return strings.EqualFold(filepath.Ext(path), ".gguf") || IsBlob(filepath.Base(path))
}

var blobName = regexp.MustCompile(`^sha256-[0-9a-f]{64}$`)

// IsBlob says whether a file is named as Ollama names those of its store.
func IsBlob(name string) bool { return blobName.MatchString(name) }

// OpenGGUF is [Open] of a file that must be a GGUF file.
func OpenGGUF(path string) (*os.File, int64, error) {
	return open(path, func(f *os.File, path string) error {
		var head [4]byte
		if n, _ := f.ReadAt(head[:], 0); bytes.Equal(head[:n], []byte("GGUF")) {
			return nil
		}
		if err := mistaken(f, path); err != nil {
			return err
		}
		return fmt.Errorf("%s: is named as a GGUF file and is none; is the download complete?", path)
	})
}

// Checkpoint returns an error unless path is a checkpoint: a GGUF file, or a [Folder].
func Checkpoint(path string) error {
	if info, err := os.Stat(path); !IsGGUF(path) || err == nil && info.IsDir() {
		return Folder(path)
	}
	f, _, err := OpenGGUF(path)
	if err != nil {
		return err
	}
	return f.Close()
}
