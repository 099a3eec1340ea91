package e2e

// readme_test.go does what README.md tells a newcomer to do, word for word but for the port and what `make` has built already.

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// indented is a block of code in README.md.
var indented = regexp.MustCompile(`(?m)(^    .*\n|^\n)*^    .*\n`)

// readmeBlocks are those that begin so, without their indent.
func readmeBlocks(t *testing.T, beginning string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, block := range indented.FindAllString(string(text), -1) {
		block = strings.Trim(regexp.MustCompile(`(?m)^    `).ReplaceAllString(block, ""), "\n") + "\n"
		if strings.HasPrefix(block, beginning) {
			blocks = append(blocks, block)
		}
	}
	if len(blocks) == 0 {
		t.Fatalf("README.md has no block of code that begins with %q", beginning)
	}
	return blocks
}

// readmePort is the address that README.md names, which may be taken on the machine of the tests.
const readmePort = "127.0.0.1:8080"

// checkout is a folder as `make build` leaves it, in which the tests may write.
func checkout(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, target := range map[string]string{"bin": bin, "plugins": filepath.Join(root, "plugins")} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// follow serves text as models.toml of a checkout and runs the commands there, each of which must succeed. It returns what they print.
func follow(t *testing.T, text, commands string) string {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("capability: no curl here")
	}
	dir := checkout(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	if !strings.Contains(text, "listen") {
		text = strings.Replace(text, "[server]\n", "[server]\nlisten = \""+readmePort+"\"\n", 1)
	}
	file := filepath.Join(dir, "models.toml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, readmePort, address)), 0o600); err != nil {
		t.Fatal(err)
	}
	launchFile(t, dir, file).await()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	shell := exec.CommandContext(ctx, "sh", "-e", "-c", "curl() { command curl --silent --show-error --fail \"$@\"; }\n"+strings.ReplaceAll(commands, readmePort, address))
	shell.Dir = dir
	var complaints strings.Builder
	shell.Stderr = &complaints
	out, err := shell.Output()
	if err != nil {
		t.Errorf("%v after\n%s\n%s\nof\n%s", err, out, &complaints, commands)
	}
	return string(out)
}

func TestReadmeStart(t *testing.T) {
	models, err := os.ReadFile(filepath.Join(root, "models.toml"))
	if err != nil {
		t.Fatal(err)
	}
	out := follow(t, string(models), readmeBlocks(t, "bin/piohost")[0])
	for _, part := range []string{"Lima", `"content":"27 + 38 = 65"`} { // what is asked at temperature 0
		if !strings.Contains(out, part) {
			t.Errorf("no %s in\n%s", part, out)
		}
	}
}

func TestReadmeAdmin(t *testing.T) {
	out := follow(t, readmeBlocks(t, "[server]")[0], readmeBlocks(t, "curl http://"+readmePort+"/admin")[0])
	for _, part := range []string{`"modules":`, `"id":"layers.2","device":"far"`} {
		if !strings.Contains(out, part) {
			t.Errorf("no %s in\n%s", part, out)
		}
	}
}
