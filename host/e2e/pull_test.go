package e2e

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/host/internal/hub/hubtest"
)

// A model that a client of Ollama's API pulls is fetched, stands in models.toml, and answers by the name that it was asked for by. Deleted, it is
// gone from all three; what was not downloaded stays.
func TestAModelIsPulledAndDeletedForAClient(t *testing.T) {
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
	cache := t.TempDir()
	for name, value := range map[string]string{"HF_ENDPOINT": hub.URL, "HF_HUB_CACHE": cache, "HF_HUB_OFFLINE": "", "NO_PROXY": "127.0.0.1"} {
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
	entries := func() string {
		file, err := os.ReadFile(filepath.Join(s.dir, "models.toml"))
		if err != nil {
			t.Fatal(err)
		}
		return string(file)
	}
	if file := entries(); strings.Count(file, `aliases = ["Org/Tiny"]`) != 1 {
		t.Errorf("%s", file)
	}
	remove := func(model string) (int, string) {
		req, err := http.NewRequest(http.MethodDelete, s.url+"/api/delete", strings.NewReader(`{"model":"`+model+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
	folder := filepath.Join(cache, "models--Org--Tiny")
	if _, err := os.Stat(folder); err != nil {
		t.Error(err)
	}
	if code, said := remove("Org/Tiny:latest"); code != 200 {
		t.Fatalf("%d %s\n%s", code, said, s.log)
	}
	if _, err := os.Stat(folder); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its files are there: %v", err)
	}
	if file := entries(); strings.Contains(file, "Org/Tiny") {
		t.Errorf("%s", file)
	}
	if _, err := s.complete("/v1/chat/completions", body, nil); err == nil || !strings.HasPrefix(err.Error(), "status 404") {
		t.Errorf("it answers: %v", err)
	}
	if code, said := remove("Org/Tiny"); code != 404 || !strings.HasPrefix(said, `{"error":`) {
		t.Errorf("again: %d %s", code, said)
	}
	before := entries()
	if code, said := remove("tiny"); code != 400 || !strings.Contains(said, "is the only model") || entries() != before {
		t.Errorf("the last one: %d %s", code, said)
	}
}
