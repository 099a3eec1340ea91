package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// measured runs `piohost bench --json` on an entry.
func measured(t *testing.T, entry string, args ...string) object {
	t.Helper()
	file := filepath.Join(t.TempDir(), "models.toml")
	text := fmt.Sprintf("[server]\nlisten = \"127.0.0.1:0\"\n[plugins]\ndirs = [%q]\n%s", filepath.Join(bin, "plugins"), entry)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, complaints bytes.Buffer
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "piohost"), append([]string{"bench", "--json", "--config", file}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, &complaints)
	}
	var document object
	if err := json.Unmarshal(out.Bytes(), &document); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	return document
}

// Every figure of a measurement is there, with as many samples as rounds, and its limit: of a model that decodes fewer sequences than there
// are streams by default, and keeps a context for the prompts behind it.
func TestBenchFillsEveryCell(t *testing.T) {
	d := measured(t, tinyModel(), "tiny", "--prompt", "128,64", "--generate", "16", "--depth", "0,512", "--streams", "1,9", "--repeat", "2", "--threads", "1")
	if d["model"] != "tiny" || d["plugin"] != "qwen3_0_6b" || d["threads"] != 1.0 || d["context"] != 2048.0 {
		t.Errorf("measured %v", d)
	}
	if l := d["limits"].(object); l["read"].(float64) <= 0 || len(l["reads"].([]any)) != 2*9 || len(l["peaks"].([]any)) != 2*9 {
		t.Errorf("limits before and behind each of eight cases, in two rounds: %v", l)
	}
	var names []string
	for _, c := range d["cells"].([]any) {
		c := c.(object)
		names = append(names, fmt.Sprintf("%v %v %v %v", c["kind"], c["tokens"], c["depth"], c["streams"]))
		low, rate, high := c["low"].(float64), c["rate"].(float64), c["high"].(float64)
		if low <= 0 || low > rate || rate > high || len(c["samples"].([]any)) != 2 || len(c["limits"].([]any)) != 2 {
			t.Errorf("%s: %v", names[len(names)-1], c)
		}
		if c["bytes_token"].(float64) <= 0 || c["flops_token"].(float64) <= 0 || c["limit"].(float64) <= 0 || c["share"].(float64) <= 0 || c["bound"] == "" {
			t.Errorf("%s has no limit: %v", names[len(names)-1], c)
		}
	}
	want := []string{
		"prefill 128 0 1", "prefill 64 0 1", "decode 16 0 1", "decode 16 0 9",
		"prefill 128 512 1", "prefill 64 512 1", "decode 16 512 1", "decode 16 512 9",
	}
	if !slices.Equal(names, want) {
		t.Errorf("%q\nwant %q", names, want)
	}
}

// Weights can be invented: then a config is all there must be.
func TestBenchInventsWeights(t *testing.T) {
	config, err := os.ReadFile(filepath.Join(tinyDir("qwen3_0_6b"), "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "config.json"), string(config))
	d := measured(t, tinyModel(), dir, "--plugin", "qwen3_0_6b", "--dummy", "--prompt", "32", "--generate", "4", "--streams", "1", "--repeat", "1")
	if cells := d["cells"].([]any); len(cells) != 2 {
		t.Errorf("measured %v", d)
	}
}
