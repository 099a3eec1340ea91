package regular

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func link(t *testing.T, to, path string) string {
	t.Helper()
	if err := os.Symlink(to, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// kinds makes one of everything that may stand where a file should.
func kinds(t *testing.T) (dir string, is map[string]string) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "socket")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	link(t, "/dev/zero", filepath.Join(dir, "device"))
	link(t, "pipe", filepath.Join(dir, "to a pipe"))
	link(t, "folder", filepath.Join(dir, "to a folder"))
	return dir, map[string]string{"pipe": "is a named pipe", "socket": "is a socket", "folder": "is a directory", "device": "is a device",
		"to a pipe": "is a named pipe", "to a folder": "is a directory"}
}

// A pipe has no writer here: who waits for one waits for ever.
func TestOnlyRegularFilesAreOpened(t *testing.T) {
	dir, is := kinds(t)
	for name, want := range is {
		path := filepath.Join(dir, name)
		for how, open := range map[string]func() error{
			"Open": func() error { _, _, err := Open(path); return err },
			"Read": func() error { _, err := Read(path, 1000); return err },
		} {
			var kind *KindError
			if err := open(); !errors.As(err, &kind) || !strings.HasPrefix(err.Error(), path+": "+want) {
				t.Errorf("%s of %s: %v", how, name, err)
			}
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, name := range []string{"pipe", "folder", "to a pipe"} {
		var kind *KindError
		if _, err := OpenIn(root, name); !errors.As(err, &kind) {
			t.Errorf("OpenIn of %s: %v", name, err)
		}
	}
}

func TestRegularFilesAreReadThroughLinks(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "blobs/ab"), "text")
	path := link(t, "blobs/ab", filepath.Join(dir, "config.json"))
	if text, err := Read(path, 4); string(text) != "text" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if text, err := Read(write(t, filepath.Join(dir, "empty"), ""), 4); len(text) != 0 || err != nil {
		t.Errorf("an empty file: %q, %v", text, err)
	}
	if _, err := Read(path, 3); err == nil || err.Error() != path+": has 4 bytes, more than the 3 that are read" {
		t.Errorf("a larger file: %v", err)
	}
	f, size, err := Open(path)
	if err != nil || size != 4 {
		t.Fatalf("%d, %v", size, err)
	}
	f.Close()
}

func TestAbsentFilesAreToldFromLinksToNothing(t *testing.T) {
	dir := t.TempDir()
	if _, err := Read(filepath.Join(dir, "none"), 9); !errors.Is(err, fs.ErrNotExist) || !strings.HasSuffix(err.Error(), "none: there is no such file: file does not exist") {
		t.Errorf("an absent file: %v", err)
	}
	_, err := Read(link(t, "../blobs/cd", filepath.Join(dir, "config.json")), 9)
	if err == nil || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "is a link to ../blobs/cd, where there is nothing") {
		t.Errorf("a link to nothing: %v", err)
	}
}

func TestFilesAreNamedForWhatTheyAre(t *testing.T) {
	for text, want := range map[string]string{
		"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n": "is a git-lfs pointer",
		"\xef\xbb\xbf\n<!DOCTYPE html><title>Sign in</title>":                 "is a web page",
		"<html>":                 "is a web page",
		"GGUF\x03\x00\x00\x00":   "is a GGUF file",
		"PK\x03\x04\x00\x00\x08": "is a PyTorch file",
		"\x80\x02\x8a\nl\xfc":    "is a PyTorch file",
	} {
		path := write(t, filepath.Join(t.TempDir(), "f"), text)
		if _, _, err := Open(path); err == nil || !strings.HasPrefix(err.Error(), path+": "+want) {
			t.Errorf("%q: %v; want %s", text, err, want)
		}
	}
	for _, text := range []string{
		"", "{}", "{{ bos_token }}", "version https://git", "<|im_start|>", "PK",
		"\x80\x02\x00\x00\x00\x00\x00\x00{", "PK\x03\x04\x00\x00\x00\x00{", // safetensors whose headers have such lengths
	} {
		f, _, err := Open(write(t, filepath.Join(t.TempDir(), "f"), text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		f.Close()
	}
}

func TestFoldersThatAreNoCheckpoints(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	write(t, at("model/config.json"), "{}")
	write(t, at("model/pytorch_model.bin"), "x")
	write(t, at("gguf/q.GGUF"), "x")
	write(t, at("empty/README.md"), "x")
	write(t, at("file.gguf"), "GGUF....")
	write(t, at("file.txt"), "words")
	write(t, at("cache/refs/main"), "abc\n")
	write(t, at("cache/snapshots/abc/config.json"), "{}")
	write(t, at("cache/snapshots/0/config.json"), "{}")
	write(t, at("branch/snapshots/def/config.json"), "{}")
	write(t, at("escape/refs/main"), "../../model")
	write(t, at("escape/snapshots/def/config.json"), "{}")
	if err := Folder(at("model")); err != nil {
		t.Error(err)
	}
	if other := OtherWeights(at("model")); other != "pytorch_model.bin" {
		t.Errorf("other weights: %q", other)
	}
	for name, want := range map[string]string{
		"none": "there is no such folder", "gguf": "name the file itself, ", "empty": "there is no config.json",
		"file.txt": "is a file; a checkpoint is the folder",
		"cache":    "name one of them, such as " + at("cache/snapshots/abc"),
		"branch":   "name one of them, such as " + at("branch/snapshots/def"),
		"escape":   "name one of them, such as " + at("escape/snapshots/def"),
	} {
		err := Folder(at(name))
		if err == nil || !strings.HasPrefix(err.Error(), at(name)+": ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %s", name, err, want)
		}
		if absent := name == "none" || name == "empty"; errors.Is(err, fs.ErrNotExist) != absent {
			t.Errorf("%s: %v is absent: %v", name, err, !absent)
		}
	}
}

// Ollama's store has GGUF files under their hashes.
func TestFilesThatAreGGUFByName(t *testing.T) {
	hash := strings.Repeat("0a", 32)
	for path, want := range map[string]bool{
		"a/m.gguf": true, "m.GGUF": true, "blobs/sha256-" + hash: true, "sha256-" + hash + "x": false, "sha256-" + hash[1:]: false, "sha256:" + hash: false, "gguf": false,
	} {
		if got := IsGGUF(path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
	blob := filepath.Join(t.TempDir(), "sha256-"+hash)
	write(t, blob, "GGUF....")
	if err := Checkpoint(blob); err != nil {
		t.Error(err)
	}
	write(t, blob, `{"model_format": "gguf"}`)
	if err := Checkpoint(blob); err == nil || !strings.Contains(err.Error(), "is named as a GGUF file and is none") {
		t.Error(err)
	}
}
