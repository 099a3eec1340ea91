package hub

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/host/internal/hub/hubtest"
)

// library runs the hub's own library, PyPI's huggingface_hub.
type library struct {
	t      *testing.T
	python string
	env    []string
}

func newLibrary(t *testing.T, s *hubtest.Server, cache string) *library {
	t.Helper()
	python := os.Getenv("PIO_HUB_PYTHON")
	if python == "" {
		t.Skip("capability: PIO_HUB_PYTHON names no Python that has huggingface_hub; `make hub` installs one")
	}
	env := append(os.Environ(), "HF_ENDPOINT="+s.URL, "HF_HUB_CACHE="+cache, "HF_HOME="+t.TempDir(), "HF_HUB_DISABLE_TELEMETRY=1", "HF_HUB_DISABLE_PROGRESS_BARS=1",
		"HF_TOKEN="+s.Token, "HF_HUB_DISABLE_UPDATE_CHECK=1", "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1")
	return &library{t, python, env}
}

func (l *library) run(command, repo string, into any) {
	l.t.Helper()
	cmd := exec.Command(l.python, "testdata/library.py", command, repo)
	cmd.Env = l.env
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		l.t.Fatalf("%s: %v\n%s", command, err, stderr.String())
	}
	if err := json.Unmarshal(out, into); err != nil {
		l.t.Fatalf("%s: %v: %q", command, err, out)
	}
}

// bodies are the requests that brought bytes of files.
func bodies(made []hubtest.Request) (paths []string) {
	for _, r := range made {
		if r.Method == "GET" && (r.Server == "cdn" || strings.Contains(r.Path, "resolve")) {
			paths = append(paths, r.Path)
		}
	}
	return paths
}

// What we have fetched the library finds without asking anybody, and it fetches only what we have left out.
func TestTheLibraryFindsWhatIsPulled(t *testing.T) {
	s, repo := hubtest.New(t), tiny()
	repo.Private = true
	s.Add("Org/Tiny", repo)
	c := quick(t, s)
	c.token = s.Token
	l := newLibrary(t, s, c.cache)
	p, err := pull(t, c, "Org/Tiny")
	if err != nil {
		t.Fatal(err)
	}
	s.Requests()
	var local struct{ Folder, Weights string }
	l.run("local", "Org/Tiny", &local)
	if local.Folder != p.Snapshot() || local.Weights != filepath.Join(p.Snapshot(), "model.safetensors") {
		t.Errorf("the library finds %+v, it is %s", local, p.Snapshot())
	}
	if made := s.Requests(); len(made) > 0 {
		t.Errorf("it asked for %v", made)
	}
	var scan struct {
		Warnings   []string
		Incomplete int
		Repos      map[string]struct {
			Size        int64
			Refs, Files []string
		}
	}
	l.run("scan", "", &scan)
	want := int64(100_000 + 3000 + len(repo.Files["config.json"]) + 1)
	if r := scan.Repos["Org/Tiny"]; len(scan.Warnings) > 0 || scan.Incomplete > 0 || r.Size != want || !slices.Equal(r.Refs, []string{"main"}) || len(r.Files) != len(taken) {
		t.Errorf("the library sees %+v; want %d bytes", scan, want)
	}
	var path string
	l.run("file", "Org/Tiny", &path)
	if got := bodies(s.Requests()); len(got) > 0 {
		t.Errorf("the library fetches %v again", got)
	}
	l.run("download", "Org/Tiny", &path)
	if got := bodies(s.Requests()); len(got) != 3 {
		t.Errorf("of the three files that were left out it fetches %v", got)
	}
	verified(l, repo)
}

func verified(l *library, repo hubtest.Repo) {
	l.t.Helper()
	var v struct {
		Checked, Mismatches int
		Missing, Extra      []string
	}
	l.run("verify", "Org/Tiny", &v)
	if v.Checked != len(repo.Files) || v.Mismatches > 0 || len(v.Missing) > 0 || len(v.Extra) > 0 {
		l.t.Errorf("the library's own check: %+v of %d files", v, len(repo.Files))
	}
}

// A snapshot that we have fetched whole the library knows to be whole, and one that has lost a file not to be.
func TestTheLibraryKnowsAWholeSnapshot(t *testing.T) {
	s, repo := hubtest.New(t), tiny()
	s.Add("Org/Tiny", repo)
	c := quick(t, s)
	l := newLibrary(t, s, c.cache)
	p, err := c.Plan(context.Background(), mustParse(t, "Org/Tiny"), true)
	if err == nil {
		err = c.Pull(context.Background(), p, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	verified(l, repo)
	var local struct{ Folder string }
	if l.run("local", "Org/Tiny", &local); local.Folder != p.Snapshot() {
		t.Errorf("the library finds %+v", local)
	}
	if err := os.Remove(filepath.Join(p.Snapshot(), "config.json")); err != nil {
		t.Fatal(err)
	}
	if l.run("local", "Org/Tiny", &local); !strings.Contains(local.Folder, "1 file(s) are missing (config.json)") {
		t.Errorf("the library says %q", local.Folder)
	}
}

// What the library has fetched is not fetched again, of a newer commit neither; and both ask the hub for the same.
func TestWhatTheLibraryHasIsNotPulled(t *testing.T) {
	s, repo := hubtest.New(t), tiny()
	s.Add("Org/Tiny", repo)
	c := quick(t, s)
	l := newLibrary(t, s, c.cache)
	var folder string
	l.run("download", "Org/Tiny", &folder)
	theirs := s.Requests()
	if got := bodies(theirs); len(got) < 7 {
		t.Errorf("the library fetched %v", got)
	}
	p, err := pull(t, c, "Org/Tiny")
	if err != nil || p.Missing != 0 || p.Snapshot() != folder {
		t.Errorf("%d bytes are missing in %s of what the library has in %s: %v", p.Missing, p.Snapshot(), folder, err)
	}
	ours := s.Requests()
	if got := bodies(ours); len(got) > 0 {
		t.Errorf("fetched again: %v", got)
	}
	asked := map[string]bool{}
	for _, r := range theirs {
		asked[r.Path] = true
	}
	for _, r := range ours {
		if !asked[r.Path] {
			t.Errorf("we ask for %s, the library does not", r.Path)
		}
	}
	next := tiny()
	next.Files["tokenizer.json"] = content(2000, 77)
	s.Add("Org/Tiny", next)
	p, err = pull(t, c, "Org/Tiny")
	if err != nil || p.Missing != 2000 {
		t.Errorf("of the next commit %d bytes are missing: %v", p.Missing, err)
	}
	holds(t, p, next, taken)
	var local struct{ Folder string }
	if l.run("local", "Org/Tiny", &local); local.Folder != p.Snapshot() {
		t.Errorf("the library finds %q", local.Folder)
	}
}

// Both at once on one cache: each file's bytes come once, and none is damaged.
func TestTheLibraryAndAPullAtOnce(t *testing.T) {
	s, repo := hubtest.New(t), tiny()
	s.Add("Org/Tiny", repo)
	c := quick(t, s)
	l := newLibrary(t, s, c.cache)
	s.Spoil("copy.safetensors", hubtest.Fault{Times: 1, Cut: 50_000})
	p, err := c.Plan(context.Background(), mustParse(t, "Org/Tiny"), false)
	if err != nil {
		t.Fatal(err)
	}
	pulled := make(chan error, 1)
	go func() { pulled <- c.Pull(context.Background(), p, nil) }()
	var folder string
	l.run("download", "Org/Tiny", &folder)
	if err := <-pulled; err != nil {
		t.Fatal(err)
	}
	holds(t, p, repo, slices.SortedFunc(maps.Keys(repo.Files), cmp.Compare[string]))
	verified(l, repo)
}

// Bytes that the library keeps for several repositories go with the last of them.
func TestTheLibrarysSharedFilesGoWithTheirLastUser(t *testing.T) {
	s, repo := hubtest.New(t), tiny()
	s.Add("Org/Tiny", repo)
	s.Add("Org/Other", repo)
	c := quick(t, s)
	l := newLibrary(t, s, c.cache)
	for _, name := range []string{"Org/Tiny", "Org/Other"} {
		if _, err := pull(t, c, name); err != nil {
			t.Fatal(err)
		}
		var shared bool
		if l.run("share", name, &shared); !shared {
			t.Fatal("the library shares nothing")
		}
	}
	store := filepath.Join(c.cache, "blobs/ab", strings.Repeat("ab", 32))
	if p, err := pull(t, c, "Org/Tiny"); err != nil || p.Missing != 0 {
		t.Errorf("%d bytes are missing of what is shared: %v", p.Missing, err)
	}
	for i, name := range []string{"Org/Tiny", "Org/Other"} {
		cached, _ := Find(c.cache, name)
		r, err := cached.Removal("")
		if err == nil {
			err = r.Do()
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(store); (err == nil) != (i == 0) {
			t.Errorf("after the removal of %s: %v", name, err)
		}
		if _, err := os.Stat(cached.Dir); err == nil {
			t.Errorf("%s is still there", cached.Dir)
		}
		var scan struct{ Warnings []string }
		if l.run("scan", "", &scan); len(scan.Warnings) > 0 {
			t.Errorf("the library complains: %q", scan.Warnings)
		}
	}
}
