package e2e

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// Weights that are written to in place, as cp does it: the file is cut first, then filled again, here with the same bytes. Answers
// that run end with an error that says so, the model is loaded anew, and who asks meanwhile waits for that.
func TestWeightsThatAreWrittenToInPlace(t *testing.T) {
	dir := copyOf(t, tinyDir("qwen3_0_6b"))
	weights := filepath.Join(dir, "model.safetensors")
	text, err := os.ReadFile(weights)
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, "[[model]]\nid = \"tiny\"\npath = \""+dir+"\"\nplugin = \"qwen3_0_6b\"\n")
	short := ask("What is the capital of Japan?", object{"temperature": 0})
	want, err := s.complete("/v1/chat/completions", short, nil)
	if err != nil {
		t.Fatal(err)
	}
	long := ask("What is the capital of Peru?", object{"temperature": 1, "seed": 3, "max_tokens": 1900, "ignore_eos": true, "stream": true})
	told, cut := "", false
	for deadline := time.Now().Add(2 * time.Minute); told == "" && time.Now().Before(deadline); {
		_, err := s.complete("/v1/chat/completions", long, func(n int) {
			if n != 10 || cut {
				return
			}
			cut = true
			if err := os.WriteFile(weights, text, 0o644); err != nil {
				t.Error(err)
			}
		})
		if err != nil {
			told = err.Error()
		}
	}
	if !strings.Contains(told, "model.safetensors") || !strings.Contains(told, "was written to since it was mapped") && !strings.Contains(told, "was cut") {
		t.Fatalf("no answer ended as it should: %q\n%s", told, s.log)
	}
	got, err := s.complete("/v1/chat/completions", short, nil)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("after the reload: %+v, %v\nwant %+v\n%s", got, err, want, s.log)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := s.log.wait(ctx, "the checkpoint was written to"); err != nil {
		t.Error(err)
	}
	if log := s.log.String(); strings.Contains(log, "the plugin died") {
		t.Errorf("the plugin was not ended but died:\n%s", log)
	}
}

// copyOf is a checkpoint that may be changed.
func copyOf(t *testing.T, from string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return dir
}
