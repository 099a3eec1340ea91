package e2e

// clients_test.go has other people's API clients talk to a running host, as a user's program does.

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// served is what the clients talk to, and what they are told of it.
func served(t *testing.T) (s *server, env []string) {
	s = start(t, tinyModel()+tinyOf(vision, "tiny-vl", small))
	return s, append(os.Environ(), "PIO_BASE_URL="+s.url, "PIO_PICTURE="+filepath.Join(tinyDir(vision), "picture0.png"))
}

// The tests in clients use openai-go.
func TestOpenAIClient(t *testing.T) {
	s, env := served(t)
	cmd := exec.Command("go", "test", "-count=1", "./...")
	cmd.Dir, cmd.Env = filepath.Join(root, "host/e2e/clients"), env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s\n%s", err, out, s.log)
	}
}

// The tests in clients/node use npm's openai, and ask the same.
func TestOpenAINodeClient(t *testing.T) {
	dir := nodeClient(t)
	s, env := served(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "--test")
	cmd.Dir, cmd.Env = dir, env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s\n%s", err, out, s.log)
	}
}

// unreachable is what npm says when it is the network that fails, and not what it was asked for.
var unreachable = regexp.MustCompile(`ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ENOTCACHED|ERR_SOCKET_TIMEOUT|E403`)

// nodeClient copies the tests out of the repository, which stays without other people's files, and installs what they need.
func nodeClient(t *testing.T) string {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("capability: no %s here", program)
		}
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(root, "host/e2e/clients/node"))); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "ci", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0", "--fetch-timeout=20000")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil || err != nil && unreachable.Match(out) {
		t.Skipf("capability: npm cannot reach the package openai: %s", out)
	}
	if err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	return dir
}
