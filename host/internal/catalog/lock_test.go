package catalog

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
)

var hashA, hashB = strings.Repeat("a1", 32), strings.Repeat("b2", 32)

func TestLockIsBesideItsFolder(t *testing.T) {
	for dir, want := range map[string]string{"bin/plugins": "bin/pio.lock", "/opt/pio/plugins/": "/opt/pio/pio.lock", "plugins": "pio.lock"} {
		if got := LockPath(dir); got != want {
			t.Errorf("%s: got %s, want %s", dir, got, want)
		}
	}
}

func TestWrittenLockReadsBack(t *testing.T) {
	s := newShelf(t, map[string]string{"z": "alpha 1.0.0-rc.1+b2 exact", "a": "beta_2 0.0.1 no"})
	listed, err := WriteLock(context.Background(), s.start, s.dir)
	if err != nil {
		t.Fatal(err)
	}
	lock, err := readLock(LockPath(s.dir))
	if err != nil {
		t.Fatal(err)
	}
	want := []Entry{
		{"alpha", "1.0.0-rc.1+b2", listed[1].SHA256},
		{"beta_2", "0.0.1", listed[0].SHA256},
	}
	if !reflect.DeepEqual(lock.entries, want) {
		t.Errorf("got %+v, want %+v", lock.entries, want)
	}
	if left, _ := filepath.Glob(filepath.Dir(s.dir) + "/.pio.lock*"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// A lock is written whole or not at all.
func TestLockIsKeptIfAPluginFails(t *testing.T) {
	s := newShelf(t, map[string]string{"alpha": "alpha 1.0.0 exact"})
	s.lock(t)
	before, _ := os.ReadFile(LockPath(s.dir))
	s.put(t, "beta", "")
	if _, err := WriteLock(context.Background(), s.start, s.dir); err == nil {
		t.Error("a plugin that does not start was listed")
	}
	s.put(t, "beta", "alpha 2.0.0 exact")
	if _, err := WriteLock(context.Background(), s.start, s.dir); err == nil || !strings.Contains(err.Error(), "alpha, or its sha256, has an entry already") {
		t.Errorf("two plugins of one name: %v", err)
	}
	if after, _ := os.ReadFile(LockPath(s.dir)); string(after) != string(before) {
		t.Errorf("the lock is now\n%s", after)
	}
}

func TestNeighboursShareALock(t *testing.T) {
	s := newShelf(t, map[string]string{"alpha": "alpha 1.0.0 exact"})
	other := filepath.Join(filepath.Dir(s.dir), "more")
	if err := os.Mkdir(other, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(other, "beta"), []byte("beta 1.0.0 no"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := WriteLock(context.Background(), s.start, s.dir, other); err != nil {
		t.Fatal(err)
	}
	if lock, err := readLock(LockPath(other)); err != nil || len(lock.entries) != 2 {
		t.Errorf("%+v, %v", lock, err)
	}
}

func TestDamagedLocks(t *testing.T) {
	entry := "[[plugin]]\nname = \"a\"\nversion = \"1.0.0\"\nsha256 = \"" + hashA + "\"\n"
	for _, test := range []struct{ name, text, want string }{
		{"syntax", "[[plug in]]\n", "pio.lock:1: "},
		{"type", "[[plugin]]\nname = 3\n", "pio.lock: toml: line 2 (last key \"plugin.name\"): "},
		{"unknown key", entry + "path = \"/bin/sh\"\n", "pio.lock: unknown key plugin.path; expected [[plugin]] with name, version, sha256"},
		{"no name", "[[plugin]]\nversion = \"1\"\n", `pio.lock: plugin[0]: name "": expected lower case letters, digits and underscores`},
		{"path for a name", strings.Replace(entry, `"a"`, `"../a"`, 1), `pio.lock: plugin[0]: name "../a": expected`},
		{"no version", strings.Replace(entry, "1.0.0", "", 1), `pio.lock: plugin[0]: version "" of a: expected one such as "1.0.0"`},
		{"short hash", strings.Replace(entry, hashA, "a1", 1), `pio.lock: plugin[0]: sha256 "a1" of a: expected 64 lower-case hex digits`},
		{"name twice", entry + strings.Replace(entry, hashA, hashB, 1), `pio.lock: plugin[1]: a, or its sha256, has an entry already`},
		{"hash twice", entry + strings.Replace(entry, `"a"`, `"b"`, 1), `pio.lock: plugin[1]: b, or its sha256, has an entry already`},
		{"too large", strings.Repeat("#\n", maxLockFile), "pio.lock: has 524288 bytes, more than the 262144 that are read"},
		{"too many", strings.Repeat("[[plugin]]\n", maxLockEntries+1), "pio.lock has more than 1000 entries"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "pio.lock")
			if err := os.WriteFile(path, []byte(test.text), 0o644); err != nil {
				t.Fatal(err)
			}
			if _, err := readLock(path); err == nil || !strings.HasPrefix(err.Error(), filepath.Dir(path)+"/"+test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
	if _, err := readLock(t.TempDir()); err == nil {
		t.Error("a folder was read as a lock")
	}
	pipe := filepath.Join(t.TempDir(), "pio.lock")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readLock(pipe); err == nil || !strings.Contains(err.Error(), "is a named pipe") { // nobody will ever write to it
		t.Errorf("a pipe: %v", err)
	}
}

// Whatever the text, there is an error or a lock whose entries are well-formed and found by their hash.
func FuzzLock(f *testing.F) {
	f.Add("[[plugin]]\nname = \"a\"\nversion = \"1.0.0\"\nsha256 = \"" + hashA + "\"\n")
	f.Add("plugin = [{name = \"a\"}]")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		lock, err := parseLock("pio.lock", []byte(text))
		if err != nil {
			return
		}
		for _, e := range lock.entries {
			if found, ok := lock.find(e.SHA256); !ok || found != e || len(e.SHA256) != 64 || e.Name == "" || strings.ContainsAny(e.Name, "/.\n") {
				t.Errorf("entry %+v, found %+v", e, found)
			}
		}
	})
}
