// mistaken.go knows by their first bytes the files that are found in place of a checkpoint's own.

package regular

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// mistaken returns an error if f is not what its name says.
func mistaken(f *os.File, path string) error {
	var head [64]byte
	n, err := f.ReadAt(head[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: cannot be read: %w", path, reason(err))
	}
	if what := disguise(head[:n], filepath.Dir(path)); what != "" {
		return fmt.Errorf("%s: %s", path, what)
	}
	return nil
}

// disguise says what a file that begins so is, if it is none of a checkpoint's.
func disguise(head []byte, dir string) string {
	text := bytes.ToLower(bytes.TrimSpace(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf"))))
	// The eight bytes of a safetensors file's length may look like anything; the high ones are zero, and then there is a brace.
	safetensors := len(head) > 8 && bytes.Equal(head[4:9], []byte("\x00\x00\x00\x00{"))
	switch {
	case bytes.HasPrefix(text, []byte("version https://git-lfs.github.com/spec/")):
		return "is a git-lfs pointer, the file itself was not downloaded; run `git lfs pull` in " + dir
	case bytes.HasPrefix(text, []byte("<!doctype html")), bytes.HasPrefix(text, []byte("<html")):
		return "is a web page that was saved in place of the file; download it again, with an access token if the model needs one"
	case safetensors:
	case bytes.HasPrefix(head, []byte("GGUF")):
		return "is a GGUF file; give it a name that ends in .gguf"
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte("\x80\x02")):
		return "is a PyTorch file (a pickle); " + published
	}
	return ""
}

const published = "a checkpoint is the folder that Hugging Face publishes, with config.json, tokenizer.json and *.safetensors, or a .gguf file"
