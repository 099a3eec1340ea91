package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// checked runs `config check --json` on a models.toml with these entries.
func checked(t testing.TB, tables string) (code int, document object) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "models.toml")
	text := fmt.Sprintf("[plugins]\ndirs = [%q]\n%s", filepath.Join(bin, "plugins"), tables)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, complaints bytes.Buffer
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "piohost"), "config", "check", "--json", "--config", file)
	cmd.Stdout, cmd.Stderr = &out, &complaints
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out.Bytes(), &document); err != nil {
		t.Fatalf("%v\n%s\n%s", err, &out, &complaints)
	}
	return cmd.ProcessState.ExitCode(), document
}

// A checkpoint with one thing wrong is told by the check, though its plugin is named, and what is wrong is named.
func TestTheCheckLooksIntoCheckpoints(t *testing.T) {
	tiny := tinyDir("qwen3_0_6b")
	broken := func(name string, spoil func(dir string) error) string {
		dir := filepath.Join(t.TempDir(), name)
		if err := errors.Join(os.CopyFS(dir, os.DirFS(tiny)), spoil(dir)); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	weights := func(dir string) string { return filepath.Join(dir, "model.safetensors") }
	entry := func(id, path, more string) string {
		return fmt.Sprintf("[[model]]\nid = %q\nplugin = \"qwen3_0_6b\"\npath = %q\n%s\n", id, path, more)
	}
	var tables string
	wants := []struct{ id, path, more, want string }{
		{"long", tiny, "context = 1000000", "a context of 1000000 positions was asked for"},
		{"family", tinyDir("glm_4_7_flash"), "", "the plugin qwen3_0_6b does not run this checkpoint"},
		{"lfs", broken("lfs", func(dir string) error {
			return os.WriteFile(weights(dir), []byte("version https://git-lfs.github.com/spec/v1\noid sha256:"+strings.Repeat("0", 64)+"\nsize 1000\n"), 0o600)
		}), "", "git lfs pull"},
		{"short", broken("short", func(dir string) error { return os.Truncate(weights(dir), 100_000) }), "", "model.safetensors"},
		{"speechless", broken("speechless", func(dir string) error { return os.Remove(filepath.Join(dir, "tokenizer.json")) }), "", "there is no tokenizer.json"},
		{"rows", tiny, "max_sequences = 400\nstep_tokens = 100", "step_tokens is 100; with max_sequences 400 from 463 to 65536 are possible"},
	}
	for _, w := range wants {
		tables += entry(w.id, w.path, w.more)
	}
	code, d := checked(t, tables+entry("good", tiny, ""))
	problems := d["problems"].([]any)
	if code != 2 || d["ok"] != false || len(problems) != len(wants) {
		t.Fatalf("exit code %d, %v", code, d)
	}
	for i, w := range wants {
		p := problems[i].(object)
		if p["key"] != fmt.Sprintf("model[%d]", i) || !strings.Contains(p["text"].(string), w.want) {
			t.Errorf("%s: %v\nwant %s", w.id, p, w.want)
		}
	}
	if models := d["models"].([]any); len(models) != 1 || models[0].(object)["id"] != "good" {
		t.Errorf("those that could be served: %v", models)
	}
}

// Three entries and memory for two of them: the check says what each would take, and the host that starts does the same.
func TestTheCheckDividesMemoryAsTheHostDoes(t *testing.T) {
	entry := func(id, more string) string {
		return fmt.Sprintf("[[model]]\nid = %q\nplugin = \"qwen3_0_6b\"\ncontext = 256\nmax_sequences = 4\npath = %q\n%s\n", id, tinyDir("qwen3_0_6b"), more)
	}
	code, d := checked(t, entry("a", "")+entry("b", "priority = 1"))
	if code != 0 || d["ok"] != true {
		t.Fatalf("exit code %d, %v", code, d)
	}
	all := d["models"].([]any)[0].(object)["memory"].(object)
	sum := all["weights"].(float64) + all["cache"].(float64) + all["state"].(float64) + all["scratch"].(float64)
	if total := all["total"].(float64); total != sum || all["weights"].(float64) < 1e6 || all["cache"].(float64) < 1e6 || d["memory"].(object)["taken"].(float64) != 2*total {
		t.Errorf("an entry takes %v; of all %v", all, d["memory"])
	}
	fixed := sum - all["cache"].(float64)
	tables := fmt.Sprintf("[[device]]\nname = \"cpu\"\nmemory = \"%.0fB\"\n", 2*fixed+1.5*all["cache"].(float64)) +
		entry("a", "") + entry("b", "priority = 1") + entry("c", "")
	code, d = checked(t, tables)
	problems, models := d["problems"].([]any), d["models"].([]any)
	if code != 2 || len(problems) != 1 || problems[0].(object)["key"] != "model[2]" || !strings.Contains(problems[0].(object)["text"].(string), "there is not enough memory for it") {
		t.Fatalf("exit code %d, %v", code, problems)
	}
	if code, d := checked(t, strings.ReplaceAll(tables, "context = 256", "context = 256\nload = \"demand\"")); code != 0 || len(d["models"].([]any)) != 3 || d["memory"].(object)["taken"] != 0.0 {
		t.Errorf("on demand each of them fits: exit code %d, %v", code, d)
	}
	s := launch(t, tables)
	line := func(id string) string {
		text, err := s.log.wait(t.Context(), `msg="memory of the model" model=`+id)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for _, m := range models {
		m := m.(object)
		if text, want := line(m["id"].(string)), fmt.Sprintf(" context=%v sequences=%v", m["context"], m["sequences"]); !strings.HasSuffix(text, want) {
			t.Errorf("%s\nwant%s", text, want)
		}
	}
	if a, b := models[0].(object)["memory"].(object)["cache"].(float64), models[1].(object)["memory"].(object)["cache"].(float64); b != all["cache"] || a >= b {
		t.Errorf("a has %v of cache and b, of a higher priority, %v", a, b)
	}
	code, answer := s.post("/v1/chat/completions", object{"model": "c", "messages": []object{{"role": "user", "content": "Hi"}}})
	if code != 503 || !strings.Contains(fmt.Sprint(answer), "there is not enough memory for it") {
		t.Errorf("a request to c gets %d %v", code, answer)
	}
}
