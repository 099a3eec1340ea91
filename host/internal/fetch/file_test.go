package fetch

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/inference-pio/inference-pio/host/internal/config"
)

const png = "\x89PNG\r\n\x1a\nrest"

// gallery is a folder of pictures beside one of secrets.
//
//	open/a.png, open/deep/b c.png, open/text.txt, open/large.png, open/pipe
//	open/inside -> deep            open/out -> ../secret     open/direct.png -> ../secret/s.png
//	secret/s.png                   link -> open
func gallery(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"open/a.png": png, "open/deep/b c.png": png + "2", "open/text.txt": "words", "open/large.png": png + strings.Repeat("x", 2000), "secret/s.png": png + "secret",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{
		"open/inside": "deep", "open/out": "../secret", "open/direct.png": "../secret/s.png", "open/absolute.png": filepath.Join(dir, "secret/s.png"), "link": "open",
	} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "open/pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestFilesBelowAnAllowedFolder(t *testing.T) {
	dir := gallery(t)
	f := New(config.Pictures{Dirs: []string{filepath.Join(dir, "open")}, MaxBytes: 1000})
	for from, want := range map[string]string{
		"DIR/open/a.png":                    png,
		"file://DIR/open/a.png":             png,
		"FILE://localhost/DIR/open/a.png":   png,
		"file://DIR/open/deep/b%20c.png":    png + "2",
		"DIR/open/deep/b c.png":             png + "2",
		"DIR/open/./deep/../a.png":          png,
		"DIR/secret/../open/a.png":          png,
		"DIR/open/inside/b c.png":           png + "2",
		"file://DIR/open/deep/%2e%2e/a.png": png,
	} {
		got, err := f.Fetch(t.Context(), strings.ReplaceAll(from, "DIR", dir))
		if err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", from, got, err)
		}
	}
	for from, want := range map[string]string{
		"DIR/secret/s.png":                    "is not in a folder that this host allows",
		"DIR/secret/none.png":                 "is not in a folder that this host allows", // the same words
		"DIR/open/../secret/s.png":            "is not in a folder that this host allows",
		"file://DIR/open/%2e%2e/secret/s.png": "is not in a folder that this host allows",
		"file://DIR/open%2f..%2fsecret/s.png": "is not in a folder that this host allows",
		"DIR/openly/a.png":                    "is not in a folder that this host allows",
		"DIR/open":                            "is not in a folder that this host allows",
		"DIR/open/":                           "is not in a folder that this host allows",
		"DIR/link/a.png":                      "is not in a folder that this host allows", // another name of the folder
		"/":                                   "is not in a folder that this host allows",
		"/proc/self/environ":                  "is not in a folder that this host allows",
		"DIR/open/out/s.png":                  "cannot be opened",
		"DIR/open/direct.png":                 "cannot be opened",
		"DIR/open/absolute.png":               "cannot be opened",
		"DIR/open/none.png":                   "is not there",
		"DIR/open/a.png/b":                    "cannot be opened",
		"DIR/open/a\x00.png":                  "cannot be opened",
		"DIR/open/deep":                       "is no file",
		"DIR/open/pipe":                       "is no file",
		"DIR/open/text.txt":                   "what is there is no picture; expected PNG, JPEG, WebP, GIF or BMP",
		"DIR/open/large.png":                  "larger than 1000 bytes",
		"file://elsewhere/DIR/open/a.png":     "names no file of this machine",
		"file:a.png":                          "names no file of this machine",
	} {
		got, err := f.Fetch(t.Context(), strings.ReplaceAll(from, "DIR", dir))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(string(got), "secret") {
			t.Errorf("%s: %q, %v; want %s", from, got, err, want)
		}
	}
}

// The operator may name the folder by a link.
func TestAFolderThatIsALink(t *testing.T) {
	dir := gallery(t)
	f := New(config.Pictures{Dirs: []string{filepath.Join(dir, "link"), filepath.Join(dir, "gone")}})
	if got, err := f.Fetch(t.Context(), filepath.Join(dir, "link/a.png")); err != nil || string(got) != png {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := f.Fetch(t.Context(), filepath.Join(dir, "gone/a.png")); err == nil || !strings.Contains(err.Error(), "its folder is not there") {
		t.Errorf("a folder that was removed: %v", err)
	}
}
