package hub

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/host/internal/hub/hubtest"
)

func TestWhatTheCacheHas(t *testing.T) {
	s := hubtest.New(t)
	q8, q4 := content(900, 1), content(500, 2)
	first := hubtest.Repo{Files: map[string][]byte{"Q-Q8_0.gguf": q8, "Q-Q4_K_M.gguf": q4, "mmproj-F16.gguf": content(70, 3)}}
	s.Add("Org/Q", first)
	s.Add("Org/Tiny", tiny())
	c := quick(t, s)
	for _, name := range []string{"Org/Q:Q8_0", "Org/Q:Q4_K_M", "Org/Tiny"} {
		if _, err := pull(t, c, name); err != nil {
			t.Fatal(err)
		}
	}
	second := hubtest.Repo{Files: map[string][]byte{"R-Q8_0.gguf": q8, "README.md": []byte("new")}} // the same bytes under another name
	s.Add("Org/Q", second)
	if _, err := pull(t, c, "Org/Q:Q8_0"); err != nil {
		t.Fatal(err)
	}
	list, err := List(c.cache)
	if err != nil || len(list) != 2 || list[0].Repo != "Org/Q" || list[1].Repo != "Org/Tiny" {
		t.Fatalf("%v, %v", list, err)
	}
	q := list[0]
	if at := filepath.Join(q.Dir, "snapshots", second.Commit()); q.Snapshot() != at {
		t.Errorf("the snapshot is %s, want %s", q.Snapshot(), at)
	}
	if got, ok := Holding(c.cache, filepath.Join(q.Snapshot(), "R-Q8_0.gguf")); !ok || got != q {
		t.Errorf("%+v", got)
	}
	for _, path := range []string{"/elsewhere/m.gguf", filepath.Join(c.cache, "version.txt"), filepath.Join(c.cache, "models--no--such", "x"), c.cache + "/../x"} {
		if got, ok := Holding(c.cache, path); ok {
			t.Errorf("%s is in %+v", path, got)
		}
	}
	r, err := q.Removal("Q4_K_M")
	if err != nil || r.Bytes != 500 || len(r.Links) != 1 || len(r.Blobs) != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	if err := r.Do(); err != nil {
		t.Fatal(err)
	}
	left := strings.Join(files(t, q.Dir), "\n")
	if strings.Contains(left, "Q4_K_M") || strings.Contains(left, hubtest.SHA256(q4)) || strings.Count(left, "-Q8_0.gguf") != 2 || !strings.Contains(left, "mmproj") {
		t.Errorf("left is\n%s", left)
	}
	if _, err := q.Removal("Q4_K_M"); err == nil || !strings.Contains(err.Error(), "Org/Q holds no GGUF file Q4_K_M") {
		t.Error(err)
	}
	r, err = q.Removal("Q-Q8_0.gguf") // with the tower that then stands beside nothing
	if err != nil || len(r.Links) != 2 || r.Bytes != 70 {
		t.Fatalf("%+v, %v", r, err)
	}
	if err := r.Do(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(q.Snapshot(), "R-Q8_0.gguf")); err != nil {
		t.Error(err)
	}
	r, err = q.Removal("Q8_0") // the last
	if err != nil || r.Links != nil || r.Bytes != 900 {
		t.Fatalf("%+v, %v", r, err)
	}
	if err := r.Do(); err != nil {
		t.Fatal(err)
	}
	if left := files(t, c.cache); slices.ContainsFunc(left, func(f string) bool { return strings.Contains(f, "Org--Q") }) {
		t.Errorf("left is %q", left)
	}
	if r, err = list[1].Removal(""); err != nil || r.Do() != nil || r.Bytes != 100_000+3000+int64(len(tiny().Files["config.json"]))+1 {
		t.Errorf("%+v, %v", r, err)
	}
}

// A list of users that cannot be read, or that names one, keeps what is shared.
func TestSharedFilesAreNotSweptBlindly(t *testing.T) {
	cache := t.TempDir()
	hash := strings.Repeat("cd", 32)
	store := filepath.Join(cache, "blobs/cd", hash)
	user := filepath.Join(cache, "models--a--b/blobs/x")
	for _, dir := range []string{filepath.Dir(store), filepath.Dir(user)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	put := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	there := func() bool { _, err := os.Stat(store); return err == nil }
	put(store, "bytes")
	if err := sweep(cache, store); err != nil || !there() {
		t.Errorf("without a list: %v", err)
	}
	put(store+".refs", "../../etc/x\nmodels--a--b/blobs/x\n")
	if err := os.Symlink("../../blobs/cd/"+hash, user); err != nil {
		t.Fatal(err)
	}
	if to, ok := sharedBlob(filepath.Join(cache, "models--a--b"), user); !ok || to != store {
		t.Errorf("%q, %v", to, ok)
	}
	if err := sweep(cache, store); err != nil || !there() {
		t.Errorf("with a user: %v", err)
	}
	if err := os.Remove(user); err != nil {
		t.Fatal(err)
	}
	if err := sweep(cache, store); err != nil || there() {
		t.Errorf("without one: %v", err)
	}
	if err := os.Symlink("/etc/"+hash, user); err != nil {
		t.Fatal(err)
	}
	if to, ok := sharedBlob(filepath.Join(cache, "models--a--b"), user); ok {
		t.Errorf("a link to %s is taken for a shared one", to)
	}
}
