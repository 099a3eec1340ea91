package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A stranger's plugin: the example's source, in a module of its own that requires this one.
func TestPluginBuiltInAnotherModuleLoads(t *testing.T) {
	dir := t.TempDir()
	const ours = "github.com/inference-pio/inference-pio"
	files, err := filepath.Glob(filepath.Join(root, "sdk/examples/echo/*.go"))
	if err != nil {
		t.Fatal(err)
	}
	renamed := false
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		source, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Replace(string(source), `"echo"`, `"parrot"`, 1)
		renamed = renamed || text != string(source)
		write(t, filepath.Join(dir, filepath.Base(f)), text)
	}
	if !renamed {
		t.Fatal("the example no longer names itself \"echo\"")
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	sum, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	requires := string(mod)[strings.Index(string(mod), "\ngo "):] // the same versions, so that no new one is looked for
	write(t, filepath.Join(dir, "go.mod"), fmt.Sprintf("module example.com/parrot\n%s\nrequire %s v0.0.0\nreplace %s => %s\n", requires, ours, ours, root))
	write(t, filepath.Join(dir, "go.sum"), string(sum))
	plugins := filepath.Join(dir, "plugins")
	cmd := exec.Command("go", "build", "-mod=mod", "-o", filepath.Join(plugins, "parrot"), ".")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build in %s: %v\n%s", dir, err, out)
	}
	if out, err := exec.Command(filepath.Join(bin, "piohost"), "plugin", "lock", plugins).CombinedOutput(); err != nil {
		t.Fatalf("plugin lock: %v\n%s", err, out)
	}
	model := filepath.Join(dir, "checkpoint")
	if err := os.Mkdir(model, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(model, "config.json"), `{"architectures": ["EchoForCausalLM"], "max_position_embeddings": 64}`)

	s := start(t, fmt.Sprintf("[[model]]\nid = \"p\"\npath = %q\nplugin = \"parrot\"\n", model), plugins)
	got, err := s.complete("/v1/completions", object{"model": "p", "prompt": "good morning"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.Text != "good morning" {
		t.Errorf("the parrot said %q", got.Text)
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
