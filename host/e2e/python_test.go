package e2e

// python_test.go holds sdk/examples/python, a plugin that has nothing of ours but the proto, through the host and the kit.

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// noIndex is what pip says when it is the network that fails, and not what it was asked for.
var noIndex = regexp.MustCompile(`NewConnectionError|Max retries exceeded|Temporary failure|Network is unreachable|ReadTimeoutError|ConnectTimeoutError|ProxyError`)

// pythonPlugins installs the example into a folder of plugins, and beside it a copy with edits under another name.
func pythonPlugins(t *testing.T, name string, edits ...string) (dir string) {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("capability: no python3 here")
	}
	if out, err := exec.Command("python3", "-c", "import sys, venv, ensurepip; assert sys.version_info >= (3, 10)").CombinedOutput(); err != nil {
		t.Skipf("capability: python3 is older than 3.10, or has no venv: %s", out)
	}
	dir = filepath.Join(t.TempDir(), "plugins")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	original := filepath.Join(dir, "echo_python")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	install := exec.CommandContext(ctx, filepath.Join(root, "sdk/examples/python/install.sh"), original)
	install.Env = append(os.Environ(), "PIP_RETRIES=1", "PIP_TIMEOUT=20", "PIP_NO_COMPILE=1")
	install.WaitDelay = time.Second // its children hold its output
	out, err := install.CombinedOutput()
	if ctx.Err() != nil || err != nil && noIndex.Match(out) {
		t.Skipf("capability: pip cannot reach the packages of requirements.txt: %s", out)
	}
	if err != nil {
		t.Fatalf("install.sh: %v\n%s", err, out)
	}
	source := read(t, original)
	for i := 0; i < len(edits); i += 2 {
		if !strings.Contains(source, edits[i]) {
			t.Fatalf("the example no longer has %q", edits[i])
		}
	}
	edited := filepath.Join(dir, name)
	write(t, edited, strings.NewReplacer(append(edits, `"name": "echo_python"`, fmt.Sprintf(`"name": %q`, name))...).Replace(source))
	if err := os.Chmod(edited, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestPluginInPython(t *testing.T) {
	// The copy waits after a token, so that it is known where it is killed, and tells what its environment is.
	const event, holds = "await context.write(event)", "await context.write(event)" + `
                if event.token.index == 5 and not request.HasField("resume"):
                    log("info", "holding after token 5 of " + os.path.basename(os.environ["PIO_PLUGIN_FILE"]))
                    await asyncio.sleep(3600)`
	plugins := pythonPlugins(t, "echo_holds", event, holds)
	model := filepath.Join(root, "sdk/examples/echo/testdata/model")
	entry := func(plugin string) string {
		return fmt.Sprintf("[[model]]\nid = %q\npath = %q\nplugin = %q\n", plugin, model, plugin)
	}
	for _, mtls := range []bool{true, false} {
		t.Run(fmt.Sprintf("conformance/mtls=%v", mtls), func(t *testing.T) {
			config := filepath.Join(t.TempDir(), "models.toml")
			write(t, config, fmt.Sprintf("[plugins]\nmtls = %v\n", mtls))
			test := exec.Command(filepath.Join(bin, "piohost"), "plugin", "test", filepath.Join(plugins, "echo_python"), "--model", model, "--config", config)
			out, err := test.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "ok    determinism") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	if out, err := exec.Command(filepath.Join(bin, "piohost"), "plugin", "lock", plugins).CombinedOutput(); err != nil {
		t.Fatalf("plugin lock: %v\n%s", err, out)
	}
	chat := func(plugin, text string, extra object) object {
		body := object{"model": plugin, "messages": []object{{"role": "user", "content": text}}, "return_token_ids": true}
		for k, v := range extra {
			body[k] = v
		}
		return body
	}
	t.Run("serves", func(t *testing.T) {
		s := start(t, entry("echo_python"), plugins)
		got, err := s.complete("/v1/chat/completions", chat("echo_python", "good morning, \U0001f426", nil), nil)
		if err != nil || got.Text != "good morning, \U0001f426" || got.Finish != "stop" {
			t.Errorf("got %+v, %v\n%s", got, err, s.log)
		}
		if _, err := s.complete("/v1/chat/completions", chat("echo_python", "good", object{"stop": []string{"o"}}), nil); err == nil || !strings.Contains(err.Error(), "stop strings") {
			t.Errorf("what it cannot do it refuses; got %v", err)
		}
	})
	t.Run("survives a kill", func(t *testing.T) {
		s := start(t, entry("echo_holds"), plugins)
		killed := make(chan struct{})
		go func() {
			defer close(killed)
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			if _, err := s.log.wait(ctx, "holding after token 5 of echo_holds"); err != nil {
				t.Error(err)
				return
			}
			s.kill()
		}()
		const text = "a bird in the hand"
		got, err := s.complete("/v1/chat/completions", chat("echo_holds", text, object{"stream": true, "max_tokens": 20, "ignore_eos": true}), nil)
		<-killed
		if want := (text + text)[:20]; err != nil || got.Text != want || got.Finish != "length" {
			t.Errorf("got %+v, %v\nwant %q\n%s", got, err, want, s.log)
		}
	})
}
