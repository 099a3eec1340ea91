package discover

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// cached puts a file into a hub's cache as the library does: bytes apart, and a link.
func cached(t *testing.T, repo, commit, path, text string) {
	t.Helper()
	blob := fmt.Sprintf("%x", path+text)
	put(t, filepath.Join(repo, "blobs", blob), text)
	at := filepath.Join(repo, "snapshots", commit, path)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		t.Fatal(err)
	}
	to, _ := filepath.Rel(filepath.Dir(at), filepath.Join(repo, "blobs", blob))
	if err := os.Symlink(to, at); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsOnAMachine(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("OLLAMA_MODELS", "")
	old, sum := strings.Repeat("1", 40), strings.Repeat("ab", 32)
	hubDir := filepath.Join(home, "hub")
	qwen := filepath.Join(hubDir, "models--Qwen--Qwen3-0.6B")
	cached(t, qwen, old, "config.json", "{}")
	cached(t, qwen, old, "model.safetensors", "weights")
	put(t, filepath.Join(qwen, "refs/main"), old)
	gguf := filepath.Join(hubDir, "models--u--Q-GGUF")
	cached(t, gguf, old, "Q-Q8_0.gguf", "GGUF...")
	cached(t, gguf, old, "Q4_K_M/Q-Q4_K_M-00001-of-00002.gguf", "GGUF")
	cached(t, gguf, old, "Q4_K_M/Q-Q4_K_M-00002-of-00002.gguf", "GGUF")
	cached(t, gguf, old, "mmproj-F16.gguf", "GGUF")
	two := filepath.Join(hubDir, "models--two--revisions") // neither is main
	cached(t, two, old, "config.json", "{}")
	cached(t, two, old, "model.safetensors", "w")
	cached(t, two, strings.Repeat("2", 40), "config.json", "{}")
	cached(t, two, strings.Repeat("2", 40), "model.safetensors", "ww")
	long := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(two, "snapshots", old), long, long); err != nil {
		t.Fatal(err)
	}
	cached(t, filepath.Join(hubDir, "models--no--weights"), old, "tokenizer.json", "{}")
	cached(t, filepath.Join(hubDir, "datasets--a--b"), old, "x.gguf", "{}")
	ollama := filepath.Join(home, ".ollama/models")
	layers := `{"schemaVersion": 2, "layers": [{"mediaType": "application/vnd.ollama.image.license", "digest": "sha256:00", "size": 3},
		{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:%s", "size": 12345}]}`
	put(t, filepath.Join(ollama, "manifests/registry.ollama.ai/library/qwen3/0.6b"), fmt.Sprintf(layers, sum))
	put(t, filepath.Join(ollama, "manifests/hf.co/unsloth/Q-GGUF/Q4_K_M"), fmt.Sprintf(layers, sum))
	put(t, filepath.Join(ollama, "manifests/registry.ollama.ai/me/mine/latest"), fmt.Sprintf(layers, "../../../etc/passwd"))
	put(t, filepath.Join(ollama, "manifests/registry.ollama.ai/me/broken/latest"), "{")
	put(t, filepath.Join(ollama, "manifests/registry.ollama.ai/me/tensors/latest"), `{"layers": [{"mediaType": "application/vnd.ollama.image.tensor"}]}`)
	put(t, filepath.Join(ollama, "manifests/registry.ollama.ai/library/qwen3/.DS_Store"), "x")
	studio := filepath.Join(home, "studio/models")
	put(t, filepath.Join(home, ".lmstudio-home-pointer"), filepath.Join(home, "studio")+"\n")
	put(t, filepath.Join(studio, "lmstudio-community/Qwen3-4B-GGUF/Qwen3-4B-Q4_K_M.gguf"), "GGUF!")
	put(t, filepath.Join(studio, "mlx-community/Q-4bit/config.json"), "{}")
	put(t, filepath.Join(studio, "mlx-community/Q-4bit/model.safetensors"), "123")
	put(t, filepath.Join(home, "elsewhere/p/r/m-BF16.gguf"), "GGUF")
	put(t, filepath.Join(home, "studio/settings.json"), fmt.Sprintf(`{"downloadsFolder": %q}`, filepath.Join(home, "elsewhere")))

	list, problems := Here(hubDir).All()
	var got []string
	for _, f := range list {
		path, _ := filepath.Rel(home, f.Path)
		got = append(got, fmt.Sprintf("%s %s %s %d", f.Source, f.Name, path, f.Bytes))
	}
	second := strings.Repeat("2", 40)
	want := []string{
		"hub Qwen/Qwen3-0.6B hub/models--Qwen--Qwen3-0.6B 9",
		"hub two/revisions hub/models--two--revisions/snapshots/" + second + " 4",
		"hub u/Q-GGUF:Q4_K_M hub/models--u--Q-GGUF/snapshots/" + old + "/Q4_K_M/Q-Q4_K_M-00001-of-00002.gguf 8",
		"hub u/Q-GGUF:Q8_0 hub/models--u--Q-GGUF/snapshots/" + old + "/Q-Q8_0.gguf 11",
		"lmstudio lmstudio-community/Qwen3-4B-GGUF:Q4_K_M studio/models/lmstudio-community/Qwen3-4B-GGUF/Qwen3-4B-Q4_K_M.gguf 5",
		"lmstudio mlx-community/Q-4bit studio/models/mlx-community/Q-4bit 5",
		"lmstudio p/r:BF16 elsewhere/p/r/m-BF16.gguf 4",
		"ollama hf.co/unsloth/Q-GGUF:Q4_K_M .ollama/models/blobs/sha256-" + sum + " 12345",
		"ollama qwen3:0.6b .ollama/models/blobs/sha256-" + sum + " 12345",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(problems) != 1 || !strings.Contains(problems[0].Error(), "me/broken/latest: is no manifest") ||
		!strings.Contains(problems[0].Error(), `me/mine/latest: names its weights "sha256:../../../etc/passwd"`) {
		t.Errorf("problems %v", problems)
	}
	if list, problems := (Places{Hub: "/nowhere/at/all", Ollama: "/nowhere", LMStudio: []string{"/nowhere"}}).All(); len(list)+len(problems) > 0 {
		t.Errorf("where nothing is there are %v, %v", list, problems)
	}
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:` + strings.Repeat("a", 64) + `", "size": 1}]}`))
	f.Add([]byte(`{"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:../x"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		found, err := manifest(text, "/store")
		if err == nil && found.Path != "" && filepath.Dir(found.Path) != "/store/blobs" {
			t.Errorf("%q leads to %q", text, found.Path)
		}
	})
}
