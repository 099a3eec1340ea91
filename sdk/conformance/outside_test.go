package conformance

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestPluginOfAnotherModule builds the echo example as an author would: in a module of his own, of which this one is a
// dependency. Only what the sdk exports can be used there.
func TestPluginOfAnotherModule(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, file := range []string{"main.go", "prompt.go"} {
		copyFile(t, filepath.Join(root, "sdk/examples/echo", file), filepath.Join(dir, file))
	}
	copyFile(t, filepath.Join(root, "go.sum"), filepath.Join(dir, "go.sum"))
	writeModule(t, root, dir)

	bin := filepath.Join(dir, "plugin")
	build := exec.Command("go", "build", "-o", bin, ".")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build outside the repository: %v\n%s", err, out)
	}
	Run(t, Config{Binary: bin, Model: filepath.Join(root, "sdk/examples/echo/testdata/model")})
}

// writeModule makes a go.mod that requires this repository, and what it requires in the same versions, so that nothing has
// to be looked up.
func writeModule(t *testing.T, root, dir string) {
	t.Helper()
	ours, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	const path = "github.com/inference-pio/inference-pio"
	text := strings.Replace(string(ours), "module "+path+"\n", "module example.com/author/echo\n", 1)
	text += "\nrequire " + path + " v0.0.0\n\nreplace " + path + " => " + strconv.Quote(root) + "\n"
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
