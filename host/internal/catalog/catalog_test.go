package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
)

// shelf is a plugin folder whose binaries are fakes: a file's content is the plugin's name and version and how well it
// fits the checkpoint "/model", such as "alpha 1.0.0 exact".
type shelf struct {
	dir string // of the plugins; its parent has the lock

	mu      sync.Mutex
	started []string // base names, in order
}

func newShelf(t *testing.T, files map[string]string) *shelf {
	t.Helper()
	s := &shelf{dir: filepath.Join(t.TempDir(), "plugins")}
	if err := os.Mkdir(s.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		s.put(t, name, content)
	}
	return s
}

func (s *shelf) put(t *testing.T, name, content string) {
	t.Helper()
	path := filepath.Join(s.dir, name)
	os.Remove(path)
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
}

func (s *shelf) start(_ context.Context, p Plugin) (Running, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started = append(s.started, filepath.Base(p.Path))
	content, err := os.ReadFile(p.Path)
	if err != nil {
		return nil, err
	}
	f := &fake{shelf: s}
	if _, err := fmt.Sscan(string(content), &f.name, &f.version, &f.fit); err != nil {
		return nil, fmt.Errorf("%s is broken", p.Path)
	}
	return f, nil
}

func (s *shelf) open(t *testing.T, unlocked bool) *Catalog {
	t.Helper()
	c, err := Open(context.Background(), Options{Dirs: []string{s.dir}, AllowUnlocked: unlocked, Start: s.start})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// lock lists what is on the shelf and forgets that it had to be started for that.
func (s *shelf) lock(t *testing.T) {
	t.Helper()
	if _, err := WriteLock(context.Background(), s.start, s.dir); err != nil {
		t.Fatal(err)
	}
	s.started = nil
}

type fake struct {
	shelf              *shelf
	name, version, fit string
}

func (f *fake) Describe(context.Context) (sdk.Description, error) {
	return sdk.Description{Name: f.name, Version: f.version}, nil
}

func (f *fake) Inspect(_ context.Context, req sdk.InspectRequest) (sdk.Inspection, error) {
	fits := map[string]sdk.Fit{"exact": sdk.FitExact, "family": sdk.FitFamily, "no": sdk.FitNone}
	fit, ok := fits[f.fit]
	if !ok {
		return sdk.Inspection{}, errors.New("config.json: unexpected end")
	}
	return sdk.Inspection{Fit: fit, Reason: "not a " + f.name}, nil
}

func (f *fake) Close() {}

func names(plugins []Plugin) []string {
	var list []string
	for _, p := range plugins {
		list = append(list, p.Name+" "+p.Version)
	}
	return list
}

func TestListedPluginsAreKnownWithoutBeingStarted(t *testing.T) {
	s := newShelf(t, map[string]string{"b-binary": "beta 2.0.0 no", "alpha": "alpha 1.0.0 exact"})
	s.lock(t)
	c := s.open(t, false)
	if got, want := names(c.Plugins()), []string{"alpha 1.0.0", "beta 2.0.0"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, p := range c.Plugins() {
		if !p.Locked || p.Pin() != p.SHA256 || len(p.SHA256) != 64 {
			t.Errorf("%+v is not pinned", p)
		}
	}
	if len(s.started) > 0 || len(c.Problems()) > 0 {
		t.Errorf("started %q, problems %v", s.started, c.Problems())
	}
}

func TestUnlistedBinaryIsNotStarted(t *testing.T) {
	s := newShelf(t, map[string]string{"alpha": "alpha 1.0.0 exact"})
	s.lock(t)
	s.put(t, "alpha", "alpha 1.0.1 exact")
	s.put(t, "beta", "beta 1.0.0 exact")
	c := s.open(t, false)
	lock := LockPath(s.dir)
	want := []string{
		s.dir + "/alpha is not started: it is not the binary that " + lock + " lists; if you rebuilt it, run `piohost plugin lock`",
		s.dir + "/beta is not started: " + lock + " does not list it; if you trust it, run `piohost plugin lock`",
	}
	if got := texts(c.Problems()); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if len(c.Plugins()) != 0 || len(s.started) != 0 {
		t.Errorf("plugins %v, started %q", c.Plugins(), s.started)
	}
	if _, err := c.Named("beta"); err == nil || !strings.Contains(err.Error(), want[1]) {
		t.Errorf("got %v", err)
	}
	if _, _, err := c.Choose(context.Background(), sdk.InspectRequest{Path: "/model"}); err == nil || !strings.Contains(err.Error(), want[0]) {
		t.Errorf("got %v", err)
	}
}

func TestUnlistedBinaryIsAskedIfTheConfigSaysSo(t *testing.T) {
	s := newShelf(t, map[string]string{"alpha": "alpha 1.0.0 exact", "bad": "", "worse": "UPPER 1.0.0 no"})
	c := s.open(t, true)
	p, err := c.Named("alpha")
	if err != nil || p.Locked || p.Pin() != "" || p.Version != "1.0.0" {
		t.Errorf("%+v, %v", p, err)
	}
	if got := texts(c.Problems()); len(got) != 2 || !strings.Contains(got[0], "bad is broken") || !strings.Contains(got[1], `says its name is "UPPER"`) {
		t.Errorf("problems %q", got)
	}
}

func TestLinks(t *testing.T) {
	s := newShelf(t, map[string]string{"alpha": "alpha 1.0.0 exact"})
	s.lock(t)
	elsewhere := filepath.Join(t.TempDir(), "real")
	if err := os.Rename(filepath.Join(s.dir, "alpha"), elsewhere); err != nil {
		t.Fatal(err)
	}
	stranger := filepath.Join(t.TempDir(), "stranger")
	if err := os.WriteFile(stranger, []byte("eve 1.0.0 exact"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"alpha": elsewhere, "eve": stranger, "folder": t.TempDir(), "nowhere": "/does/not/exist"} {
		if err := os.Symlink(target, filepath.Join(s.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	c := s.open(t, true)
	if got := names(c.Plugins()); !slices.Equal(got, []string{"alpha 1.0.0"}) {
		t.Errorf("got %q", got)
	}
	if got := texts(c.Problems()); len(got) != 1 || !strings.Contains(got[0], "eve is a link to a binary that no pio.lock lists") {
		t.Errorf("problems %q", got)
	}
}

func TestWhatIsNoPluginIsPassedOver(t *testing.T) {
	s := newShelf(t, map[string]string{".hidden": "x 1 no"})
	if err := os.WriteFile(filepath.Join(s.dir, "README"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(s.dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	c := s.open(t, true)
	if len(c.Plugins()) != 0 || len(c.Problems()) != 0 || len(s.started) != 0 {
		t.Errorf("plugins %v, problems %v, started %q", c.Plugins(), c.Problems(), s.started)
	}
}

func TestNameInTwoPlaces(t *testing.T) {
	first := newShelf(t, map[string]string{"alpha": "alpha 1.0.0 exact", "one": "twin 1.0.0 no", "two": "twin 1.0.1 no"})
	second := newShelf(t, map[string]string{"alpha": "alpha 2.0.0 exact", "beta": "beta 1.0.0 no"})
	c, err := Open(context.Background(), Options{Dirs: []string{first.dir, second.dir}, AllowUnlocked: true, Start: first.start})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := names(c.Plugins()), []string{"alpha 1.0.0", "beta 1.0.0"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	want := []string{
		first.dir + "/one and " + first.dir + "/two all say that they are twin; none is used, remove all but one",
		second.dir + "/alpha is not used: " + first.dir + "/alpha is also alpha and comes first",
	}
	if got := texts(c.Problems()); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Of plugins that run another size of their family the first is taken, without the user; two that claim one checkpoint as their own stay an error.
func TestSettle(t *testing.T) {
	for want, files := range map[string]map[string]string{
		"gamma [beta]": {"a": "gamma 1.0.0 family", "b": "beta 1.0.0 family", "c": "alpha 1.0.0 no"},
		"gamma []":     {"a": "gamma 1.0.0 exact", "b": "beta 1.0.0 family"},
		" []":          {"a": "gamma 1.0.0 exact", "b": "beta 1.0.0 exact"},
	} {
		s := newShelf(t, files)
		s.lock(t)
		p, in, others, err := s.open(t, false).Settle(context.Background(), sdk.InspectRequest{Path: "/model"})
		var rest []string
		for _, o := range others {
			rest = append(rest, o.Name)
		}
		if got := fmt.Sprint(p.Name, " ", rest); got != want || (err == nil) != (p.Name != "") || (err == nil) != (in.Fit != sdk.FitNone) {
			t.Errorf("got %s, %+v, %v; want %s", got, in, err, want)
		}
	}
}

func TestChoose(t *testing.T) {
	for _, test := range []struct {
		name  string
		files map[string]string
		want  string // plugin or error, DIR for the folder
	}{
		{"the only one", map[string]string{"a": "alpha 1.0.0 family", "b": "beta 1.0.0 no"}, "alpha"},
		{"exact beats family", map[string]string{"a": "alpha 1.0.0 family", "b": "beta 1.0.0 exact", "c": "gamma 1.0.0 family"}, "beta"},
		{"one that fails does not matter", map[string]string{"a": "alpha 1.0.0 error", "b": "beta 1.0.0 family"}, "beta"},
		{"tie", map[string]string{"a": "alpha 1.0.0 exact", "b": "beta 1.0.0 exact", "c": "gamma 1.0.0 family"},
			"2 plugins claim /model (fit: exact); add one of these lines to its [[model]] in models.toml, or name one with --plugin:\n" +
				"    plugin = \"alpha\"   # DIR/a\n    plugin = \"beta\"   # DIR/b"},
		{"nobody", map[string]string{"a": "alpha 1.0.0 no", "b": "beta 1.0.0 error"},
			"no plugin can run /model\n    alpha: not a alpha\n    beta: config.json: unexpected end"},
		{"nobody, for one reason", map[string]string{"a": "alpha 1.0.0 error", "b": "beta 1.0.0 no", "c": "gamma 1.0.0 error"},
			"no plugin can run /model\n    alpha, gamma: config.json: unexpected end\n    beta: not a beta"},
		{"none there", nil, "no plugin can run /model: there is none in DIR"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newShelf(t, test.files)
			s.lock(t)
			p, inspection, err := s.open(t, false).Choose(context.Background(), sdk.InspectRequest{Path: "/model"})
			if err != nil {
				if want := strings.ReplaceAll(test.want, "DIR", s.dir); err.Error() != want {
					t.Errorf("got  %s\nwant %s", err, want)
				}
			} else if p.Name != test.want || inspection.Fit == sdk.FitNone {
				t.Errorf("got %s with %+v, want %s", p.Name, inspection, test.want)
			}
		})
	}
}

func TestLockThatDoesNotAgreeWithThePlugin(t *testing.T) {
	s := newShelf(t, map[string]string{"alpha": "alpha 1.0.0 exact"})
	s.lock(t)
	text, err := os.ReadFile(LockPath(s.dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(LockPath(s.dir), []byte(strings.Replace(string(text), "1.0.0", "1.5.0", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	c := s.open(t, false)
	want := s.dir + "/alpha says it is alpha 1.0.0, but was listed as alpha 1.5.0; run `piohost plugin lock`"
	if _, err := c.Inspect(context.Background(), c.Plugins()[0], sdk.InspectRequest{}); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestUnreadableFolder(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none")
	if _, err := Open(context.Background(), Options{Dirs: []string{missing}}); err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("got %v", err)
	}
}

func texts(errs []error) []string {
	var list []string
	for _, err := range errs {
		list = append(list, err.Error())
	}
	return list
}

func TestNamedListsWhatThereIs(t *testing.T) {
	s := newShelf(t, map[string]string{"alpha": "alpha 1.0.0 exact", "beta": "beta 1.0.0 exact"})
	s.lock(t)
	want := "no plugin gamma in " + s.dir + "; there are alpha, beta"
	if _, err := s.open(t, false).Named("gamma"); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// A host looks before each start: what it has hashed or asked once it knows, and what has changed it sees.
func TestALookRemembersTheLastOne(t *testing.T) {
	s := newShelf(t, map[string]string{"alpha": "alpha 1.0.0 exact"})
	path := filepath.Join(s.dir, "alpha")
	if err := os.Chtimes(path, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	o := Options{Dirs: []string{s.dir}, AllowUnlocked: true, Start: s.start, Memory: new(Memory), Log: slog.New(slog.NewTextHandler(&log, nil))}
	look := func(want string) {
		t.Helper()
		c, err := Open(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(names(c.Plugins()), ", "); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	look("alpha 1.0.0")
	look("alpha 1.0.0")
	if len(s.started) != 1 {
		t.Errorf("it was started for %q", s.started)
	}
	s.put(t, "alpha", "alpha 1.0.1 exact")
	look("alpha 1.0.1")
	s.put(t, "twin", "alpha 1.0.1 no")
	look("")
	look("")
	if n := strings.Count(log.String(), "none is used"); n != 1 {
		t.Errorf("the problem was told %d times:\n%s", n, log.String())
	}
	os.Remove(filepath.Join(s.dir, "twin"))
	look("alpha 1.0.1")
	s.put(t, "twin", "alpha 1.0.1 no")
	look("")
	if n := strings.Count(log.String(), "none is used"); n != 2 {
		t.Errorf("the problem that came back was told %d times:\n%s", n, log.String())
	}
}

// A file's hash is known by its times only when they are old enough to tell its versions apart.
func TestAHashIsRememberedOnlyOfAFileThatHasSettled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	var m Memory
	if _, err := m.sumOf(path); err != nil || len(m.sums) != 0 {
		t.Errorf("%v, remembered %v", err, m.sums)
	}
}

func TestAMarkChangesWithTheFiles(t *testing.T) {
	dir := t.TempDir()
	file, elsewhere := filepath.Join(dir, "config.json"), filepath.Join(t.TempDir(), "blob")
	old := Mark(dir)
	steps := []struct {
		what   string
		change func() error
	}{
		{"a file that comes", func() error { return os.WriteFile(file, []byte("{}"), 0o600) }},
		{"a link that comes", func() error { return os.Symlink(elsewhere, filepath.Join(dir, "weights")) }},
		{"what a link points to", func() error { return os.WriteFile(elsewhere, []byte("1"), 0o600) }},
		{"a file that grows", func() error { return os.WriteFile(file, []byte("{} "), 0o600) }},
		{"a file whose time changes", func() error { return os.Chtimes(file, time.Time{}, time.Unix(1, 0)) }},
		{"a folder that goes away", func() error { return os.RemoveAll(dir) }},
	}
	for _, s := range steps {
		if err := s.change(); err != nil {
			t.Fatal(err)
		}
		now := Mark(dir)
		if now == old || now != Mark(dir) {
			t.Errorf("%s: %s, before %s", s.what, now, old)
		}
		old = now
	}
}

// What could not be asked may be answered the next time; a no is a no.
func TestUndecided(t *testing.T) {
	for name, c := range map[string]struct {
		files     map[string]string
		unlocked  bool
		undecided bool
	}{
		"all refuse":           {map[string]string{"a": "alpha 1.0.0 no"}, false, false},
		"one finds it damaged": {map[string]string{"a": "alpha 1.0.0 error"}, false, false},
		"one does not start":   {map[string]string{"a": "alpha 1.0.0 no", "b": "broken"}, true, true},
		"not listed":           {map[string]string{"a": "alpha 1.0.0 exact"}, false, false},
	} {
		s := newShelf(t, c.files)
		if name != "not listed" && !c.unlocked {
			s.lock(t)
		}
		cat := s.open(t, c.unlocked)
		_, _, choice := cat.Choose(context.Background(), sdk.InspectRequest{Path: "/model"})
		_, named := cat.Named("gamma")
		for _, err := range []error{choice, named} {
			var undecided *Undecided
			if err == nil || errors.As(err, &undecided) != c.undecided {
				t.Errorf("%s: undecided should be %v: %v", name, c.undecided, err)
			}
		}
	}
}

// A copy or a download may lose the executable bit; "there is no such plugin" would send its user the wrong way.
func TestPluginWithoutItsExecutableBit(t *testing.T) {
	s := newShelf(t, map[string]string{"alpha": "alpha 1.0.0 exact"})
	s.lock(t)
	program := "\x7fELF..."
	for name, content := range map[string]string{"beta": program, "libbeta.so.1": program, "notes": "beta"} {
		s.put(t, name, content)
		if err := os.Chmod(filepath.Join(s.dir, name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(s.dir, "alpha"), 0o644); err != nil {
		t.Fatal(err)
	}
	told := func(name string) string {
		path := filepath.Join(s.dir, name)
		return path + " is not started: it is not executable; run `chmod +x " + path + "`, or move it away if it is no plugin"
	}
	c := s.open(t, false)
	if got := texts(c.Problems()); !slices.Equal(got, []string{told("alpha"), told("beta")}) {
		t.Errorf("problems %q", got)
	}
	if _, err := c.Named("alpha"); err == nil || !strings.Contains(err.Error(), told("alpha")) {
		t.Errorf("got %v", err)
	}
	if _, err := WriteLock(context.Background(), s.start, s.dir); err == nil || err.Error() != told("beta") {
		t.Errorf("lock: %v", err)
	}
}
