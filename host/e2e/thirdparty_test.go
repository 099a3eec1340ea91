package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// buildStranger makes a plugin as a stranger would: the example's source under another name, with edits to Generate, in a
// module of its own that requires this one. It returns a folder of plugins with its lock, and a [[model]] table.
func buildStranger(t testing.TB, name string, edits ...string) (plugins, table string) {
	t.Helper()
	dir := t.TempDir()
	const ours = "github.com/inference-pio/inference-pio"
	files, err := filepath.Glob(filepath.Join(root, "sdk/examples/echo/*.go"))
	if err != nil {
		t.Fatal(err)
	}
	change, all := strings.NewReplacer(append(edits, `"echo"`, strconv.Quote(name))...), ""
	for _, f := range files {
		if !strings.HasSuffix(f, "_test.go") {
			source := read(t, f)
			all += source
			write(t, filepath.Join(dir, filepath.Base(f)), change.Replace(source))
		}
	}
	for i := 0; i < len(edits); i += 2 {
		if !strings.Contains(all, edits[i]) {
			t.Fatalf("the example no longer has %q", edits[i])
		}
	}
	mod := read(t, filepath.Join(root, "go.mod"))
	requires := mod[strings.Index(mod, "\ngo "):] // the same versions, so that no new one is looked for
	write(t, filepath.Join(dir, "go.mod"), fmt.Sprintf("module example.com/stranger\n%s\nrequire %s v0.0.0\nreplace %s => %s\n", requires, ours, ours, root))
	write(t, filepath.Join(dir, "go.sum"), read(t, filepath.Join(root, "go.sum")))
	plugins = filepath.Join(dir, "plugins")
	cmd := exec.Command("go", "build", "-mod=mod", "-o", filepath.Join(plugins, name), ".")
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
	write(t, filepath.Join(model, "config.json"), `{"architectures": ["EchoForCausalLM"], "max_position_embeddings": 256}`)
	return plugins, fmt.Sprintf("[[model]]\nid = %q\npath = %q\nplugin = %q\n", name, model, name)
}

func TestPluginBuiltInAnotherModuleLoads(t *testing.T) {
	plugins, table := buildStranger(t, "parrot")
	s := start(t, table, plugins)
	got, err := s.complete("/v1/completions", object{"model": "parrot", "prompt": "good morning"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.Text != "good morning" {
		t.Errorf("the parrot said %q", got.Text)
	}
}

// The plugin dies whenever it is asked to say a skull. The request that asks fails alone; those beside it, which died with the
// plugin each time, finish with the bytes they would have had.
func TestARequestThatKillsThePluginFailsAlone(t *testing.T) {
	plugins, table := buildStranger(t, "mortal",
		"offset += len(token.Text)", "offset += len(token.Text)\n\t\tif token.Text == \"\\u2620\" {\n\t\t\tos.Exit(3)\n\t\t}\n\t\ttime.Sleep(2 * time.Millisecond)",
		"\t\"os\"\n", "\t\"os\"\n\t\"time\"\n")
	s := start(t, table, plugins)
	const tokens = 200
	type outcome struct {
		prompt string
		answer answer
		err    error
	}
	done, begun := make(chan outcome), make(chan struct{}, 2)
	ask := func(prompt string, each func(int)) {
		a, err := s.complete("/v1/completions", object{"model": "mortal", "prompt": prompt, "max_tokens": tokens, "ignore_eos": true, "stream": true}, each)
		done <- outcome{prompt, a, err}
	}
	companions := []string{"abc", "defg"}
	for _, prompt := range companions {
		go ask(prompt, func(n int) {
			if n == 1 {
				begun <- struct{}{}
			}
		})
	}
	<-begun
	<-begun
	go ask("x\u2620", nil)
	for range len(companions) + 1 {
		o := <-done
		if o.prompt == "x\u2620" {
			if o.err == nil || !strings.Contains(o.err.Error(), "status 3") {
				t.Errorf("the request that kills the plugin: %+v, %v", o.answer, o.err)
			}
			continue
		}
		if want := strings.Repeat(o.prompt, tokens)[:tokens]; o.err != nil || o.answer.Text != want {
			t.Errorf("%q beside it: %v\n got %q\nwant %q", o.prompt, o.err, o.answer.Text, want)
		}
	}
	if a, err := s.complete("/v1/completions", object{"model": "mortal", "prompt": "still here"}, nil); err != nil || a.Text != "still here" {
		t.Errorf("afterwards: %+v, %v", a, err)
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
