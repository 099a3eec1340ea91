package e2e

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/host/internal/hub/hubtest"
)

// A model that a client of Ollama's API pulls is fetched, stands in models.toml, and answers by the name that it was asked for by.
func TestAModelIsPulledForAClient(t *testing.T) {
	files := map[string][]byte{}
	for _, name := range []string{"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} {
		data, err := os.ReadFile(filepath.Join(tinyDir("qwen3_0_6b"), name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = data
	}
	hub := hubtest.New(t)
	hub.Add("Org/Tiny", hubtest.Repo{Files: files})
	for name, value := range map[string]string{"HF_ENDPOINT": hub.URL, "HF_HUB_CACHE": t.TempDir(), "HF_HUB_OFFLINE": "", "NO_PROXY": "127.0.0.1"} {
		t.Setenv(name, value)
	}
	s := start(t, tinyModel())
	pull := func(body object) (int, string) {
		resp := s.open("/api/pull", body)
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, strings.TrimSpace(string(text))
	}
	if code, said := pull(object{"model": "Org/None"}); code != 400 || !strings.HasPrefix(said, `{"error":`) {
		t.Errorf("of what there is not: %d %s", code, said)
	}
	code, said := pull(object{"model": "Org/Tiny"})
	if code != 200 || !strings.HasPrefix(said, `{"status":"pulling manifest"}`) || !strings.Contains(said, `"digest":"sha256:`) || !strings.HasSuffix(said, `{"status":"success"}`) {
		t.Fatalf("%d %s\n%s", code, said, s.log)
	}
	body := ask("What is the capital of Japan?", object{"temperature": 0})
	want, err := s.complete("/v1/chat/completions", body, nil)
	if err != nil {
		t.Fatal(err)
	}
	body["model"] = "Org/Tiny"
	if got, err := s.complete("/v1/chat/completions", body, nil); err != nil || got.Text != want.Text || want.Text == "" {
		t.Errorf("%v: %q, want %q\n%s", err, got.Text, want.Text, s.log)
	}
	if code, said := pull(object{"model": "Org/Tiny", "stream": false}); code != 200 || said != `{"status":"success"}` { // it is there
		t.Errorf("again: %d %s", code, said)
	}
	file, err := os.ReadFile(filepath.Join(s.dir, "models.toml"))
	if err != nil || strings.Count(string(file), `aliases = ["Org/Tiny"]`) != 1 {
		t.Errorf("%v: %s", err, file)
	}
}
