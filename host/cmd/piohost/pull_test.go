package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/host/internal/hub/hubtest"
)

// newTestHub has the echo plugin's checkpoint in a repository, a private one, and one of GGUF files.
func newTestHub(t *testing.T, model string) *hubtest.Server {
	t.Helper()
	s := hubtest.New(t)
	config, err := os.ReadFile(filepath.Join(model, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	echo := hubtest.Repo{Files: map[string][]byte{"config.json": config, "model.safetensors": make([]byte, 3_000_000), "pytorch_model.bin": make([]byte, 100)}}
	s.Add("Org/Echo", echo)
	echo.Private = true
	s.Add("Org/Private", echo)
	s.Add("Org/Q-GGUF", hubtest.Repo{Files: map[string][]byte{"Q-Q8_0.gguf": make([]byte, 2000), "Q-Q4_K_M-00001-of-00002.gguf": make([]byte, 1000), "Q-Q4_K_M-00002-of-00002.gguf": {1}}})
	return s
}

// A pull that is killed at any byte is gone on with by the next one: after so many kills it has come, and no byte twice.
func TestAPullSurvivesKills(t *testing.T) {
	s := hubtest.New(t)
	weights := make([]byte, 1<<20)
	for i := range weights {
		weights[i] = byte(i >> 3)
	}
	repo := hubtest.Repo{Files: map[string][]byte{"config.json": []byte("{}"), "model.safetensors": weights}}
	s.Add("Org/M", repo)
	cache := t.TempDir()
	blob := filepath.Join(cache, "models--Org--M/blobs", hubtest.SHA256(weights))
	run := func() *exec.Cmd {
		cmd := exec.CommandContext(context.Background(), filepath.Join(binaries, "piohost"), "--config", filepath.Join(cache, "none.toml"), "pull", "Org/M")
		cmd.Env = append(os.Environ(), "HF_ENDPOINT="+s.URL, "HF_HUB_CACHE="+cache, "NO_PROXY=127.0.0.1", "HF_HUB_OFFLINE=0")
		return cmd
	}
	for _, part := range []int64{1, 70_000, 262_145, 3, 99_999} {
		came := make(chan struct{})
		s.Spoil("model.safetensors", hubtest.Fault{Times: 1, Stall: part, Stalled: func(int64) { close(came) }})
		before := max(0, size(blob+".incomplete"))
		cmd := run()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		<-came
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if after := size(blob + ".incomplete"); after < before || after > before+part {
			t.Errorf("of %d bytes and %d more %d are there", before, part, after)
		}
		if size(blob) >= 0 || size(filepath.Join(cache, "models--Org--M/refs/main")) >= 0 {
			t.Fatal("half a file has its name")
		}
	}
	s.Requests()
	left := size(blob + ".incomplete")
	out, err := run().CombinedOutput()
	if !strings.Contains(string(out), "none.toml") { // no plugin is there, which is another matter
		t.Errorf("%v: %s", err, out)
	}
	got, err := os.ReadFile(filepath.Join(cache, "models--Org--M/snapshots", repo.Commit(), "model.safetensors"))
	if err != nil || !slices.Equal(got, weights) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	for _, r := range s.Requests() {
		if r.Server == "cdn" && left > 0 && !strings.HasPrefix(r.Range, "bytes="+itoa(left)+"-") {
			t.Errorf("with %d bytes there it asked for %q", left, r.Range)
		}
	}
	if size(blob+".incomplete") >= 0 {
		t.Error("what was incomplete is left")
	}
}

// size of a file, -1 if it is not there.
func size(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return -1
	}
	return info.Size()
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// At a terminal a pull shows how far it is; whoever interrupts it is told that it can go on; and whoever removes it is asked.
func TestAPersonPullsAndRemoves(t *testing.T) {
	s := hubtest.New(t)
	s.Add("Org/M", hubtest.Repo{Files: map[string][]byte{"config.json": []byte("{}"), "model.safetensors": make([]byte, 1_000_000)}})
	s.Spoil("model.safetensors", hubtest.Fault{Times: 1, Stall: 400_000})
	cache := t.TempDir()
	for name, value := range map[string]string{"HF_ENDPOINT": s.URL, "HF_HUB_CACHE": cache, "NO_PROXY": "127.0.0.1", "TERM": "xterm"} {
		t.Setenv(name, value)
	}
	file := filepath.Join(t.TempDir(), "models.toml")
	if err := os.WriteFile(file, []byte("[plugins]\ndirs = [\".\"]\n[[model]]\nid = \"m\"\npath = \""+cache+"/models--Org--M\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := sitDown(t, "--config", file, "pull", "Org/M")
	p.sees("Org/M: 2 files of 1.0 MB, of which 1.0 MB are missing")
	p.sees("Org/M: 40% of 1.0 MB, 1 of 2 files, ")
	p.sees(" left")
	p.stop()
	p.sees("what has come is kept; the next pull goes on with it")
	p.leaves(exitInterrupted)
	p = sitDown(t, "--config", file, "pull", "Org/M")
	p.sees("of which 600.0 kB are missing")
	p.sees("models.toml has it as m")
	p.leaves(0)
	p = sitDown(t, "--config", file, "models", "rm", "m")
	p.sees("all of it: 1.0 MB")
	p.sees("remove this? [y/N] ")
	p.types("n\n")
	p.sees("nothing was removed")
	p.leaves(exitFailure)
	p = sitDown(t, "--config", file, "models", "rm", "m")
	p.sees("remove this? [y/N] ")
	p.types("y\n")
	p.sees("removed")
	p.leaves(0)
	if size(filepath.Join(cache, "models--Org--M")) >= 0 {
		t.Error("it is still there")
	}
}
