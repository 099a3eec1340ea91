package servetest

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/inference-pio/inference-pio/sdk"
)

// A checkpoint that cannot be served is refused by name, by Inspect as by Load, and neither waits for what never comes.
func TestCheckpointsThatAreNotWholeAreNamed(t *testing.T) {
	pipe := func(path string) error { return errors.Join(os.RemoveAll(path), syscall.Mkfifo(path, 0o600)) }
	pointer := func(path string) error {
		return os.WriteFile(path, []byte("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"), 0o600)
	}
	cut := func(path string) error { return os.Truncate(path, 1000) }
	for _, c := range []struct {
		file   string
		damage func(path string) error
		want   string
		reason sdk.Reason
	}{
		{"tokenizer.json", os.Remove, "there is no tokenizer.json; download it", sdk.ReasonCheckpoint},
		{"tokenizer.json", pipe, "tokenizer.json: is a named pipe", sdk.ReasonCheckpoint},
		{"tokenizer.json", pointer, "tokenizer.json: is a git-lfs pointer", sdk.ReasonCheckpoint},
		{"config.json", pipe, "config.json: is a named pipe", sdk.ReasonCheckpoint},
		{"config.json", os.Remove, "there is no config.json; a checkpoint is the folder", sdk.ReasonNotFound},
		{"model.safetensors", os.Remove, "holds neither model.safetensors nor", sdk.ReasonCheckpoint},
		{"model.safetensors", pipe, "model.safetensors: is a named pipe", sdk.ReasonCheckpoint},
		{"model.safetensors", pointer, "model.safetensors: is a git-lfs pointer", sdk.ReasonCheckpoint},
		{"model.safetensors", cut, "is the download complete?", sdk.ReasonCheckpoint},
		{".", func(path string) error {
			return errors.Join(os.RemoveAll(path), os.WriteFile(path, []byte("GGUF\x03"), 0o600))
		}, "is a GGUF file", sdk.ReasonCheckpoint},
		{".", os.RemoveAll, "there is no such folder", sdk.ReasonNotFound},
	} {
		p := toyPlugin(t, false)
		path := filepath.Join(p.Checkpoints[0], c.file)
		if err := c.damage(path); err != nil {
			t.Fatal(err)
		}
		req, client := sdk.InspectRequest{Path: p.Checkpoints[0]}, p.Idle(t)
		_, inspect := client.Inspect(t.Context(), req)
		_, load := client.Load(t.Context(), sdk.LoadRequest{InspectRequest: req}, func(sdk.Progress) {})
		for how, err := range map[string]error{"Inspect": inspect, "Load": load} {
			if err == nil || !strings.Contains(err.Error(), c.want) || sdk.ReasonOf(err) != c.reason {
				t.Errorf("%s, %s: %v (%s); want %q (%s)", c.file, how, err, sdk.ReasonOf(err), c.want, c.reason)
			}
		}
	}
}

// Invented weights need no more than config.json.
func TestInventedWeightsDoWithoutATokenizer(t *testing.T) {
	p := toyPlugin(t, false)
	if err := errors.Join(os.Remove(filepath.Join(p.Checkpoints[0], "tokenizer.json")), os.Remove(filepath.Join(p.Checkpoints[0], "model.safetensors"))); err != nil {
		t.Fatal(err)
	}
	p.Loaded(t, sdk.LoadRequest{InspectRequest: sdk.InspectRequest{Path: p.Checkpoints[0], Weights: "dummy"}})
}
