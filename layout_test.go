package pio

// layout_test.go keeps the house in order: imports point one way (DESIGN: the house), go-plugin and protobuf stay in their
// rooms, every test that skips says why in words this file lists, and nothing names the machine it was written on.

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	gomodule "golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

const module = "github.com/inference-pio/inference-pio"

type goPackage struct {
	ImportPath                            string
	Imports, TestImports, XTestImports    []string
	GoFiles, CgoFiles, TestGoFiles, Files []string
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-tags", "cuda", "-json=ImportPath,Imports,TestImports,XTestImports", "./...").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	var list []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

// room is a path below the module and what its packages may import of ours.
type room struct {
	path string
	may  []string
}

// rooms in order of precedence: the first whose path holds the package decides.
var rooms = []room{
	{"host/internal/devices", []string{"host/internal/config", "cuda/gpu/driver"}}, // which GPUs there are: the driver tells
	{"host/e2e", []string{"host", "sdk", "internal", "cuda/kernels/sim"}},          // a GPU for its tests
	{"host", []string{"host", "sdk", "internal"}},
	{"sdk/jinja", []string{"sdk/jinja"}}, // a language of its own: it knows of no chat
	{"sdk", []string{"sdk", "internal"}},
	{"cuda/serve", []string{"cuda", "sdk", "internal"}},
	{"cuda", []string{"cuda", "internal"}},
	{"plugins", []string{"cuda", "sdk", "internal"}},
	{"internal", nil}, // leaves
}

// libraries that only some rooms may import, and why.
var guarded = map[string][]string{
	"github.com/hashicorp/go-plugin": {"host/internal/process", "sdk/serve", "sdk/conformance"},
	"google.golang.org/grpc":         {"host/internal/process", "sdk/serve", "sdk/client", "sdk/internal", "sdk/conformance"},
	"google.golang.org/protobuf":     {"sdk/internal"},
	"github.com/spf13":               {"host/cmd"},                // a stranger's go.mod lists what packages
	"github.com/prometheus":          {"host/internal/telemetry"}, // that he imports need, and these they must not
	"go.opentelemetry.io":            {"internal/traces", "host/internal", "host/cmd/piohost", "sdk/serve", "sdk/internal/service"},
	"gorgonia.org/cu":                {"cuda/gpu/driver"}, // which knows what of it is sound
	// one reader of schemas
	"github.com/santhosh-tekuri/jsonschema": {"sdk/grammar/schema"},
}

func within(path, folder string) bool { return path == folder || strings.HasPrefix(path, folder+"/") }

func withinAny(path string, folders []string) bool {
	for _, f := range folders {
		if within(path, f) {
			return true
		}
	}
	return false
}

// forbidden says why the package at from (a path below the module) may not import path, or "".
func forbidden(from, path string) string {
	for lib, homes := range guarded {
		if within(path, lib) && !withinAny(from, homes) {
			return "only " + strings.Join(homes, ", ") + " may import " + lib
		}
	}
	to, ours := strings.CutPrefix(path, module+"/")
	if !ours {
		return ""
	}
	if within(to, "plugins") {
		return "nothing imports a plugin"
	}
	if within(to, "cuda/serve") && !within(from, "plugins") && !within(from, "cuda/serve") {
		return "only plugins import cuda/serve"
	}
	for _, r := range rooms {
		if within(from, r.path) {
			if withinAny(to, r.may) {
				return ""
			}
			return r.path + " may import of ours: " + cmp.Or(strings.Join(r.may, ", "), "nothing")
		}
	}
	return ""
}

func TestImportsPointOneWay(t *testing.T) {
	seen := 0
	for _, p := range packages(t) {
		from := strings.TrimPrefix(p.ImportPath, module+"/")
		for _, path := range p.Imports {
			seen++
			if why := forbidden(from, path); why != "" {
				t.Errorf("%s imports %s: %s", from, path, why)
			}
		}
		for _, path := range append(p.TestImports, p.XTestImports...) {
			to, ours := strings.CutPrefix(path, module+"/")
			if why := forbidden(from, path); ours && why != "" {
				t.Errorf("a test of %s imports %s: %s", from, to, why)
			}
		}
	}
	if seen < 50 {
		t.Errorf("saw only %d imports: go list did not list the module", seen)
	}
}

// A rule about what is no longer there protects nothing and reads as if it did.
func TestEveryImportRuleGuardsSomething(t *testing.T) {
	held, libraries := map[string]bool{}, map[string]bool{}
	for _, r := range rooms {
		held[r.path] = false
	}
	for lib, homes := range guarded {
		for _, home := range homes {
			libraries[home+" imports "+lib] = false
		}
	}
	for _, p := range packages(t) {
		from := strings.TrimPrefix(p.ImportPath, module+"/")
		for room := range held {
			held[room] = held[room] || within(from, room)
		}
		for _, path := range append(append(p.Imports, p.TestImports...), p.XTestImports...) {
			for lib, homes := range guarded {
				for _, home := range homes {
					if within(from, home) && within(path, lib) {
						libraries[home+" imports "+lib] = true
					}
				}
			}
		}
	}
	for room, seen := range held {
		if !seen {
			t.Errorf("there is a rule for %s, which holds no package", room)
		}
	}
	for rule, seen := range libraries {
		if !seen {
			t.Errorf("%s is allowed and not done: remove it", rule)
		}
	}
}

func TestImportRuleCatchesEachDirection(t *testing.T) {
	for _, c := range []struct {
		from, path string
		ok         bool
	}{
		{"host/internal/api", module + "/sdk/client", true},
		{"host/internal/api", module + "/cuda", false},
		{"host/internal/api", "github.com/hashicorp/go-plugin", false},
		{"host/internal/process", "github.com/hashicorp/go-plugin/runner", true},
		{"sdk/engine", module + "/cuda", false},
		{"sdk/engine", module + "/host/internal/api", false},
		{"sdk/text", module + "/internal/regular", true},
		{"sdk/jinja", module + "/sdk/chat", false},
		{"internal/regular", module + "/sdk", false},
		{"cuda/nn", module + "/sdk", false},
		{"cuda/nn", module + "/cuda/serve", false},
		{"cuda/serve", module + "/sdk/engine", true},
		{"plugins/a", module + "/plugins/b", false},
		{"plugins/a", module + "/cuda/serve", true},
		{"plugins/a", module + "/host/internal/api", false},
		{"sdk/engine", "google.golang.org/protobuf/proto", false},
	} {
		if got := forbidden(c.from, c.path) == ""; got != c.ok {
			t.Errorf("%s -> %s allowed: %v, want %v", c.from, c.path, got, c.ok)
		}
	}
}

// A stranger who imports package sdk downloads the whole module. Checkpoints stay out of its zip: the folders that hold them have a
// go.mod of their own, by which the go command leaves them out.
func TestModuleIsASmallDownload(t *testing.T) {
	const most = 6 << 20 // of which the kernels for GPUs are a third
	var files []zip.File
	for _, dir := range []string{"cuda", "docs", "findings", "host", "internal", "plugins", "sdk"} {
		valid, err := zip.CheckDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range valid.Valid {
			files = append(files, onDisk{path})
		}
	}
	var size counter
	if err := zip.Create(&size, gomodule.Version{Path: module, Version: "v0.0.0"}, files); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d files, %.1f MB", len(files), float64(size)/1e6)
	if size > most || len(files) < 500 {
		t.Errorf("the module's zip has %d files and %d bytes; at most %d bytes: give a folder of large test data a go.mod", len(files), size, most)
	}
}

type counter int64

func (c *counter) Write(b []byte) (int, error) { *c += counter(len(b)); return len(b), nil }

// onDisk is a file of the module, by its path below the root.
type onDisk struct{ path string }

func (f onDisk) Path() string                 { return f.path }
func (f onDisk) Lstat() (fs.FileInfo, error)  { return os.Lstat(f.path) }
func (f onDisk) Open() (io.ReadCloser, error) { return os.Open(f.path) }

// kits are for tests: what only they need must not be in a binary that a stranger builds. (go-plugin itself links package testing.)
var kits = regexp.MustCompile(`/bufconn$|^go\.uber\.org/goleak|^pgregory\.net/rapid|^github\.com/cockroachdb/datadriven|^` + module + `/.*/([a-z]*test|internal/pipe|internal/waiting|kernels/sim)$`)

func TestNoBinaryLinksAKit(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "./host/cmd/...", "./plugins/...", "./sdk/examples/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	deps := strings.Fields(string(out))
	for _, path := range deps {
		if kits.MatchString(path) {
			t.Errorf("a binary links %s", path)
		}
	}
	if len(deps) < 200 {
		t.Errorf("saw only %d packages", len(deps))
	}
	for _, path := range []string{"google.golang.org/grpc/test/bufconn", module + "/sdk/serve/servetest", module + "/cuda/nn/nntest"} {
		if !kits.MatchString(path) {
			t.Errorf("%s is not known as a kit", path)
		}
	}
}

// A test may skip for one of these reasons only; its message begins with one of them.
var skipReasons = []string{"third-party data: ", "capability: "}

var (
	skipCall    = regexp.MustCompile(`\.Skip(f|Now)?\(`)
	skipMessage = regexp.MustCompile(`\.Skipf?\("([^"]*)`)
	// built from pieces, so that this file does not find itself
	machineWords = regexp.MustCompile(`/wo` + `rk/|/hom` + `e/[a-z]|https?://[a-z.]*(pro` + `xy|regis` + `try)[a-z.]*/`)
)

func sources(t *testing.T, each func(path, text string)) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != "." && (name == "testdata" || name == "bin" || name == ".git" || name == ".tools") {
				return filepath.SkipDir
			}
			return nil
		}
		switch filepath.Ext(path) {
		case ".go", ".c", ".h", ".py", ".md", ".toml", ".proto", ".sh", ".yaml", "":
		default:
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		each(path, string(text))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestEverySkipHasANamedReason(t *testing.T) {
	used := map[string]bool{}
	sources(t, func(path, text string) {
		if !strings.HasSuffix(path, "_test.go") || path == "layout_test.go" {
			return
		}
		for i, line := range strings.Split(text, "\n") {
			if !skipCall.MatchString(line) {
				continue
			}
			m, named := skipMessage.FindStringSubmatch(line), false
			for _, reason := range skipReasons {
				if m != nil && strings.HasPrefix(m[1], reason) {
					named, used[reason] = true, true
				}
			}
			if !named {
				t.Errorf("%s:%d: a skip must begin with one of %q", path, i+1, skipReasons)
			}
		}
	})
	for _, reason := range skipReasons {
		if !used[reason] {
			t.Errorf("no test skips for the reason %q: remove it", reason)
		}
	}
}

func TestNothingNamesTheMachineItWasWrittenOn(t *testing.T) {
	sources(t, func(path, text string) {
		if m := machineWords.FindString(text); m != "" {
			t.Errorf("%s names %q", path, m)
		}
	})
}
