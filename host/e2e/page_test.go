package e2e

// page_test.go shows the page to a headless Chromium, where there is one.

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// paged is a host with lines of its own under [server].
func paged(t *testing.T, server, tables string) *server {
	t.Helper()
	dir := t.TempDir()
	dirs, err := json.Marshal([]string{filepath.Join(bin, "plugins")})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "models.toml")
	write(t, file, fmt.Sprintf("[server]\nlisten = \"127.0.0.1:0\"\nadmin = true\n%s\n[plugins]\ndirs = %s\n%s", server, dirs, tables))
	return launchFile(t, dir, file).await()
}

// keyTable is a [[key]].
func keyTable(name, key, more string) string {
	return fmt.Sprintf("[[key]]\nname = %q\nsha256 = \"%x\"\n%s\n", name, sha256.Sum256([]byte(key)), more)
}

// The tests in page use chromedp.
func TestPageInABrowser(t *testing.T) {
	for _, program := range []string{"chromium", "chromium-browser", "google-chrome", "chrome", ""} {
		if program == "" {
			t.Skip("capability: no Chromium here")
		}
		if _, err := exec.LookPath(program); err == nil {
			break
		}
	}
	onCPU := small + "\ndevices = [\"cpu\"]"
	home := start(t, roomyFar+tinyModel(small)+tinyOf("glm_4_7_flash", "tiny-glm", onCPU)+tinyOf(vision, "tiny-vl", onCPU))
	args, env := []string{"test", "-count=1", "-timeout", "10m"}, append(os.Environ(), "PIO_PAGE_URL="+home.url, "PIO_PICTURE="+filepath.Join(tinyDir(vision), "picture0.png"))
	if os.Getenv("PIO_PAGE_WHOLE") == "" { // a streamed answer, a move, narrow and dark; `make page` has all
		args = append(args, "-short", "-run", "Streams|MoveIsSeen|FitEveryScreen")
	} else {
		env = append(env, closedDoors(t)...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", append(args, ".")...)
	cmd.Dir, cmd.Env = filepath.Join(root, "host/e2e/page"), env
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("%v\n%s", err, home.log)
	}
}

// closedDoors starts a host with keys, and one whose orders have an address of their own. The tests find them in their environment.
func closedDoors(t *testing.T) []string {
	const anyone, master = "pio-0123456789abcdef", "pio-fedcba9876543210"
	locked := paged(t, "", keyTable("ann", anyone, "")+keyTable("op", master, "admin = true")+tinyModel(small))
	apart := paged(t, "admin_listen = \"127.0.0.1:0\"", tinyModel(small))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	line, err := apart.log.wait(ctx, "listening for orders and metrics")
	if err != nil {
		t.Fatal(err)
	}
	return []string{"PIO_LOCKED_URL=" + locked.url, "PIO_ANYONE=" + anyone, "PIO_MASTER=" + master,
		"PIO_PUBLIC_URL=" + apart.url, "PIO_PRIVATE_URL=" + line[strings.Index(line, "http://"):]}
}
