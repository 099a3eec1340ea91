package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The tests in clients use openai-go as a user's program does.
func TestOpenAIClient(t *testing.T) {
	s := start(t, tinyModel())
	cmd := exec.Command("go", "test", "-count=1", "./...")
	cmd.Dir = filepath.Join(root, "host/e2e/clients")
	cmd.Env = append(os.Environ(), "PIO_BASE_URL="+s.url)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s\n%s", err, out, s.log)
	}
}
