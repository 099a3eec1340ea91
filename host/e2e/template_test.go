package e2e

// template_test.go: what a checkpoint's own template refuses, its author's words refuse.

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestATemplatesOwnRefusalIsA400(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(tinyDir("qwen3_0_6b"))); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "tokenizer_config.json")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var config object
	if err := json.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	own, _ := config["chat_template"].(string)
	if own == "" {
		t.Fatal("the tiny checkpoint has no chat_template in its tokenizer_config.json")
	}
	config["chat_template"] = "{%- if messages[0].role == 'system' %}{{ raise_exception('No system message, \"please\".') }}{%- endif %}" + own
	if text, err = json.Marshal(config); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, strings.Replace(tinyModel(), tinyDir("qwen3_0_6b"), dir, 1))
	system := []object{{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}}
	for path, body := range map[string]object{
		"/v1/chat/completions": {"model": "tiny", "messages": system, "stream": true},
		"/tokenize":            {"model": "tiny", "messages": system},
	} {
		code, out := s.post(path, body)
		told, _ := out["error"].(object)
		message, _ := told["message"].(string)
		if code != 400 || told["code"] != "chat_template_error" || told["param"] != "messages" || !strings.HasSuffix(message, `No system message, "please".`) {
			t.Errorf("%s: %d %v", path, code, out)
		}
	}
	if got, err := s.complete("/v1/chat/completions", ask("What is the capital of Japan?", object{"temperature": 0}), nil); err != nil || got.Text != "The capital of Japan is Tokyo." {
		t.Errorf("the template's other messages: %+v, %v", got, err)
	}
}
