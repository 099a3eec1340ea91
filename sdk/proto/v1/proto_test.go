package proto

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// buf runs the pinned buf. The first run on a machine fetches it through the Go module proxy and compiles it.
func buf(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("../buf.sh", args...).CombinedOutput(); err != nil {
		t.Fatalf("buf.sh %v: %v\n%s", args, err, out)
	}
}

func TestContractIsLintClean(t *testing.T) { buf(t, "lint") }

func TestGeneratedCodeIsFresh(t *testing.T) {
	fresh := t.TempDir()
	buf(t, "generate", "-o", fresh)
	const committed = "../../internal/pb"
	files, err := filepath.Glob(filepath.Join(committed, "*.go"))
	if err != nil || len(files) != 2 {
		t.Fatalf("there are %d generated files in %s, want 2 (%v)", len(files), committed, err)
	}
	for _, file := range files {
		have, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join(fresh, filepath.Base(file)))
		if err != nil {
			t.Fatalf("%s is not generated any more: %v", file, err)
		}
		if string(have) != string(want) {
			t.Errorf("%s is not what plugin.proto generates; run `go generate ./sdk/proto/v1`", file)
		}
	}
}
