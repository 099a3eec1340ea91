package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/inference-pio/inference-pio/sdk/conformance"
	"github.com/inference-pio/inference-pio/sdk/text"
)

// checkpoint has the words of a tiny model, and a script.
func checkpoint(t *testing.T, family string, rules string) string {
	t.Helper()
	from, dir := filepath.Join("../../../plugins", family, "testdata/tiny"), t.TempDir()
	for _, name := range []string{"tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"} {
		data, err := os.ReadFile(filepath.Join(from, name))
		if os.IsNotExist(err) && name == "chat_template.jinja" {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), data)
	}
	config, err := json.Marshal(map[string]any{"architectures": []string{architecture}, "max_position_embeddings": 4096, "vocab_size": 1000})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "config.json"), config)
	write(t, filepath.Join(dir, "script.json"), []byte(rules))
	return dir
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestConformance(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "scripted")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	const story = "Once there was a fox who lived by a river and counted its fish each day, until the river froze and there was nothing to count any more."
	conformance.Run(t, conformance.Config{Binary: bin, Model: checkpoint(t, "qwen3_coder_30b", `[{"say": "`+story+`"}]`)})
}

// A call is written as each model writes calls.
func TestACallIsInTheModelsOwnWords(t *testing.T) {
	for family, want := range map[string]string{
		"qwen3_0_6b":      "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"b\"}}\n</tool_call>",
		"qwen3_coder_30b": "<tool_call>\n<function=f>\n<parameter=a>\nb\n</parameter>\n</function>\n</tool_call>",
	} {
		dir := checkpoint(t, family, `[{"prompt": "x+y", "call": {"name": "f", "arguments": {"a": "b"}}}, {"prompt": "z", "say": "So."}]`)
		words, err := text.Open(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		s, err := readScript(t.Context(), dir, words)
		if err != nil {
			t.Fatal(err)
		}
		for prompt, want := range map[string]string{"a xxy z": want, "z": "So.", "w": ""} {
			if got := s.to(prompt); got != want {
				t.Errorf("%s: to %q: %q, want %q", family, prompt, got, want)
			}
		}
	}
}
